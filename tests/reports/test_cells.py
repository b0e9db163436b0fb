"""Cells tell exactly what the raw rows tell, whatever lies across a midnight; out of date, they are not read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.reports import answer as answers
from analytics.reports import cellbuild, holdings
from analytics.reports.dashboard.warming import warm
from analytics.reports.daterange import of_days, resolve
from analytics.reports.goals import Goal
from analytics.reports.kept import Kept
from analytics.reports.planner import plan
from analytics.reports.pool import Pool
from analytics.reports.query import parse_object
from analytics.reports.reporting import Reporting
from analytics.reports.saved import Saved
from analytics.store import Store, StoreError
from analytics.subject import erase
from tests.reports.conftest import Row, insert, row
from tests.reports.test_numbers import GOALS, queries

SITE = "site.example"
START = dt.datetime(2026, 11, 9, 22, 0, tzinfo=dt.UTC)
BUILT = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
LATER = BUILT + dt.timedelta(minutes=30)  # long after any build: what is out of date is not excused any more


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """Rows of a few visitors and of nobody over three days, many of them around midnight on two clocks."""
    near = st.builds(lambda day, minute: day * 1440 + minute, st.integers(0, 2), st.integers(40, 160))
    minutes = draw(st.lists(st.one_of(near, st.integers(0, 4000)), min_size=1, max_size=30, unique=True))
    found = []
    for minute in minutes:
        name = draw(st.sampled_from(["pageview", "pageview", "pageview", "signup", "engagement"]))
        visitor = draw(st.integers(0, 3))
        if visitor == 0 and name == "engagement":
            name = "request"  # a picture in an imported log
        kind = (
            "count" if visitor == 0 and name in ("pageview", "request") else "view" if name == "pageview" else "event"
        )
        at = (START + dt.timedelta(minutes=minute)).strftime("%Y-%m-%d %H:%M:%S.000")
        more = {
            "source": draw(st.sampled_from(["", "Google", "news.example"])),
            "utm_campaign": draw(st.sampled_from(["", "autumn"])),
            "country": draw(st.sampled_from(["", "AT", "DE"])),
            "browser": draw(st.sampled_from(["Firefox", "Chrome"])),
            "device": draw(st.sampled_from(["desktop", "mobile"])),
        }
        path = draw(st.sampled_from(["/", "/a", "/b"]))
        found.append(row(visitor, at, path, kind=kind, name=name, **more))
    return found


TOTALS = ["visitors", "visits", "pageviews", "events", "views_per_visit", "bounce_rate", "visit_duration"]
OF_ROWS = ["visitors", "pageviews", "events"]
OF_VISITS = ["visitors", "visits", "bounce_rate", "views_per_visit", "visit_duration"]
QUESTIONS: list[dict[str, Any]] = [
    {"metrics": TOTALS},
    {"metrics": OF_ROWS, "dimensions": ["event:page"]},
    {"metrics": OF_ROWS, "dimensions": ["event:name"]},
    {"metrics": [*OF_ROWS, "percentage"], "dimensions": ["visit:device"]},
    {"metrics": OF_ROWS, "dimensions": ["time:day"]},
    {"metrics": OF_ROWS, "dimensions": ["time:week", "visit:country_name"]},
    {"metrics": OF_VISITS, "dimensions": ["visit:source"]},
    {"metrics": OF_VISITS, "dimensions": ["time:day"]},
    {"metrics": OF_VISITS, "dimensions": ["visit:exit_page", "time:month"]},
    {"metrics": [*OF_ROWS, *OF_VISITS[1:]], "dimensions": ["visit:entry_page"]},
    {"metrics": [*OF_ROWS, "visits"], "dimensions": ["visit:utm_campaign"]},
    {"metrics": ["visitors", "bounce_rate"], "dimensions": ["event:page"]},
    {"metrics": ["visitors", "bounce_rate"], "dimensions": ["visit:country"]},
    {"metrics": OF_ROWS, "filters": [["is", "visit:source", ["Direct / None", "Google"]]]},
    {"metrics": OF_VISITS, "filters": [["is_not", "visit:source", ["Google"]]], "dimensions": ["visit:source"]},
    {"metrics": OF_ROWS, "filters": [["or", [["contains", "event:page", ["a"]], ["matches", "event:page", ["^/$"]]]]]},
    {"metrics": OF_VISITS, "filters": [["not", ["is", "visit:country", ["AT"]]]]},
]
ACROSS: list[dict[str, Any]] = [
    {"metrics": TOTALS, "filters": [["is", "visit:source", ["Google"]], ["is_not", "visit:device", ["mobile"]]]},
    {"metrics": ["visitors"], "dimensions": ["visit:country", "visit:source"]},
    {"metrics": OF_ROWS, "dimensions": ["visit:country"], "filters": [["is", "visit:source", ["Google"]]]},
    {"metrics": OF_ROWS, "dimensions": ["time:day"], "filters": [["is", "visit:source", ["Google", "Direct / None"]]]},
    {"metrics": OF_ROWS, "dimensions": ["time:week", "visit:exit_page"], "filters": [["is", "visit:country", ["DE"]]]},
    {"metrics": OF_VISITS, "dimensions": ["time:day"], "filters": [["contains_not", "visit:browser", ["fox"]]]},
    {"metrics": OF_VISITS, "dimensions": ["visit:entry_page"], "filters": [["matches", "visit:utm_campaign", ["^a"]]]},
    {
        "metrics": [*OF_ROWS[:2], "visits", "percentage"],
        "dimensions": ["visit:country_name", "visit:browser"],
        "filters": [["or", [["is", "visit:source", ["(not set)"]], ["is", "visit:exit_page", ["/b"]]]]],
    },
]
PAGE_A = ["is", "event:page", ["/a"]]
STEPS: list[dict[str, Any]] = [
    {"metrics": TOTALS, "filters": [PAGE_A]},
    {"metrics": OF_VISITS[:3], "dimensions": ["visit:source"], "filters": [PAGE_A]},
    {"metrics": OF_ROWS, "dimensions": ["visit:country_name"], "filters": [["is", "event:page", ["/", "/b"]]]},
    {"metrics": OF_ROWS, "dimensions": ["event:page"], "filters": [["is", "visit:source", ["Google"]]]},
    {"metrics": ["visitors"], "dimensions": ["time:day"], "filters": [["contains_not", "event:page", ["a"]]]},
    {"metrics": [*OF_ROWS, "bounce_rate"], "dimensions": ["event:page", "visit:device"], "filters": [PAGE_A]},
    {"metrics": TOTALS, "filters": [["has_done", PAGE_A], ["is_not", "visit:country", ["DE"]]]},
    {"metrics": OF_ROWS, "dimensions": ["event:page"], "filters": [["has_not_done", ["is", "event:goal", ["Signup"]]]]},
    {"metrics": ["visitors", "events", "conversion_rate"], "dimensions": ["event:goal"], "filters": [PAGE_A]},
    {"metrics": OF_VISITS[2:], "dimensions": ["event:page"], "filters": [["or", [PAGE_A, ["has_done", PAGE_A]]]]},
    {"metrics": TOTALS, "filters": [["is", "event:goal", ["Read"]], ["is", "visit:source", ["Google"]]]},
    {"metrics": OF_ROWS, "dimensions": ["event:name", "time:week"], "filters": [["not", PAGE_A]]},
    {"metrics": OF_VISITS[2:], "dimensions": ["event:page"], "filters": [["is", "event:name", ["signup"]]]},
]
SOME = [*QUESTIONS[::3], *ACROSS[::3], *STEPS[::3]]
RANGES = [("2026-11-09", "2026-11-13"), ("2026-11-10", "2026-11-11"), ("2026-11-11", "2026-11-11")]


class Twice:
    """The same questions over raw rows and over cells."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.built = BUILT
        for goal in GOALS:
            Saved(folder).add("goal", SITE, Goal(**goal))

    def reporting(self, raw_rows: int, zone: str = "UTC", now: dt.datetime = LATER) -> Reporting:
        pool = Pool(lambda: self.store, 1)
        return Reporting(pool, self.folder, None, minimum_cell=1, zone=zone, now=lambda: now, raw_rows=raw_rows)

    def fill(self, rows: list[Row], zone: str = "UTC") -> None:
        for table in ("events", "cells", "visits", "visit_pages", "cross_cells", "cell_builds", "numbers"):
            self.store.command(f"TRUNCATE TABLE {table}")
        insert(self.store, rows)
        self.count(zone)

    def count(self, zone: str = "UTC", now: dt.datetime = BUILT) -> list[cellbuild.Due]:
        return cellbuild.count_cells(self.store, SITE, zone, lambda: now, 600)

    def agree(
        self, zone: str, ranges: list[tuple[str, str]] = RANGES, questions: Sequence[dict[str, Any]] = SOME
    ) -> None:
        raw, cells = self.reporting(10**9, zone), self.reporting(0, zone)
        for range_ in ranges:
            for question in questions:
                query = parse_object({**question, "site_id": SITE, "date_range": range_})
                given = raw.ask(query), cells.ask(query)
                shown = [sorted((line["dimensions"], line["metrics"]) for line in each["results"]) for each in given]
                assert shown[0] == shown[1], (question, range_)
                assert given[0]["meta"] == given[1]["meta"]


