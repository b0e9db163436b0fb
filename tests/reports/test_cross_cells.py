"""The first pages under a click are those of the rows, whichever sets are kept."""

from __future__ import annotations

import datetime as dt
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from analytics.reports import cellbuild, crosscells, groups
from analytics.reports.pool import Pool
from analytics.reports.query import parse_object
from analytics.reports.reporting import Reporting
from analytics.store import Store, StoreError
from tests.reports.conftest import Row, row
from tests.reports.test_cells import FIXTURES, LATER, RANGES, SITE, Twice, rows
from tests.reports.test_page_lines import GOOGLE, MOBILE, statements, visits

CLICKS: list[Any] = [
    GOOGLE,
    MOBILE,
    ["is", "visit:source", ["Direct / None"]],
    ["is", "visit:browser", ["(not set)"]],
    ["is", "visit:country", ["DE"]],
    ["is", "visit:browser", ["Firefox"]],
    ["is", "visit:os", ["Linux"]],
]
OTHERS: list[Any] = [
    [GOOGLE, MOBILE],
    [["is", "visit:source", ["Google", "Direct / None"]]],
    [["is_not", "visit:source", ["Google"]]],
    [["is", "visit:source", ["google"], {"case_sensitive": False}]],
    [["is", "visit:browser_version", ["140"]]],
    [["is", "event:page", ["/a"]]],
]


@pytest.fixture
def twice(store: Store, tmp_path: Path) -> Twice:
    return Twice(store, tmp_path)


PAGES = {"metrics": ["visitors", "pageviews", "events"], "dimensions": ["event:page"]}
ENTRIES = {"metrics": ["visitors", "visits", "bounce_rate"], "dimensions": ["visit:entry_page"]}
EXITS = {"metrics": ["visitors", "views_per_visit", "visit_duration"], "dimensions": ["visit:exit_page"]}
CUBES: list[dict[str, Any]] = [PAGES, ENTRIES, EXITS]


def agree(twice: Twice, minimum: int, asked: dict[str, Any]) -> None:
    """The whole answer over rows and over cells: what is shown, in which order, and what is hidden."""
    pool = Pool(lambda: twice.store, 1)
    raw, cells = (
        Reporting(pool, twice.folder, None, minimum_cell=minimum, now=lambda: LATER, raw_rows=least)
        for least in (10**9, 0)
    )
    query = parse_object({"site_id": SITE, "include": {"total_rows": True}, **asked})
    given_ = raw.ask(query), cells.ask(query)
    assert given_[0]["results"] == given_[1]["results"], (minimum, asked)
    of_rows, of_cells = (answer["meta"] for answer in given_)
    if of_cells["share_without_key"] is None:  # cells know how many visitors there are at least, and hide it sooner
        of_rows = {**of_rows, "share_without_key": None}
    assert of_rows == of_cells, (minimum, asked)


def keep(patch: pytest.MonkeyPatch, members: int) -> None:
    cubes = {name: replace(cube, members=members) for name, cube in crosscells.CUBES.items()}
    patch.setattr(crosscells, "CUBES", cubes)


def bounds(held: Reporting, asked: dict[str, Any], *filters: Any) -> list[bool]:
    return ["cross_cells" in part.bounds for part in statements(held, {**asked, "filters": [*filters]})]


def test_pages_under_one_click_are_answered_from_these_cells_and_nothing_else_is(twice: Twice) -> None:
    twice.fill(visits())
    held = twice.reporting(0)
    for asked in CUBES:
        for click in CLICKS:
            assert bounds(held, asked, click) == [True], (asked, click)
        for filters in OTHERS:
            assert not any(bounds(held, asked, *filters)), (asked, filters)
    for other in (
        {**PAGES, "dimensions": ["event:page", "time:day"]},
        {**PAGES, "dimensions": ["visit:entry_page"]},  # rows of those who entered by a page
        {**ENTRIES, "dimensions": ["event:page"]},
        {**ENTRIES, "dimensions": ["visit:referrer"]},
    ):
        assert not any(bounds(held, other, GOOGLE)), other


