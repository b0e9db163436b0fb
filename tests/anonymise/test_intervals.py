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
from tests.anonymise.audit_tools import DAY, NOW, SITE, hit, policy, put

WHOLE_DAY = "[anonymity.shares]\nday = 1.0\nweek = 0.0\nmonth = 0.0\n"
TRUE = """
SELECT path, count() AS views, uniqExact(visitor) AS visitors FROM events WHERE kind = 'view'
GROUP BY path ORDER BY views DESC, path LIMIT 30
"""
# Visitors, pages, page views of a visit, draws. A few page views a visit, and so many that a third is clipped away.
SITES = [
    pytest.param(20_000, 200, 7.0, 100, id="as usual"),
    pytest.param(3400, 30, 2.3, 100, id="a small site"),
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
                    inside = cell.low <= counts[cell.key] <= cell.high
                    covered.setdefault((cube, metric, cell.key), []).append(inside)
    for (cube, metric), counts in true.items():
        found = [covered[cube, metric, key] for key in counts if len(covered.get((cube, metric, key), ())) > draws / 2]
        assert found, (cube, metric)
        part = math.fsum(map(sum, found)) / math.fsum(map(len, found))
        # Of one page 0.95 less five standard errors: no page's own interval is a promise kept by the others.
        least = 0.95 - 5 * math.sqrt(0.95 * 0.05 / draws)
        # A total is one number of each draw: the same less four standard errors.
        assert part >= (0.93 if cube == "path" else 0.95 - 4 * math.sqrt(0.95 * 0.05 / draws)), (cube, metric, part)
        assert min(sum(hits) / len(hits) for hits in found) >= least - 0.02, (cube, metric)


def read(cells: list[sealed.Cell], plan: Any, folder: Path) -> ReleasedReader:
    parquet = sealed.write_parquet(cells)
    manifest = manifest_of(plan, policy(), parquet, len(cells), 1, sealed.GENESIS, NOW)
    (folder / SITE).mkdir(parents=True)
    (folder / SITE / f"{DAY.file_stem}.parquet").write_bytes(parquet)
    (folder / SITE / f"{DAY.file_stem}.json").write_bytes(msgspec.json.encode({"manifest": manifest}))
    return ReleasedReader(folder)


def test_what_clipping_took_from_visits_and_bounces_is_given_back(store: Any, tmp_path: Path) -> None:
    """One visitor in ten comes five times; two visits of a day count."""
    rows = [hit(n, 36_000, path=f"/{n % 2}", source="Google", channel="Referral") for n in range(1, 3601)]
    often = range(10_001, 10_401)
    rows += [
        hit(n, 3600 * visit, path=f"/{n % 2}", source="Google", channel="Referral") for n in often for visit in range(5)
    ]
    put(store, rows)
    text = policy('[anonymity]\ncubes = ["total", "source", "entry-page", "channel"]\n' + WHOLE_DAY)
    plan = plan_of(text, SITE, DAY)
    sums = RawPeriod(store, plan).sums()
    true = 3600 + 5 * 400
    asked = [("total", "visits", true), ("total", "bounces", true), ("source", "visits", true),
             ("source", "bounces", true), ("entry-page", "visits", true // 2), ("channel", "visits", true)]  # fmt: skip
    off: dict[tuple[str, str, bool], list[float]] = {}
    covered: dict[tuple[str, str], int] = {}
    for number in range(40):
        reader = read(drawn(plan, sums), plan, tmp_path / str(number))
        for cube, metric, count in asked:
            for as_drawn in (True, False):
                cell = reader.cells(SITE, str(DAY), cube, metric, as_drawn=as_drawn)[0]
                off.setdefault((cube, metric, as_drawn), []).append(cell.estimate / count - 1)
            covered[cube, metric] = covered.get((cube, metric), 0) + (cell.low <= count <= cell.high)
    mean = {key: math.fsum(values) / len(values) for key, values in off.items()}
    for cube, metric, _ in asked:
        assert mean[cube, metric, True] < -0.15, (cube, metric)
        least = -0.05 if cube in ("total", "channel") else 0.6 * mean[cube, metric, True]
        assert least < mean[cube, metric, False] < 0.05, (cube, metric, mean)
        # A fifth is far from typical: by source and page the interval reaches for it, and misses it now and then.
        assert covered[cube, metric] >= (32 if cube in ("total", "channel") else 22), (cube, metric, covered)
