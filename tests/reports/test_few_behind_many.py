"""What an answer says beside its groups tells nothing of one that is too small either."""

from __future__ import annotations

from typing import Any

import pytest

from analytics.reports.dashboard import overview
from analytics.reports.goals import Goal
from analytics.reports.query import parse_object
from tests.reports.conftest import NOW, row
from tests.reports.test_answers import ALL, Over, ask, by_label, people
from tests.reports.test_http import Outside


def engaged(visitor: int, seconds: int = 20, scroll: int = 70) -> dict[str, Any]:
    at = f"2026-11-10 11:{visitor % 60:02}:00"
    return row(visitor, at, "/a", kind="event", name="engagement", engagement_ms=seconds * 1000, scroll=scroll)


def test_an_average_rests_on_those_who_scrolled_and_not_on_all_who_came(reporting: Over) -> None:
    averages = ("visitors", "scroll_depth", "time_on_page")
    one = reporting([*people(30, "/a"), engaged(1)], minimum_cell=5)
    assert by_label(ask(one, *averages, dimensions=["event:page"])) == {"/a": [30, None, None]}


def test_an_average_of_enough_is_told(reporting: Over) -> None:
    averages = ("visitors", "scroll_depth", "time_on_page")
    five = reporting([*people(30, "/a"), *(engaged(visitor) for visitor in range(1, 6))], minimum_cell=5)
    assert by_label(ask(five, *averages, dimensions=["event:page"])) == {"/a": [30, 70, 20]}


@pytest.mark.parametrize(
    ("buyers", "unkeyed", "told"), [(1, 0, False), (4, 0, False), (5, 0, True), (2, 3, True), (0, 0, True)]
)
def test_what_a_few_buyers_paid_is_not_told(reporting: Over, buyers: int, unkeyed: int, told: bool) -> None:
    """Ten reach the goal, of whom few paid: their sum, or an average over it, is what somebody paid."""
    paid = {"kind": "event", "name": "buy", "revenue": "20.5", "currency": "EUR"}
    rows = [row(v, "2026-11-10 10:00:00", **(paid | ({} if v <= buyers else {"revenue": None}))) for v in range(1, 11)]
    rows += [row(0, f"2026-11-10 11:0{n}:00", **paid) for n in range(unkeyed)]
    held = reporting(rows, minimum_cell=5)
    held.saved.add("goal", "site.example", Goal(name="Purchase", event="buy", currency="EUR"))
    for asked in ({"dimensions": ["event:goal"]}, {"filters": [["is", "event:goal", ["Purchase"]]]}):
        visitors, total, average = ask(held, "visitors", "total_revenue", "average_revenue", **asked)[0]["metrics"]
        assert visitors == 10
        if told:
            number = buyers + unkeyed
            assert (total["value"], average["value"]) == (20.5 * number, 20.5 if number else 0)
        else:
            assert total is average is None


def test_when_a_small_group_came_is_not_told(reporting: Over) -> None:
    rows = [*people(30, "/a"), row(98, "2026-11-13 08:21:06", "/join")]
    rows += [row(99, f"2026-11-12 06:{minute:02}:16", "/join") for minute in range(9)]
    held = reporting(rows, minimum_cell=5)
    join = {"filters": [["is", "event:page", ["/join"]]]}
    for time in ("time:minute", "time:hour", "time:day", "time:month"):
        assert ask(held, "visitors", "pageviews", dimensions=[time], **join) == []
    assert by_label(ask(held, "visitors", dimensions=["time:month"])) == {"2026-11-01": [32]}


@pytest.mark.parametrize(("visitors", "share"), [(1, None), (4, None), (5, 0.6667), (10, 0.5)])
def test_the_share_without_a_key_is_not_told_of_few_visitors(
    reporting: Over, visitors: int, share: float | None
) -> None:
    nobody = [row(0, "2026-11-10 11:00:00", kind="count") for _ in range(10)]
    held = reporting([*people(visitors, "/a"), *nobody], minimum_cell=5)
    query = {"site_id": "site.example", "metrics": ["visitors", "pageviews"], "date_range": ALL}
    assert held.ask(parse_object(query))["meta"]["share_without_key"] == share


def test_a_country_that_is_not_known_can_be_filtered_by_the_name_that_an_answer_gives_it(reporting: Over) -> None:
    held = reporting([row(1, "2026-11-10 10:00:00", country=""), row(2, "2026-11-10 10:00:00", country="AT")])
    (unknown,) = [name for name in by_label(ask(held, "visitors", dimensions=["visit:country"])) if name != "AT"]
    assert ask(held, "visitors", filters=[["is", "visit:country", [unknown]]])[0]["metrics"] == [1]
    assert ask(held, "visitors", filters=[["is_not", "visit:country", [unknown]]])[0]["metrics"] == [1]


