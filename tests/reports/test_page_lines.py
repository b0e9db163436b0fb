"""Questions about pages are answered from the lines of pages, and exactly as the rows answer them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from analytics.reports import cellbuild
from analytics.reports.daterange import Range, of_days
from analytics.reports.lines import SURE
from analytics.reports.planner import Statement, plan
from analytics.reports.pool import Pool
from analytics.reports.query import parse_object
from analytics.reports.reporting import Reporting
from analytics.store import Store
from analytics.subject import erase
from tests.reports.conftest import Row, row
from tests.reports.test_cells import LATER, PAGE_A, SITE, Twice

GOOGLE = ["is", "visit:source", ["Google"]]
MOBILE = ["is", "visit:device", ["mobile"]]
DAYS = of_days(dt.date(2026, 11, 9), dt.date(2026, 11, 13), "UTC")
OF_PAGES: list[dict[str, Any]] = [
    {"metrics": ["visitors", "pageviews", "events"], "dimensions": ["event:page"], "filters": [GOOGLE]},
    {"metrics": ["visitors"], "dimensions": ["event:page", "visit:country"], "filters": [["not", MOBILE]]},
    {"metrics": ["pageviews"], "dimensions": ["time:day"], "filters": [["contains", "event:page", ["a"]], GOOGLE]},
    {"metrics": ["events"], "filters": [["or", [PAGE_A, GOOGLE]]]},
    {"metrics": ["visitors", "visits"], "dimensions": ["visit:source"], "filters": [PAGE_A]},
    {"metrics": ["bounce_rate", "visit_duration", "views_per_visit"], "filters": [PAGE_A, MOBILE]},
    {"metrics": ["visits"], "dimensions": ["time:week", "visit:browser"], "filters": [PAGE_A]},
]
OF_MORE: list[dict[str, Any]] = [
    {"metrics": ["visitors"], "dimensions": ["visit:country"], "filters": [GOOGLE]},
    {"metrics": ["visitors"], "dimensions": ["event:page"], "filters": [["is", "visit:entry_page", ["/a"]]]},
    {"metrics": ["visitors"], "dimensions": ["event:page"], "filters": [["has_done", PAGE_A]]},
    {"metrics": ["visits"], "filters": [["is", "event:page", ["/", "/a"]]]},
    {"metrics": ["visits"], "filters": [["is_not", "event:page", ["/a"]]]},
    {"metrics": ["visits"], "filters": [["or", [PAGE_A, GOOGLE]]]},
    {"metrics": ["visits"], "filters": [PAGE_A, ["contains", "event:page", ["a"]]]},
    {"metrics": ["bounce_rate"], "dimensions": ["event:page"], "filters": [GOOGLE]},
    {"metrics": ["events"], "dimensions": ["event:name"], "filters": [PAGE_A]},
]


@pytest.fixture
def twice(store: Store, tmp_path: Path) -> Twice:
    return Twice(store, tmp_path)


def statements(held: Reporting, asked: dict[str, Any], range_: Range = DAYS) -> list[Statement]:
    query = parse_object({"site_id": SITE, "date_range": ["2026-11-09", "2026-11-13"], **asked})
    return list(plan(query, range_, (), held.cover(SITE, range_)).parts)


def visits() -> list[Row]:
    """Pages seen twice in a visit, left for another and left by a click; a visit on two devices; one that crosses a
    midnight; and rows without a key."""
    google: dict[str, Any] = {"source": "Google", "country": "AT"}
    return [
        row(1, "2026-11-10 10:00:00.000", "/a", **google),
        row(1, "2026-11-10 10:01:00.000", "/a", kind="event", name="engagement", **google),
        row(1, "2026-11-10 10:02:00.000", "/b", **google),
        row(1, "2026-11-10 10:03:00.000", "/a", **google),
        row(1, "2026-11-10 10:04:00.000", "/a", kind="event", name="signup", **google),
        row(2, "2026-11-10 12:00:00.000", "/a", device="desktop", **google),
        row(2, "2026-11-10 12:05:00.000", "/b", device="mobile", **google),
        row(2, "2026-11-12 12:05:00.000", "/a", device="mobile"),
        row(3, "2026-11-10 23:50:00.000", "/a", device="mobile", **google),
        row(3, "2026-11-11 00:10:00.000", "/b", device="mobile"),
        row(4, "2026-11-11 09:00:00.000", "/b", kind="event", name="engagement", **google),
        row(0, "2026-11-10 10:00:00.000", "/a", kind="count"),
        row(0, "2026-11-10 11:00:00.000", "/b", kind="count", **google),
    ]


def test_lines_of_pages_answer_what_is_asked_of_pages_and_nothing_else(twice: Twice) -> None:
    twice.fill(visits())
    held = twice.reporting(0)
    for asked, of_pages in [*((each, True) for each in OF_PAGES), *((each, False) for each in OF_MORE)]:
        assert {"visit_pages" in part.sql for part in statements(held, asked)} == {of_pages}, asked


def test_pages_of_visits_are_counted_as_the_rows_count_them(twice: Twice) -> None:
    twice.fill(visits())
    twice.agree("UTC", questions=[*OF_PAGES, *OF_MORE])


def test_the_first_visitor_of_a_site_is_not_taken_for_nobody(twice: Twice) -> None:
    """Rows without a key have the number 0, so no visitor may have it: their lines would be one."""
    same: dict[str, Any] = {"source": "Google", "country": "AT", "device": "mobile"}
    twice.fill([row(1, "2026-11-10 10:00:00.000", "/a", **same), row(0, "2026-11-10 11:00:00.000", "/a", **same)])
    twice.agree("UTC", questions=[*OF_PAGES, *OF_MORE])


def test_the_first_pages_under_a_filter_are_those_of_the_rows(twice: Twice, store: Store, tmp_path: Path) -> None:
    """Pages of few and of many, on one day and on three; some are hidden, and some for the sake of those."""
    rows = [
        row(1 + visitor, f"2026-11-{day} {page:02}:00:{visitor:02}.000", f"/{page}", source="Google", city=f"c{page}")
        for page in range(24)
        for visitor in range(1 + page % 9 if page % 5 else SURE + page)
        for day in (10, 11, 12)[: 1 + page % 3]
    ]
    rows += [row(0, "2026-11-10 10:00:00.000", f"/{page}", source="Google", kind="count") for page in range(3)]
    twice.fill([*rows, row(99, "2026-11-10 10:00:00.000", "/elsewhere")])
    pool = Pool(lambda: store, 1)
    raw, cells = (
        Reporting(pool, tmp_path, None, minimum_cell=4, now=lambda: LATER, raw_rows=least) for least in (10**9, 0)
    )
    google = [["contains", "visit:source", ["oogle"]]]  # no click, so no cells of two dimensions
    for dimension, metric in (("event:page", "pageviews"), ("visit:entry_page", "visits"), ("visit:city", "pageviews")):
        asked: dict[str, Any] = {"metrics": ["visitors", metric], "dimensions": [dimension], "filters": google}
        assert all("uniqUpTo" in part.bounds for part in statements(cells, asked))
        for limit, offset in ((9, 0), (5, 7), (30, 20)):
            query = parse_object(
                {
                    "site_id": SITE,
                    "date_range": ["2026-11-09", "2026-11-13"],
                    "pagination": {"limit": limit, "offset": offset},
                    "include": {"total_rows": True},
                    **asked,
                }
            )
            given = raw.ask(query), cells.ask(query)
            assert given[0]["results"] == given[1]["results"]
            assert given[0]["meta"] == given[1]["meta"]


def test_lines_of_pages_go_with_their_visitor_and_with_their_build(twice: Twice, store: Store, tmp_path: Path) -> None:
    twice.fill(visits())
    assert store.query("SELECT uniqExactIf(number, unkeyed = 0) FROM visit_pages") == [(4,)]
    erase(store, tmp_path, [1, 4])
    assert store.query("SELECT uniqExactIf(number, unkeyed = 0) FROM visit_pages") == [(2,)]
    store.command("TRUNCATE TABLE events")
    cellbuild.forget_builds(store, LATER + dt.timedelta(hours=1))
    assert store.query("SELECT count() FROM visit_pages") == [(0,)]


@pytest.mark.parametrize(
    ("filters", "pages"),
    [
        ([["is", "event:name", ["signup"]]], ["/in"]),
        ([["not", ["is_not", "event:name", ["signup"]]]], ["/in"]),
        ([["is", "event:name", ["signup"]], ["is", "event:page", ["/in"]]], ["/in"]),
        ([["is", "event:name", ["/in"]]], []),
    ],
)
def test_an_event_is_never_looked_for_among_entry_pages(twice: Twice, filters: list[Any], pages: list[str]) -> None:
    """Metrics of visits by page stand at the page where a visit began; a filter by the name of an event does not."""
    rows = [row(1, "2026-11-10 10:00:00", "/in"), row(2, "2026-11-10 11:00:00", "/other")]
    twice.fill([*rows, row(1, "2026-11-10 10:05:00", "/form", kind="event", name="signup")])
    asked = {"metrics": ["views_per_visit"], "dimensions": ["event:page"], "filters": filters, "site_id": SITE}
    for raw_rows in (10**9, 0):
        query = parse_object({**asked, "date_range": ["2026-11-09", "2026-11-13"]})
        results = twice.reporting(raw_rows).ask(query)["results"]
        assert [line["dimensions"] for line in results] == [[page] for page in pages]