@pytest.fixture
def twice(store: Store, tmp_path: Path) -> Twice:
    return Twice(store, tmp_path)


def check(twice: Twice, held: list[Row], zone: str, ranges: list[tuple[str, str]], part: int | None = None) -> None:
    """`part`: every second question only, the even ones or the odd ones."""
    twice.fill(held, zone)
    asked = [*QUESTIONS, *ACROSS, *STEPS]
    twice.agree(zone, ranges, asked if part is None else asked[part::2])


FIXTURES = [HealthCheck.function_scoped_fixture]


@settings(max_examples=5, deadline=None, suppress_health_check=FIXTURES)
@given(held=rows(), zone=st.sampled_from(["UTC", "Europe/Vienna"]), range_=st.sampled_from(RANGES))
def test_cells_tell_what_the_rows_tell(twice: Twice, held: list[Row], zone: str, range_: tuple[str, str]) -> None:
    check(twice, held, zone, [range_], part=len(held) % 2)


@pytest.mark.audit
@pytest.mark.timeout(3600)
@settings(max_examples=200, deadline=None, suppress_health_check=FIXTURES)
@given(held=rows(), zone=st.sampled_from(["UTC", "Europe/Vienna", "America/New_York"]), range_=st.sampled_from(RANGES))
def test_cells_tell_what_the_rows_tell_on_many_more(
    twice: Twice, held: list[Row], zone: str, range_: tuple[str, str]
) -> None:
    check(twice, held, zone, [range_])


