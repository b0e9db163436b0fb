"""The released lane: intervals that cover, clipping undone, periods and totals that agree, no negative shown."""

from __future__ import annotations

import datetime as dt
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from analytics.anonymise import sealed
from analytics.anonymise.periods import Period
from analytics.anonymise.release import seal
from analytics.anonymise.sealed import Cell
from analytics.reports import lanes, reconcile
from analytics.reports.query import parse_object
from analytics.reports.reconcile import Z95, Noisy
from analytics.reports.released import ReleasedReader, shown_cell
from bench._traffic import fill
from tests.anonymise.audit_tools import DAY, NOW, SITE, policy

Measured = dict[tuple[str, str], tuple[str, float, dict[str, float]]]  # (cube, metric) -> kind, sigma, cells
BOUNDS = {"kept": 40.0, "lost": 15.0, "beyond": 60.0}


def publish(folder: Path, period: str, measured: Measured) -> None:
    """A release as `seal` writes it, with cells of our choice."""
    parsed = Period.parse(period)
    cells = [
        Cell(SITE, period, cube, key, metric, value, sigma)
        for (cube, metric), (_, sigma, values) in measured.items()
        for key, value in values.items()
    ]
    raw = sealed.write_parquet(cells)
    where = folder / SITE
    where.mkdir(parents=True, exist_ok=True)
    (where / f"{parsed.file_stem}.parquet").write_bytes(raw)
    manifest = {
        "site": SITE,
        "period": period,
        "number": 1,
        "file": {"name": f"{parsed.file_stem}.parquet", "sha256": sealed.hashlib.sha256(raw).hexdigest()},
        "measurements": [
            {"cube": c, "metric": m, "keys": kind, "l2": BOUNDS.get(m.partition("-")[2], 4.0)}
            for (c, m), (kind, _, _) in measured.items()
        ],
    }
    (where / f"{parsed.file_stem}.json").write_text(json.dumps({"manifest": manifest}))


def test_no_negative_number_is_shown_and_cells_below_their_noise_are_marked(tmp_path: Path) -> None:
    publish(tmp_path, str(DAY), {("channel", "visitors"): ("known", 10.0, {"a": -7.5, "b": 12.0, "c": 500.25})})
    a, b, c = sorted(ReleasedReader(tmp_path).cells(SITE, str(DAY), "channel", "visitors"), key=lambda cell: cell.key)
    assert (a.value, a.low, a.noise) == (0, 0, True)
    assert (b.value, b.low, b.noise) == (12, 0, True)
    assert (c.value, c.low, c.high, c.noise) == (500, 480, 520, False)
    assert a.estimate == -7.5, "what was drawn is kept as it is"


def test_95_of_100_intervals_cover_the_true_count() -> None:
    rng = random.Random(1)
    cells = [shown_cell("", rng.gauss(300, 40), 40.0) for _ in range(4000)]
    covered = sum(cell.low <= 300 <= cell.high for cell in cells)
    assert 0.94 <= covered / 4000 <= 0.965


def clipped(kept: float, lost: float, beyond: float, sigma: float = 50.0) -> Measured:
    """A cube of one page, and what clipping did to it."""
    parts = {"kept": kept, "lost": lost, "beyond": beyond}
    return {
        ("path", "pageviews"): ("threshold", 10.0, {"/": 0.8 * kept}),
        **{("path", f"pageviews-{part}"): ("retention", sigma, {"": value}) for part, value in parts.items()},
    }


