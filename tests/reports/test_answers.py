"""Answers on visits that a reader can count by hand: small cells, clocks, comparison, funnels, journeys, cohorts."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from typing import Any

import pytest

from analytics.reports.daterange import labels, of_days, previous, resolve
from analytics.reports.errors import QueryError, UnknownSite
from analytics.reports.goals import Goal
from analytics.reports.query import parse_object
from analytics.reports.reporting import Reporting
from analytics.reports.saved import Annotation, Segment
from analytics.store import Store
from analytics.visits import visits_sql
from tests.reports.conftest import NOW, Row, insert, row

Over = Callable[..., Reporting]
ALL = ["2026-11-01", "2026-11-30"]


def ask(held: Reporting, *metrics: str, **more: Any) -> list[dict[str, Any]]:
    query = {"site_id": "site.example", "metrics": list(metrics), "date_range": ALL, **more}
    found: list[dict[str, Any]] = held.ask(parse_object(query))["results"]
    return found


def by_label(results: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {" ".join(result["dimensions"]): result["metrics"] for result in results}


def people(count: int, path: str, first: int = 1, day: int = 10) -> list[Row]:
    return [row(visitor, f"2026-11-{day:02} 10:{visitor % 60:02}:00", path) for visitor in range(first, first + count)]


def test_a_unique_visitor_of_many_days_is_one_visitor(reporting: Over) -> None:
    held = reporting([row(1, f"2026-11-{day:02} 10:00:00") for day in range(1, 11)])
    assert ask(held, "visitors", "visits", "pageviews")[0]["metrics"] == [1, 10, 10]


def test_rows_without_a_key_are_page_views_and_never_visitors(reporting: Over) -> None:
    held = reporting([row(1, "2026-11-10 10:00:00"), *[row(0, "2026-11-10 11:00:00", kind="count") for _ in range(3)]])
    query = {"site_id": "site.example", "metrics": ["visitors", "pageviews"], "date_range": ALL}
    answer = held.ask(parse_object(query))
    assert answer["results"][0]["metrics"] == [1, 4]
    assert answer["meta"]["share_without_key"] == 0.75


def test_what_a_log_says_of_pictures_is_nobody_without_a_key(reporting: Over) -> None:
    picture = {"kind": "count", "name": "request", "path": "/a.png"}
    held = reporting([row(1, "2026-11-10 10:00:00"), *[row(0, "2026-11-10 10:00:00", **picture) for _ in range(3)]])
    answer = held.ask(parse_object({"site_id": "site.example", "metrics": ["pageviews"], "date_range": ALL}))
    assert answer["results"][0]["metrics"] == [1]
    assert answer["meta"]["share_without_key"] == 0.0


def test_bots_and_restricted_and_objecting_visitors_are_left_out(reporting: Over, store: Store) -> None:
    held = reporting([row(1, "2026-11-10 10:00:00"), row(2, "2026-11-10 10:00:00"), row(3, "2026-11-10 10:00:00")])
    insert(store, [row(4, "2026-11-10 10:00:00", bot="search")])
    for table, visitor in (("restricted", 2), ("objected", 3)):
        store.command(f"INSERT INTO {table} (visitor, site) VALUES ({visitor}, 'site.example')")
    assert ask(held, "visitors", "pageviews")[0]["metrics"] == [1, 1]


def test_a_cell_below_the_minimum_is_left_out_and_counted(reporting: Over) -> None:
    held = reporting([*people(20, "/a"), *people(12, "/b"), *people(3, "/c"), *people(2, "/d")], minimum_cell=5)
    query = {"site_id": "site.example", "metrics": ["visitors"], "date_range": ALL, "dimensions": ["event:page"]}
    answer = held.ask(parse_object(query))
    assert by_label(answer["results"]) == {"/a": [20], "/b": [12]}
    assert answer["meta"]["suppressed_rows"] == 2


def test_a_single_small_cell_takes_a_second_one_with_it(reporting: Over) -> None:
    held = reporting([*people(20, "/a"), *people(12, "/b", 21), *people(3, "/c", 40)], minimum_cell=5)
    assert by_label(ask(held, "visitors", "percentage", dimensions=["event:page"])).keys() == {"/a"}


def test_a_small_total_and_a_small_time_bucket_are_null_in_their_place(reporting: Over) -> None:
    held = reporting(people(3, "/"), minimum_cell=5)
    assert ask(held, "visitors", "pageviews")[0]["metrics"] == [None, None]
    held = reporting([*people(9, "/", day=11), *people(12, "/", day=12)], minimum_cell=5)
    results = ask(held, "visitors", dimensions=["time:day"])
    assert by_label(results) == {"2026-11-10": [None], "2026-11-11": [None], "2026-11-12": [12]}


def test_few_keyed_visitors_among_many_counts_hide_the_visitors_only(reporting: Over) -> None:
    counts = [row(0, f"2026-11-10 11:{minute:02}:00", kind="count") for minute in range(30)]
    held = reporting([*people(2, "/"), *counts], minimum_cell=5)
    assert ask(held, "visitors", "pageviews")[0]["metrics"] == [None, 32]


def test_a_day_is_what_the_site_clock_says_when_the_clock_changes() -> None:
    autumn = of_days(dt.date(2026, 10, 25), dt.date(2026, 10, 25), "Europe/Vienna")
    assert autumn.end - autumn.start == dt.timedelta(hours=25)
    hours = labels("time:hour", autumn)
    assert len(hours) == len(set(hours)) == 25
    assert hours[2:4] == ["2026-10-25 02:00:00+0200", "2026-10-25 02:00:00+0100"]
    spring = of_days(dt.date(2026, 3, 29), dt.date(2026, 3, 29), "Europe/Vienna")
    assert spring.end - spring.start == dt.timedelta(hours=23)
    assert len(labels("time:hour", spring)) == 23


def test_the_hour_that_comes_twice_is_two_rows(reporting: Over) -> None:
    rows = [row(1, "2026-10-25 00:30:00"), row(2, "2026-10-25 01:30:00"), row(3, "2026-10-25 02:30:00")]
    held = reporting(rows, zone="Europe/Vienna")
    found = by_label(ask(held, "visitors", dimensions=["time:hour"], date_range=["2026-10-25", "2026-10-25"]))
    assert found == {
        "2026-10-25 02:00:00+0200": [1],
        "2026-10-25 02:00:00+0100": [1],
        "2026-10-25 03:00:00": [1],
    }


@pytest.mark.parametrize("zone", ["UTC", "Europe/Vienna", "Asia/Kolkata", "America/St_Johns", "Pacific/Apia"])
@pytest.mark.parametrize("bucket", ["time:hour", "time:day", "time:week", "time:month"])
def test_every_row_falls_into_a_labelled_bucket(reporting: Over, zone: str, bucket: str) -> None:
    draw = random.Random(zone + bucket)
    start = dt.datetime(2026, 10, 20, tzinfo=dt.UTC)
    times = [start + dt.timedelta(minutes=draw.randrange(14 * 24 * 60)) for _ in range(200)]
    held = reporting([row(n, time.strftime("%Y-%m-%d %H:%M:%S")) for n, time in enumerate(times, 1)], zone=zone)
    query = {"site_id": "site.example", "metrics": ["pageviews"], "date_range": ["2026-10-19", "2026-11-04"]}
    answer = held.ask(parse_object(query | {"dimensions": [bucket], "include": {"time_labels": True}}))
    assert {result["dimensions"][0] for result in answer["results"]} <= set(answer["meta"]["time_labels"])
    assert sum(result["metrics"][0] for result in answer["results"]) == 200


def test_named_ranges_end_with_the_last_full_day_or_month() -> None:
    def span(name: str, now: dt.datetime = NOW) -> tuple[str, str]:
        found = resolve(name, now=now)
        return found.first_day.isoformat(), found.last_day.isoformat()

    assert span("day") == ("2026-11-20", "2026-11-20")
    assert span("7d") == ("2026-11-13", "2026-11-19")
    assert span("month") == ("2026-11-01", "2026-11-30")
    assert span("6mo") == ("2026-05-01", "2026-10-31")
    assert span("year") == ("2026-01-01", "2026-12-31")
    leap = dt.datetime(2028, 2, 29, 12, tzinfo=dt.UTC)
    assert previous(resolve("day", now=leap), "year_over_year").first_day == dt.date(2027, 2, 28)
    for wrong in ("0d", "7days", "9999mo", "-1d", "tomorrow"):
        with pytest.raises(QueryError):
            resolve(wrong, now=NOW)


def test_comparison_lays_the_period_before_beside_the_answer(reporting: Over) -> None:
    held = reporting([*people(4, "/", day=10), *people(2, "/", day=9)])
    result = ask(held, "visitors", date_range=["2026-11-10", "2026-11-10"], include={"compare": "previous_period"})[0]
    assert result["metrics"] == [4]
    assert result["comparison"] == {"dimensions": [], "metrics": [2], "change": [100]}


def test_revenue_is_counted_in_the_currency_of_its_goal(reporting: Over) -> None:
    bought = [row(n, "2026-11-10 10:00:00", kind="event", name="buy", revenue="2.5", currency="EUR") for n in (1, 2)]
    held = reporting([*bought, row(3, "2026-11-10 10:00:00")])
    held.saved.add("goal", "site.example", Goal(name="Purchase", event="buy", currency="EUR"))
    held.saved.add("goal", "site.example", Goal(name="Home", page="/"))
    found = by_label(ask(held, "total_revenue", "average_revenue", "conversion_rate", dimensions=["event:goal"]))
    assert [found["Purchase"][0]["value"], found["Purchase"][1]["value"]] == [5.0, 2.5]
    assert found["Purchase"][0]["currency"] == "EUR"
    assert found["Purchase"][2] == 66.67
    assert found["Home"][:2] == [None, None]
    with pytest.raises(QueryError, match="not configured"):
        ask(held, "visitors", filters=[["is", "event:goal", ["Nothing"]]])


def test_a_segment_is_its_filters_under_a_number(reporting: Over) -> None:
    held = reporting([*people(4, "/a"), *people(2, "/b", 10)])
    filters = parse_object(
        {"site_id": "x", "metrics": ["visitors"], "date_range": "all", "filters": [["is", "event:page", ["/a"]]]}
    ).filters
    number = held.saved.add("segment", "site.example", Segment("Readers", filters))
    assert ask(held, "visitors", filters=[["is", "segment", [number]]])[0]["metrics"] == [4]
    assert ask(held, "visitors", filters=[["not", ["is", "segment", [number]]]])[0]["metrics"] == [2]
    with pytest.raises(QueryError, match="no segment"):
        ask(held, "visitors", filters=[["is", "segment", [999]]])
    held.saved.add("annotation", "site.example", Annotation("Relaunch", "2026-11-10"))
    assert [note.name for _, note in held.saved.all("annotation", "site.example")] == ["Relaunch"]


def test_a_funnel_counts_steps_in_their_order_within_a_visit(reporting: Over) -> None:
    walks = {1: ["/a", "/b", "/c"], 2: ["/a", "/c", "/b"], 3: ["/b", "/a"], 4: ["/c"], 5: ["/a", "/x", "/b", "/c"]}
    rows = [row(v, f"2026-11-10 10:{n:02}:00", path) for v, walk in walks.items() for n, path in enumerate(walk)]
    held = reporting(rows)
    for name in "abc":
        held.saved.add("goal", "site.example", Goal(name=name, page=f"/{name}"))
    steps = held.explore("funnel", "site.example", {"date_range": ALL, "steps": ["a", "b", "c"]})
    assert [step["visitors"] for step in steps] == [4, 3, 2]
    held.minimum_cell = 3
    hidden = held.explore("funnel", "site.example", {"date_range": ALL, "steps": ["a", "b", "c"]})
    assert [step["visitors"] for step in hidden] == [4, None, None]


def test_a_journey_names_the_pages_before_and_after(reporting: Over) -> None:
    walks = {1: ["/a", "/b", "/c"], 2: ["/b", "/c"], 3: ["/a", "/b"]}
    rows = [row(v, f"2026-11-10 10:{n:02}:00", path) for v, walk in walks.items() for n, path in enumerate(walk)]
    found = reporting(rows).explore("journey", "site.example", {"date_range": ALL, "page": "/b"})
    assert found["previous"] == [{"page": "/a", "visitors": 2}, {"page": "", "visitors": 1}]
    assert found["next"] == [{"page": "/c", "visitors": 2}, {"page": "", "visitors": 1}]


def test_cohorts_count_who_came_back_in_later_weeks(reporting: Over) -> None:
    rows = [row(v, "2026-11-03 10:00:00") for v in (1, 2, 3)]
    rows += [row(v, "2026-11-10 10:00:00") for v in (1, 2, 9)] + [row(1, "2026-11-17 10:00:00")]
    found = reporting(rows).explore("cohorts", "site.example", {"date_range": ALL})
    assert found == [{"week": "2026-11-02", "visitors": [3, 2, 1]}, {"week": "2026-11-09", "visitors": [1, 0]}]


INJECTIONS = ["'", "') OR 1=1 --", "{p0:String}", "\\", "%", "/a\n", "`", "*/", "﷽" * 50, "a" * 1900]


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_value_can_become_sql(reporting: Over, text: str) -> None:
    held = reporting([row(1, "2026-11-10 10:00:00", text, props={text: text}), *people(3, "/other", 10)])
    for operator in ("is", "contains"):
        assert ask(held, "visitors", filters=[[operator, "event:page", [text]]])[0]["metrics"] == [1]
        assert ask(held, "visitors", filters=[[operator, "visit:entry_page", [text]]])[0]["metrics"] == [1]
    if len(text) < 180:
        assert by_label(ask(held, "visitors", dimensions=[f"event:props:{text}"]))[text] == [1]
    held.saved.add("goal", "site.example", Goal(name=text[:120], page=text.replace("*", "")))
    ask(held, "visitors", dimensions=["event:goal"])
    with pytest.raises(UnknownSite):
        held.ask(parse_object({"site_id": text[:200], "metrics": ["visitors"], "date_range": "all"}))


def test_a_broken_pattern_is_named(reporting: Over) -> None:
    held = reporting(people(2, "/"))
    with pytest.raises(QueryError, match="RE2") as caught:
        ask(held, "visitors", filters=[["matches", "event:page", ["^/ok$", "(["]]])
    assert caught.value.path == "$.filters[0]"


def test_visits_here_and_in_the_seal_are_the_same_visits(reporting: Over, store: Store) -> None:
    draw = random.Random(7)
    start = dt.datetime(2026, 11, 10, tzinfo=dt.UTC)
    times = [(start + dt.timedelta(seconds=draw.randrange(86_400))) for _ in range(400)]
    rows = [row(draw.randrange(1, 30), time.strftime("%Y-%m-%d %H:%M:%S"), draw.choice(["/a", "/b"])) for time in times]
    held = reporting(rows)
    found = ask(held, "visitors", "visits", "bounce_rate", dimensions=["visit:entry_page"])
    sql = f"SELECT entry_path, uniqExact(visitor), count(), round(100 * avg(bounce)) FROM {visits_sql()} GROUP BY 1"
    given = {"site": "site.example", "from": "2026-11-01 00:00:00.000", "to": "2026-12-01 00:00:00.000"}
    assert by_label(found) == {entry: [v, n, int(b)] for entry, v, n, b in store.query(sql, given)}