@settings(max_examples=6, deadline=None, suppress_health_check=FIXTURES)
@given(held=rows(), asked=st.lists(queries(), min_size=12, max_size=12), range_=st.sampled_from(RANGES))
def test_cells_answer_any_question_as_the_rows_do(
    twice: Twice, held: list[Row], asked: list[dict[str, Any]], range_: tuple[str, str]
) -> None:
    twice.fill(held)
    twice.agree("UTC", [range_], [{**query, "date_range": range_} for query in asked])


@pytest.mark.audit
@pytest.mark.timeout(3600)
@settings(max_examples=150, deadline=None, suppress_health_check=FIXTURES)
@given(held=rows(), asked=st.lists(queries(), min_size=20, max_size=20), range_=st.sampled_from(RANGES))
def test_cells_answer_any_question_as_the_rows_do_on_many_more(
    twice: Twice, held: list[Row], asked: list[dict[str, Any]], range_: tuple[str, str]
) -> None:
    twice.fill(held)
    twice.agree("UTC", [range_], [{**query, "date_range": range_} for query in asked])


def across_midnight() -> list[Row]:
    """Visitor 1 enters on the eve and leaves on another page after midnight; visitor 2 comes on both days."""
    return [
        row(1, "2026-11-10 23:50:00", "/in", source="Google"),
        row(1, "2026-11-11 00:10:00", "/out", source="news.example"),
        row(2, "2026-11-10 10:00:00", "/in", source="Google"),
        row(2, "2026-11-11 10:00:00", "/in"),
    ]