def test_clipping_is_undone_by_what_it_took_with_its_own_uncertainty(tmp_path: Path) -> None:
    publish(tmp_path, str(DAY), clipped(8000.0, 1500.0, 400.0))
    reader = ReleasedReader(tmp_path)
    (cell,) = reader.cells(SITE, str(DAY), "path", "pageviews")
    rest = 300 * 300 / 1500 / 4  # beyond the second bound, as that beyond the first, less twice its noise
    assert cell.estimate == pytest.approx(6400 / 8000 * (9900 + rest), rel=0.003), "6400 were drawn; clipping kept 8000"
    (drawn,) = reader.cells(SITE, str(DAY), "path", "pageviews", as_drawn=True)
    assert drawn.value == 6400
    kept = 8000 / (9900 + rest)
    ratio = math.hypot((1 - kept) * 50, kept * math.hypot(50, 50, rest)) / (9900 + rest)
    unknown_repeats = (0.05 + 0.15) * (1 - kept) * cell.estimate
    assert cell.sigma == pytest.approx(math.hypot(10 / kept, cell.estimate * ratio / kept, unknown_repeats), rel=0.01)
    assert set(reader.cubes(SITE, str(DAY))) == {"path"}


def test_a_number_about_what_clipping_took_is_believed_as_far_as_its_noise_allows(tmp_path: Path) -> None:
    """No step at which one draw is believed and the next is not; never less than nothing, nor more than is possible."""
    values = []
    for beyond in (-3000.0, 0.0, 1500.0, 3000.0, 6000.0, 60_000.0):
        measured = clipped(80_000.0, 4000.0, beyond)
        measured["path", "pageviews-beyond"] = ("retention", 1500.0, {"": beyond})
        publish(tmp_path, str(DAY), measured)
        values.append(ReleasedReader(tmp_path).cells(SITE, str(DAY), "path", "pageviews")[0].estimate / 0.8 - 84_000)
    assert values == sorted(values)
    assert 0 < values[0] < values[1] < 1000, "little is typical"
    assert 1000 < values[3] < 3000, "twice its noise: not all of it"
    assert 4500 < values[4] < 8000
    assert values[5] < 5 * 4 * 4100, "who loses beyond the first bound lost all that there is before it"


def test_where_every_key_was_released_their_sum_says_what_was_kept(tmp_path: Path) -> None:
    """The number of its own is ten times as noisy here, and says twice as much."""
    measured = clipped(16_000.0, 2000.0, 0.0)
    measured["path", "pageviews-kept"] = ("retention", 1000.0, {"": 16_000.0})
    measured["path", "pageviews"] = ("known", 50.0, {"/": 4000.0, "/a": 3000.0, "/b": 1000.0})
    publish(tmp_path, str(DAY), measured)
    (first, *_) = ReleasedReader(tmp_path).cells(SITE, str(DAY), "path", "pageviews")
    assert first.estimate == pytest.approx(4000 * 10_000 / 8000, rel=0.02)
    measured["path", "pageviews"] = ("threshold", 50.0, {"/": 4000.0, "/a": 3000.0, "/b": 1000.0})
    publish(tmp_path, str(DAY), measured)
    (first, *_) = ReleasedReader(tmp_path).cells(SITE, str(DAY), "path", "pageviews")
    assert first.estimate == pytest.approx(4000 * 18_000 / 16_000, rel=0.02), "keys may be missing from the sum"


def test_a_small_site_learns_what_is_typical_and_not_that_anything_is_possible(tmp_path: Path) -> None:
    """A visit or two a day of 3,400 visitors: the noise of what lies beyond the bounds is half of all visits."""
    total: Measured = {("total", "visits"): ("known", 84.0, {"": 3700.0})}
    total["total", "visits-lost"] = ("retention", 418.0, {"": 100.0})
    total["total", "visits-beyond"] = ("retention", 1537.0, {"": 900.0})
    publish(tmp_path, str(DAY), total)
    (cell,) = ReleasedReader(tmp_path).cells(SITE, str(DAY), "total", "visits")
    assert 3700 < cell.estimate < 4000
    assert 165 < Z95 * cell.sigma < 400, "what clipping may have taken is part of the interval, as far as it is likely"


