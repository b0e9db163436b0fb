"""Do the intervals that are shown cover what happened? Counted once through the real SQL, drawn and read many times."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from analytics.anonymise import sealed
from analytics.anonymise.raw import RawPeriod
from analytics.anonymise.release import drawn, manifest_of, plan_of
from analytics.reports.released import ReleasedReader
from bench._traffic import fill
from tests.anonymise.audit_tools import DAY, NOW, SITE, policy

WHOLE_DAY = "[anonymity.shares]\nday = 1.0\nweek = 0.0\nmonth = 0.0\n"
TRUE = """
SELECT path, count() AS views, uniqExact(visitor) AS visitors FROM events WHERE kind = 'view'
GROUP BY path ORDER BY views DESC, path LIMIT 30
"""
# Visitors, pages, page views of a visit, draws. A few page views a visit, and so many that a third is clipped away.
SITES = [
    pytest.param(20_000, 200, 7.0, 40, id="as usual"),
    pytest.param(20_000, 2000, 2.0, 100, id="short visits", marks=pytest.mark.audit),
    pytest.param(20_000, 200, 14.0, 100, id="long visits", marks=pytest.mark.audit),
    pytest.param(100_000, 2000, 7.0, 100, id="a large site", marks=pytest.mark.audit),
]


@pytest.mark.parametrize(("visitors", "paths", "pages", "draws"), SITES)
def test_95_of_100_intervals_cover_the_true_count_of_every_page(
    store: Any, tmp_path: Path, visitors: int, paths: int, pages: float, draws: int
) -> None:
    fill(store, day=DAY.first, visitors=visitors, paths=paths, pages_per_visit=pages)
    text = policy('[anonymity]\ncubes = ["total", "path"]\n' + WHOLE_DAY)
    plan = plan_of(text, SITE, DAY)
    sums = RawPeriod(store, plan).sums()
    rows = store.query(TRUE)
    true = {
        ("path", "pageviews"): {path: views for path, views, _ in rows},
        ("path", "visitors"): {path: people for path, _, people in rows},
        ("total", "pageviews"): {"": store.query("SELECT count() FROM events WHERE kind = 'view'")[0][0]},
        ("total", "visits"): {"": sums["total/visits"][""] // 16},  # nobody here has more than two: nothing is clipped
    }
    covered: dict[tuple[str, str, str], list[bool]] = {}
    for number in range(draws):
        reader = read(drawn(plan, sums), plan, tmp_path / str(number))
        for (cube, metric), counts in true.items():
            for cell in reader.cells(SITE, str(DAY), cube, metric):
                if cell.key in counts:
                    hit = cell.low <= counts[cell.key] <= cell.high
                    covered.setdefault((cube, metric, cell.key), []).append(hit)
    for (cube, metric), counts in true.items():
        found = [covered[cube, metric, key] for key in counts if len(covered.get((cube, metric, key), ())) > draws / 2]
        assert found, (cube, metric)
        part = math.fsum(map(sum, found)) / math.fsum(map(len, found))
        # Of one page 0.95 less five standard errors: no page's own interval is a promise kept by the others.
        least = 0.95 - 5 * math.sqrt(0.95 * 0.05 / draws)
        assert part >= 0.93, (cube, metric, part)
        assert min(sum(hits) / len(hits) for hits in found) >= least - 0.02, (cube, metric)


def read(cells: list[sealed.Cell], plan: Any, folder: Path) -> ReleasedReader:
    parquet = sealed.write_parquet(cells)
    manifest = manifest_of(plan, policy(), parquet, len(cells), 1, sealed.GENESIS, NOW)
    (folder / SITE).mkdir(parents=True)
    (folder / SITE / f"{DAY.file_stem}.parquet").write_bytes(parquet)
    (folder / SITE / f"{DAY.file_stem}.json").write_bytes(msgspec.json.encode({"manifest": manifest}))
    return ReleasedReader(folder)