def test_a_visit_across_midnight_is_cut_at_the_edge_of_the_range_only(twice: Twice) -> None:
    twice.fill(across_midnight())
    held = twice.reporting(0)
    for range_, sources, exits in (
        (("2026-11-10", "2026-11-11"), {"Google": 2, "Direct / None": 1}, {"/in": 1, "/out": 1}),
        (("2026-11-10", "2026-11-10"), {"Google": 2}, {"/in": 2}),
        (("2026-11-11", "2026-11-11"), {"news.example": 1, "Direct / None": 1}, {"/out": 1, "/in": 1}),
    ):
        for dimension, expected in (("visit:source", sources), ("visit:exit_page", exits)):
            query = {"site_id": SITE, "metrics": ["visitors"], "date_range": range_, "dimensions": [dimension]}
            results = held.ask(parse_object(query))["results"]
            assert {line["dimensions"][0]: line["metrics"][0] for line in results} == expected


def of_cells(reporting: Reporting, **question: Any) -> list[bool]:
    query = parse_object({"site_id": SITE, "date_range": ["2026-11-10", "2026-11-11"], **question})
    range_ = resolve(query.date_range, now=reporting.now())
    found = plan(query, range_, reporting.saved.goals(SITE), reporting.cover(SITE, range_))
    return [part.of_cells for part in found.parts]


def test_every_question_of_the_list_is_answered_by_cells(twice: Twice) -> None:
    twice.fill(across_midnight())
    held = twice.reporting(0)
    for question in [*QUESTIONS, *ACROSS, *STEPS]:
        assert all(of_cells(held, **question)), question
    for other in (
        {"metrics": ["visitors"], "dimensions": ["time:hour"]},
        {"metrics": ["visitors"], "filters": [["has_done", ["is", "event:hostname", ["x"]]]]},
        {"metrics": ["visits"], "filters": [["is", "event:props:plan", ["pro"]]]},
        {"metrics": ["visits"], "dimensions": ["event:page"]},
        {"metrics": ["visits"], "dimensions": ["event:name"]},
        {"metrics": ["visitors"], "dimensions": ["time:hour", "visit:source"]},
    ):
        assert not any(of_cells(held, **other)), other


def test_cells_are_left_alone_where_the_rows_are_few_or_have_changed(twice: Twice, store: Store) -> None:
    twice.fill(across_midnight())
    question = {"metrics": ["visitors"]}
    assert of_cells(twice.reporting(0), **question) == [True]
    assert of_cells(twice.reporting(1000), **question) == [False]
    insert(store, [row(3, "2026-11-11 12:00:00")])
    assert of_cells(twice.reporting(0), **question) == [False]
    assert of_cells(twice.reporting(0, now=BUILT + dt.timedelta(seconds=60)), **question) == [
        True
    ]  # a moment is excused
    assert [(due.level, due.day.day) for due in twice.count(now=LATER)] == [
        ("midnight", 12),
        ("day", 11),
        ("midnight", 11),
    ]
    assert of_cells(twice.reporting(0), **question) == [True]
    twice.agree("UTC")


@pytest.mark.parametrize("table", ["restricted", "objected"])
def test_a_switched_visitor_is_out_of_the_cells_too(twice: Twice, store: Store, table: str) -> None:
    twice.fill(across_midnight())
    store.command(f"INSERT INTO {table} (visitor, site) VALUES (1, '{SITE}')")
    assert of_cells(twice.reporting(0), metrics=["visitors"]) == [False]
    twice.count(now=LATER)
    assert of_cells(twice.reporting(0), metrics=["visitors"]) == [True]
    twice.agree("UTC")