def test_a_ratio_that_is_noise_is_not_used(tmp_path: Path) -> None:
    publish(tmp_path, str(DAY), clipped(100.0, 150.0, -900.0, sigma=60.0))
    (cell,) = ReleasedReader(tmp_path).cells(SITE, str(DAY), "path", "pageviews")
    assert cell.estimate == pytest.approx(80 / 0.95), "what is typical of all sites instead"
    assert cell.sigma > 0.15 * cell.estimate


def test_what_many_visitors_read_gets_back_fewer_visitors_and_more_views() -> None:
    cells = {"/": Noisy(8000.0, 1.0), "/rare": Noisy(8000.0, 1.0)}
    visitors = {"/": Noisy(8000.0, 1.0), "/rare": Noisy(400.0, 1.0)}
    found = {
        metric: reconcile.unclipped_all(metric, cells, Noisy(0.8, 1e-6), visitors, Noisy(10_000.0, 1.0))
        for metric in ("visitors", "pageviews")
    }
    for metric, larger in (("visitors", "/rare"), ("pageviews", "/")):
        smaller = "/" if larger == "/rare" else "/rare"
        assert found[metric][larger].value > 10_000 > found[metric][smaller].value, metric
        total = math.fsum(cell.value for cell in found[metric].values())
        assert total == pytest.approx(20_000, rel=0.01), "around the ratio of all"


def test_visits_and_bounces_of_a_source_lie_between_what_was_drawn_and_what_the_total_lost(tmp_path: Path) -> None:
    kinds: Measured = {
        ("total", "visits"): ("known", 5.0, {"": 9000.0}),
        ("source", "visitors"): ("threshold", 5.0, {}),
    }
    kinds["source", "visits"] = ("selected", 5.0, {"Google": 900.0})
    for part, value in (("lost", 800.0), ("beyond", 200.0)):
        kinds["total", f"visits-{part}"] = ("retention", 5.0, {"": value})
    publish(tmp_path, str(DAY), kinds)
    (cell,) = ReleasedReader(tmp_path).cells(SITE, str(DAY), "source", "visits")
    assert 900 < cell.estimate < 1000
    assert cell.low < 900 < 1000 < cell.high + 2


def test_a_total_gets_back_what_clipping_took(tmp_path: Path) -> None:
    parts = {"lost": ("retention", 30.0, {"": 400.0}), "beyond": ("retention", 10.0, {"": 300.0})}
    publish(
        tmp_path,
        str(DAY),
        {
            ("total", "pageviews"): ("known", 40.0, {"": 9000.0}),
            **{("total", f"pageviews-{part}"): measured for part, measured in parts.items()},
        },
    )
    (cell,) = ReleasedReader(tmp_path).cells(SITE, str(DAY), "total", "pageviews")
    rest = 280 * 280 / 400 / 4
    assert cell.estimate == pytest.approx(9700 + rest, rel=0.001)
    assert cell.sigma == pytest.approx(math.hypot(40, 30, 10, rest), rel=0.02)


@pytest.mark.parametrize("scale", [1.0, 0.001], ids=["large counts", "counts below their noise"])
def test_parts_add_up_to_the_total(tmp_path: Path, scale: float) -> None:
    publish(
        tmp_path,
        str(DAY),
        {
            ("total", "visits"): ("known", 5.0, {"": 1000.0 * scale}),
            ("channel", "visits"): ("known", 20.0, {"a": 700.0 * scale, "b": 380.0 * scale}),
            ("country", "visits"): ("known", 20.0, {"GB": 500.0 * scale, "DE": 440.0 * scale}),
        },
    )
    reader = ReleasedReader(tmp_path)
    (total,) = reader.cells(SITE, str(DAY), "total", "visits")
    assert total.estimate == 1000 * scale, "the parts, from which clipping took more, do not move it"
    for cube in ("channel", "country"):
        parts = reader.cells(SITE, str(DAY), cube, "visits")
        assert math.fsum(part.estimate for part in parts) == pytest.approx(total.estimate)
        assert all(part.sigma < 20 for part in parts)