def test_cohorts_are_of_those_who_pass_the_filters(reporting: Over) -> None:
    rows = [row(v, "2026-11-03 10:00:00", country="AT" if v < 3 else "DE") for v in (1, 2, 3)]
    rows += [row(v, "2026-11-10 10:00:00", country="DE") for v in (1, 3)]
    held = reporting(rows)
    for country, expected in (("AT", [2, 1]), ("DE", [2, 2]), ("FR", None)):
        asked = {"date_range": ALL, "filters": [["is", "visit:country", [country]]]}
        found = held.explore("cohorts", "site.example", asked)
        assert [week["visitors"] for week in found] == ([expected] if expected else []), country


def test_an_earlier_day_is_told_where_the_later_one_is_empty(reporting: Over) -> None:
    held = reporting([*people(3, "/", day=3), *people(2, "/", first=1, day=4), *people(4, "/", first=1, day=11)])
    asked: dict[str, Any] = {"dimensions": ["time:day"], "include": {"compare": "previous_period"}}
    found = ask(held, "visitors", "bounce_rate", **asked, date_range=["2026-11-10", "2026-11-16"])
    days = [(line["dimensions"][0], line["metrics"][0], line["comparison"]["metrics"]) for line in found]
    assert days == [("2026-11-10", 0, [3, 100]), ("2026-11-11", 4, [2, 100])]


def test_a_page_of_a_trend_keeps_to_its_limit(reporting: Over) -> None:
    held = reporting([*people(3, "/", day=3), *people(2, "/", first=1, day=4), *people(4, "/", first=1, day=11)])
    asked: dict[str, Any] = {"dimensions": ["time:day"], "include": {"compare": "previous_period", "total_rows": True}}
    for limit, offset, days in ((1, 0, ["2026-11-10"]), (1, 1, ["2026-11-11"]), (1, 2, [])):
        page = {"limit": limit, "offset": offset}
        query = {"site_id": "site.example", "metrics": ["visitors"], "date_range": ["2026-11-10", "2026-11-16"]}
        answer = held.ask(parse_object({**query, **asked, "pagination": page}))
        assert [line["dimensions"][0] for line in answer["results"]] == days
        assert answer["meta"]["total_rows"] == 2


def test_a_comparison_does_not_say_nobody_where_few_are_hidden(reporting: Over) -> None:
    held = reporting(
        [*people(9, "/", day=3), *people(9, "/", first=20, day=4), *people(1, "/", day=11)], minimum_cell=5
    )
    asked: dict[str, Any] = {"dimensions": ["time:day"], "include": {"compare": "previous_period"}}
    found = ask(held, "visitors", **asked, date_range=["2026-11-10", "2026-11-16"])
    days = [(line["dimensions"][0], line["metrics"], line["comparison"]["metrics"]) for line in found]
    assert days == [("2026-11-10", [None], [9]), ("2026-11-11", [None], [9])]


@pytest.mark.parametrize(("visitors", "state"), [(1, "Too few visitors to show"), (0, "Nothing in this period")])
def test_a_page_without_numbers_says_why(reporting: Over, visitors: int, state: str) -> None:
    """Few are not nobody: nothing is drawn as zero."""
    outside = Outside(reporting([*people(visitors, "/a", day=10), *people(9, "/", day=2)], minimum_cell=5))
    where = "/?site=site.example&from=2026-11-10&to=2026-11-11"
    for _ in range(20):
        text = outside.call("GET", where, outside.analyst).text
        if 'http-equiv="refresh"' not in text:
            break
    states = {"Too few visitors to show", "Nothing in this period"}
    assert {name for name in states if name in text} == {state}


def test_a_trend_of_which_each_day_is_hidden_is_not_drawn_as_zero(reporting: Over) -> None:
    rows = [row(day, f"2026-11-{day:02} 10:00:00", "/") for day in range(2, 9)]
    query = {"site_id": "site.example", "metrics": ["visitors"], "date_range": ["2026-11-01", "2026-11-10"]}
    asked: dict[str, Any] = {**query, "dimensions": ["time:day"], "include": {"time_labels": True}}
    answer = reporting(rows, minimum_cell=5).ask(parse_object(asked))
    assert set(overview._series(answer, NOW)[1]) == {None}
    assert set(overview._series({**answer, "meta": {**answer["meta"], "suppressed_rows": 0}}, NOW)[1]) == {0}