def test_large_sets_are_kept_and_small_ones_at_midnights_only(
    twice: Twice, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(monkeypatch, 2)
    twice.fill(visits())
    found = store.query(
        "SELECT cube, value, part, day, key, kept, bitmapToArray(visitors) != [], size, unkeyed, pageviews, events, "
        "visits FROM cross_cells WHERE dimension = 'visit:source' AND day <= '2026-11-10' ORDER BY ALL"
    )
    day = dt.date(2026, 11, 10)
    assert [line[:1] + line[2:] for line in found if line[1] == "Google"] == [
        ("event:page", "inside", day, "/a", 1, True, 2, 0, 3, 4, 0),
        ("event:page", "inside", day, "/b", 1, True, 2, 1, 3, 3, 0),
        ("event:page", "head", day, "/a", 1, True, 1, 0, 1, 1, 0),
        ("event:page", "before", day, "/a", 1, True, 1, 0, 1, 1, 0),
        ("visit:entry_page", "inside", day, "/a", 1, True, 2, 0, 0, 0, 2),
        ("visit:entry_page", "over", day, "/a", 1, True, 1, 0, 0, 0, 1),
        ("visit:entry_page", "head", day, "/a", 1, True, 1, 0, 0, 0, 1),
        ("visit:exit_page", "inside", day, "/a", 0, False, 1, 0, 0, 0, 1),
        ("visit:exit_page", "inside", day, "/b", 0, False, 1, 0, 0, 0, 1),
        ("visit:exit_page", "over", day, "/b", 1, True, 1, 0, 0, 0, 1),
        ("visit:exit_page", "head", day, "/a", 1, True, 1, 0, 0, 0, 1),
    ]


def busy() -> list[Row]:
    """Pages of few and of many on one day and on three, from two sources; rows without a key; a day of another page."""
    found = [
        row(1 + visitor, f"2026-11-{day} 10:{page:02}:{visitor:02}.000", f"/{page}", source=source)
        for page in range(40)
        for visitor in range(1 + page % 9 if page % 5 else 20 + page // 2)
        for day in (10, 11, 12)[: 1 + page % 3]
        for source in ("Google",)
    ]
    found += [
        row(70 + n, f"2026-11-1{n % 3}T23:50:0{n % 9}.000"[:23].replace("T", " "), "/5", source="Google")
        for n in range(9)
    ]
    found += [row(70 + n, f"2026-11-1{n % 3 + 1} 00:05:0{n % 9}.000", "/6", source="Google") for n in range(9)]
    found += [row(0, "2026-11-10 10:00:00.000", f"/{page}", source="Google", kind="count") for page in range(3)]
    return [*found, row(99, "2026-11-10 10:00:00.000", "/elsewhere")]


@pytest.mark.parametrize("members", [8, 1000])
def test_the_first_pages_are_those_of_the_rows(twice: Twice, monkeypatch: pytest.MonkeyPatch, members: int) -> None:
    keep(monkeypatch, members)
    twice.fill(busy())
    for minimum, (limit, offset), range_, asked in product((1, 4), ((9, 0), (5, 7)), RANGES[:2], CUBES):
        page = {"limit": limit, "offset": offset}
        agree(twice, minimum, {"date_range": range_, "pagination": page, "filters": [GOOGLE], **asked})


@pytest.mark.parametrize("members", [1, 8])
def test_a_visit_that_went_on_with_another_device_is_of_the_first(
    twice: Twice, monkeypatch: pytest.MonkeyPatch, members: int
) -> None:
    """Of its two lines one counts the visit, whether the sets of a page are kept or joined from lines."""
    found, number = [], 0
    for day, (visits_, then) in product((10, 11), ((3, "mobile"), (4, "desktop"))):
        for second in range(visits_):
            number += 1
            found.append(row(number, f"2026-11-{day} 10:00:{second:02}.000", "/first", device=then))
            found.append(row(number, f"2026-11-{day} 10:05:{second:02}.000", "/then", device="mobile"))
    found += [row(100 + page, "2026-11-10 12:00:00.000", f"/{page}", device="mobile") for page in range(12)]
    keep(monkeypatch, members)
    twice.fill(found)
    for minimum, asked in product((1, 5), CUBES):
        agree(twice, minimum, {"date_range": RANGES[0], "pagination": {"limit": 1}, "filters": [MOBILE], **asked})


def check(twice: Twice, patch: pytest.MonkeyPatch, held: list[Row], members: int, minimum: int) -> None:
    keep(patch, members)
    patch.setattr(groups, "MOST", 9)  # never all of them: there are three
    twice.fill(held)
    for range_, click, asked in product(RANGES, CLICKS, CUBES):
        agree(twice, minimum, {"date_range": range_, "pagination": {"limit": 2}, "filters": [click], **asked})


@settings(max_examples=3, deadline=None, suppress_health_check=FIXTURES, phases=[Phase.generate])
@given(held=rows(), members=st.integers(1, 3), minimum=st.integers(1, 3))
def test_any_visits(twice: Twice, monkeypatch: pytest.MonkeyPatch, held: list[Row], members: int, minimum: int) -> None:
    check(twice, monkeypatch, held, members, minimum)


@pytest.mark.audit
@pytest.mark.timeout(3600)
@settings(max_examples=150, deadline=None, suppress_health_check=FIXTURES)
@given(held=rows(), members=st.integers(1, 3), minimum=st.integers(1, 3))
def test_any_visits_and_many_more(
    twice: Twice, monkeypatch: pytest.MonkeyPatch, held: list[Row], members: int, minimum: int
) -> None:
    check(twice, monkeypatch, held, members, minimum)


def test_crossed_cells_go_with_their_build(twice: Twice, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(monkeypatch, 1)
    twice.fill(visits())
    assert store.query("SELECT count() > 0 FROM cross_cells") == [(1,)]
    store.command("TRUNCATE TABLE events")
    cellbuild.forget_builds(store, LATER + dt.timedelta(hours=1))
    assert store.query("SELECT count() FROM cross_cells") == [(0,)]


def test_a_build_without_them_is_read_from_its_lines(
    twice: Twice, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day with very many pages has none, and one that the engine has no memory for counts all the same."""
    asked = {"date_range": RANGES[0], "pagination": {"limit": 5}, "filters": [GOOGLE], **PAGES}

    def no_memory(*_: object, **__: object) -> None:
        raise StoreError("memory limit exceeded", 241)

    for name, instead in (("MOST_PAGES", 30), ("write_crossed", no_memory)):
        with monkeypatch.context() as patch:
            patch.setattr(cellbuild, name, instead)
            twice.fill(busy())
        flags = store.query("SELECT level, day, crossed FROM cell_builds WHERE level = 'day' ORDER BY day")
        assert [crossed for _, _, crossed in flags] == [False, *([name == "MOST_PAGES"] * (len(flags) - 1))]
        assert bounds(twice.reporting(0), PAGES, GOOGLE) == [False]
        agree(twice, 4, asked)


def test_another_failure_of_the_engine_is_not_hidden(twice: Twice, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise StoreError("no such column", 47)

    monkeypatch.setattr(cellbuild, "write_crossed", broken)
    with pytest.raises(StoreError):
        twice.fill(busy())