def test_the_deviation_of_parts_in_proportion_is_what_repeated_draws_show() -> None:
    rng = random.Random(3)
    true = {"a": 6000.0, "b": 3000.0, "c": 500.0}
    found: dict[str, list[float]] = {key: [] for key in true}
    stated = {}
    for _ in range(4000):
        cells = {key: Noisy(0.8 * rng.gauss(value, 100), (0.8 * 100) ** 2) for key, value in true.items()}
        for key, cell in reconcile.summing_to(cells, Noisy(rng.gauss(9500, 60), 60.0**2)).items():
            found[key].append(cell.value)
            stated[key] = cell.sigma
    for key, values in found.items():
        assert math.fsum(values) / 4000 == pytest.approx(true[key], rel=0.01), "what clipping took is given back"
        deviation = math.sqrt(math.fsum((value - true[key]) ** 2 for value in values) / 4000)
        assert stated[key] == pytest.approx(deviation, rel=0.08)


def test_a_week_and_its_days_are_reconciled_by_inverse_variance(tmp_path: Path) -> None:
    week = Period.parse("week:2026-W47")
    for number, day in enumerate(week.days):
        publish(tmp_path, f"day:{day}", {("total", "pageviews"): ("known", 10.0, {"": 100.0 + number})})
    publish(tmp_path, str(week), {("total", "pageviews"): ("known", 10.0, {"": 800.0})})
    reader = ReleasedReader(tmp_path)
    (whole,) = reader.cells(SITE, str(week), "total", "pageviews")
    assert whole.estimate == pytest.approx((800 / 100 + 721 / 700) / (1 / 100 + 1 / 700))
    days = [reader.cells(SITE, f"day:{day}", "total", "pageviews")[0] for day in week.days]
    assert math.fsum(day.estimate for day in days) == pytest.approx(whole.estimate), "days add up to the week"
    assert all(day.sigma < 10 for day in days)


def test_visitors_and_visits_of_days_are_never_added_to_a_week(tmp_path: Path) -> None:
    week = Period.parse("week:2026-W47")
    for day in week.days:
        publish(tmp_path, f"day:{day}", {("total", "visitors"): ("known", 1.0, {"": 100.0})})
    publish(tmp_path, str(week), {("total", "visitors"): ("known", 1.0, {"": 300.0})})
    assert ReleasedReader(tmp_path).cells(SITE, str(week), "total", "visitors")[0].value == 300


def test_what_is_not_sealed_or_not_released_is_refused_by_name(tmp_path: Path) -> None:
    publish(tmp_path, str(DAY), {("total", "visits"): ("known", 5.0, {"": 1000.0})})
    reader = ReleasedReader(tmp_path)
    with pytest.raises(KeyError, match="has no release"):
        reader.cells(SITE, "day:2026-11-01", "total", "visits")
    with pytest.raises(KeyError, match="no visits by path"):
        reader.cells(SITE, str(DAY), "path", "visits")
    with pytest.raises(KeyError, match="has no release"):
        reader.cells("../elsewhere", str(DAY), "total", "visits")


def test_a_file_that_was_changed_is_not_read(tmp_path: Path) -> None:
    publish(tmp_path, str(DAY), {("total", "visits"): ("known", 5.0, {"": 1000.0})})
    path = tmp_path / SITE / "day-2026-11-19.parquet"
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(sealed.SealError, match="SHA-256"):
        ReleasedReader(tmp_path).cells(SITE, str(DAY), "total", "visits")


def test_weights_are_inverse_variances() -> None:
    assert reconcile.weighted([Noisy(10.0, 1.0), Noisy(20.0, 4.0)]) == Noisy(pytest.approx(12.0), pytest.approx(0.8))