def test_an_erased_visitor_leaves_cells_and_numbers(twice: Twice, store: Store, tmp_path: Path) -> None:
    twice.fill(across_midnight())
    erase(store, tmp_path, [1])
    assert store.query("SELECT visitor FROM numbers") == [(2,)]
    assert store.query("SELECT uniqExact(number), countIf(source = 'news.example') FROM visits") == [(1, 0)]
    assert of_cells(twice.reporting(0), metrics=["visitors"]) == [False]
    twice.count(now=LATER)
    assert of_cells(twice.reporting(0), metrics=["visitors"]) == [True]
    twice.agree("UTC")


def test_a_visitor_without_rows_loses_the_number(twice: Twice, store: Store) -> None:
    twice.fill(across_midnight())
    store.command("ALTER TABLE events DELETE WHERE visitor = 2", mutations_sync=2)
    cellbuild.forget_numbers(store)
    assert store.query("SELECT visitor FROM numbers") == [(1,)]


def test_a_visit_across_two_midnights_leaves_visits_to_the_rows(twice: Twice) -> None:
    steps = [START + dt.timedelta(minutes=25 * n) for n in range(65)]
    twice.fill([row(1, at.strftime("%Y-%m-%d %H:%M:%S.000"), "/board") for at in steps])
    assert of_cells(twice.reporting(0), metrics=["visitors", "pageviews"]) == [True]
    assert of_cells(twice.reporting(0), metrics=["visits"]) == [False]
    twice.agree("UTC")


def test_a_week_is_put_together_from_its_days_and_again_when_one_changes(twice: Twice, store: Store) -> None:
    twice.fill([row(v, f"2026-11-{day:02} 10:00:00", f"/{v}") for day in range(9, 16) for v in (1, 2)])
    twice.count(now=LATER)
    held = twice.reporting(0, now=LATER)
    cover = held.cover(SITE, of_days(dt.date(2026, 11, 8), dt.date(2026, 11, 16), "UTC"))
    assert cover is not None
    assert (len(cover.days), len(cover.whole)) == (7, 1)
    twice.agree("UTC", [("2026-11-08", "2026-11-16")])
    insert(store, [row(3, "2026-11-12 12:00:00")])
    twice.count(now=LATER + dt.timedelta(minutes=10))
    cover = twice.reporting(0, now=LATER).cover(SITE, of_days(dt.date(2026, 11, 8), dt.date(2026, 11, 16), "UTC"))
    assert cover is not None
    assert len(cover.whole) == 7  # the old week is not read, the new one waits until its days have settled
    twice.agree("UTC", [("2026-11-08", "2026-11-16")])


def test_replaced_builds_go_when_nobody_can_be_reading_them(twice: Twice, store: Store) -> None:
    twice.fill(across_midnight())
    before = {row[0] for row in store.query("SELECT DISTINCT build FROM cells")}
    insert(store, [row(3, "2026-11-11 12:00:00")])
    twice.count(now=LATER)
    twice.count(now=LATER + dt.timedelta(minutes=10))
    after = {row[0] for row in store.query("SELECT DISTINCT build FROM cells")}
    assert len(before - after) == 2
    assert after <= {row[0] for row in store.query("SELECT build FROM cell_builds")}
    assert after >= {row[0] for row in store.query("SELECT DISTINCT build FROM visits")}
    twice.agree("UTC")


def test_cells_of_days_past_their_retention_go(twice: Twice, store: Store) -> None:
    twice.fill(across_midnight())
    store.command("ALTER TABLE events DROP PARTITION '20261110'")
    twice.count(now=LATER)
    for table in ("cells", "visits"):
        assert store.query(f"SELECT count() FROM {table} WHERE day = '2026-11-10' AND part = 'inside'") == [(0,)]
    twice.agree("UTC")