def test_what_clipping_took_is_given_back_to_pages_hours_and_the_total(store: Any, tmp_path: Path) -> None:
    """Through the real SQL, 20,000 visitors; `make bench ARGS=seal` prints the errors at 100,000."""
    fill(store, day=dt.date(2026, 11, 19), visitors=20_000, paths=200)
    cubes = 'cubes = ["total", "path", "weekday-hour"]'
    text = policy(f"[anonymity]\n{cubes}\n[anonymity.shares]\nday = 1.0\nweek = 0.0\nmonth = 0.0\n")
    seal(store, text, SITE, DAY, tmp_path, now=NOW)
    true = dict(
        store.query("SELECT path, count() AS n FROM events WHERE kind = 'view' GROUP BY path ORDER BY n DESC LIMIT 50")
    )
    ((views,),) = store.query("SELECT count() FROM events WHERE kind = 'view'")
    reader = ReleasedReader(tmp_path)

    def error(as_drawn: bool) -> float:
        found = {c.key: c for c in reader.cells(SITE, str(DAY), "path", "pageviews", as_drawn=as_drawn)}
        return math.fsum(abs(found[path].estimate - count) / count for path, count in true.items()) / len(true)

    cells = reader.cells(SITE, str(DAY), "path", "pageviews", as_drawn=True)
    noise_alone = math.sqrt(2 / math.pi) * math.fsum(cells[0].sigma / count for count in true.values()) / len(true)
    assert error(as_drawn=True) > 0.15, "a fifth is clipped away here, so that there is something to give back"
    assert error(as_drawn=False) < error(as_drawn=True) / 3
    assert error(as_drawn=False) < 3 * noise_alone
    found = {c.key: c for c in reader.cells(SITE, str(DAY), "path", "pageviews")}
    covered = sum(found[path].low <= count <= found[path].high for path, count in true.items())
    assert covered > 0.6 * len(true)
    (total,) = reader.cells(SITE, str(DAY), "total", "pageviews")
    (drawn,) = reader.cells(SITE, str(DAY), "total", "pageviews", as_drawn=True)
    assert drawn.estimate < 0.99 * views
    assert abs(total.estimate - views) < 4 * total.sigma
    hours = reader.cells(SITE, str(DAY), "weekday-hour", "pageviews")
    assert math.fsum(hour.estimate for hour in hours) == pytest.approx(total.estimate)


def test_the_answer_of_the_lane_marks_what_is_below_its_own_noise_and_hides_nothing(tmp_path: Path) -> None:
    cells = {"a": -7.5, "b": 12.0, "c": 500.25}
    publish(tmp_path, str(DAY), {
        ("source", "visits"): ("selected", 10.0, cells), ("source", "bounces"): ("selected", 10.0, {"c": 200.0}),
    })  # fmt: skip
    asked = {
        "site_id": SITE, "metrics": ["visits", "bounce_rate"], "date_range": [str(DAY.first)] * 2,
        "dimensions": ["visit:source"], "lane": "released", "with_intervals": True,
    }  # fmt: skip
    answer = lanes.answer(ReleasedReader(tmp_path), parse_object(asked), NOW)
    rows = {row["dimensions"][0]: (row["metrics"], row["below_noise"]) for row in answer["results"]}
    assert rows == {"a": ([0, None], [True, True]), "b": ([12, None], [True, True]), "c": ([500, 40], [False, False])}


def test_the_nearest_period_to_a_range_is_the_one_whose_ends_lie_nearest() -> None:
    held = [Period.parse(text) for text in ("month:2026-10", "week:2026-W46", "day:2026-11-19", "day:2026-11-20")]
    for first, last, near in (
        ("2026-10-26", "2026-11-24", "week:2026-W46"),
        ("2026-09-30", "2026-10-29", "month:2026-10"),
        ("2026-11-24", "2026-11-24", "day:2026-11-20"),
        ("2026-11-19", "2026-11-20", "day:2026-11-20"),
    ):
        assert str(lanes.nearest(held, dt.date.fromisoformat(first), dt.date.fromisoformat(last))) == near