def test_what_was_counted_goes_with_its_rows_on_a_site_that_is_not_busy_any_more(twice: Twice, store: Store) -> None:
    twice.fill(across_midnight())
    assert store.query("SELECT count() FROM visits")[0][0] > 0
    store.command("TRUNCATE TABLE events")
    assert cellbuild.forget_builds(store, LATER) > 0
    assert store.query("SELECT count() FROM visits UNION ALL SELECT count() FROM cells") == [(0,), (0,)]


def test_what_an_interrupted_count_left_goes(twice: Twice, store: Store) -> None:
    twice.fill(across_midnight())
    held = store.query("SELECT count() FROM visits")
    store.command("INSERT INTO visits (build, day, part, number, visits) VALUES (7, '2026-11-10', 'inside', 1, 1)")
    assert cellbuild.forget_builds(store, BUILT) == 1
    assert store.query("SELECT count() FROM visits") == held


def test_merging_the_rows_does_not_make_cells_out_of_date(twice: Twice, store: Store) -> None:
    twice.fill(across_midnight())
    insert(store, [row(3, "2026-11-11 12:00:00")])
    twice.count(now=LATER)
    before = holdings.read_raw(store).fingerprint
    store.command("OPTIMIZE TABLE events FINAL")
    assert holdings.read_raw(store).fingerprint == before


def test_one_question_asked_at_once_is_counted_once() -> None:
    import threading

    kept, counted, go = Kept(answers=2), [], threading.Event()

    def count() -> dict[str, Any]:
        go.wait(10)
        counted.append(1)
        return {"results": [1]}

    asked = [threading.Thread(target=kept.get, args=("a", count)) for _ in range(8)]
    for thread in asked:
        thread.start()
    go.set()
    for thread in asked:
        thread.join()
    assert counted == [1]
    for key in "bc":
        kept.get(key, count)
    kept.get("a", count)
    assert len(counted) == 4  # the oldest of three had to go


def test_a_kept_answer_is_not_given_when_the_rows_or_the_goals_have_changed(
    reporting: Callable[..., Reporting], store: Store
) -> None:
    held = reporting([row(1, "2026-11-10 10:00:00")])
    query = parse_object({"site_id": SITE, "metrics": ["visitors"], "date_range": ["2026-11-10", "2026-11-10"]})
    first = held.ask(query)
    assert held.ask(query) is first
    insert(store, [row(2, "2026-11-10 10:00:00")])
    assert held.ask(query)["results"][0]["metrics"] == [2]
    store.command(f"INSERT INTO restricted (visitor, site) VALUES (1, '{SITE}')")
    assert held.ask(query)["results"][0]["metrics"] == [1]


def test_the_overview_of_a_busy_site_is_counted_before_anybody_looks(
    twice: Twice, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice.fill(across_midnight())
    held = twice.reporting(0, now=dt.datetime(2026, 11, 20, 12, 15, tzinfo=dt.UTC))
    warm(held, SITE)
    counted = len(held.kept)
    assert counted >= 6

    def not_again(*asked: object) -> None:
        raise AssertionError(f"counted again: {asked[1]}")

    monkeypatch.setattr(answers, "answer", not_again)
    warm(held, SITE)
    assert len(held.kept) == counted


def test_a_store_of_an_older_version_is_answered_from_its_rows(twice: Twice, store: Store) -> None:
    """Whoever only reads changes no table: a report after an update, before the service was started again."""
    twice.fill(across_midnight())
    store.command("ALTER TABLE cell_builds DROP COLUMN crossed")
    try:
        assert of_cells(twice.reporting(0), metrics=["visitors"]) == [False]
        answered = twice.reporting(0).ask(
            parse_object({"site_id": SITE, "metrics": ["visitors"], "date_range": RANGES[0]})
        )
        assert answered["results"] == [{"dimensions": [], "metrics": [2]}]
    finally:
        store.command("ALTER TABLE cell_builds ADD COLUMN crossed Bool")
    with pytest.raises(StoreError):
        holdings.read_builds(_Broken(), SITE, "UTC")


class _Broken:
    def query(self, sql: str, params: Any = None, **settings: Any) -> list[tuple[Any, ...]]:
        raise StoreError("another fault", 241)
