"""The Stats API from outside, against a running service: written from the published schema of Plausible's version 2.

Four visits that a reader can count by hand, and a minimum cell of one, so that every number is shown. `DIFFERENT` holds
what is answered otherwise on purpose; docs/reports.md says why.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reports.test_service_process import Running as Service

TODAY = dt.datetime.now(dt.UTC).date()
ONE, TWO = ((TODAY - dt.timedelta(days=n)).isoformat() for n in (3, 2))
POLICY = """
revision = 1
updated = 2026-11-01
[controller]
name = "Example"
[site]
hosts = ["site.example"]
[anonymity]
minimum_cell = 1
"""
GOOGLE = {
    "source": "Google", "referrer_host": "google.com", "channel": "Organic Search", "utm_medium": "cpc",
    "utm_source": "google", "utm_campaign": "autumn", "utm_content": "blue", "utm_term": "shoes",
}  # fmt: skip
VIENNA = {
    "country": "AT", "region": "AT-9", "city": "Vienna", "browser": "Firefox", "browser_version": "132",
    "os": "Windows", "os_version": "11", "device": "desktop",
}  # fmt: skip
BERLIN = {
    "country": "DE", "region": "DE-BE", "city": "Berlin", "browser": "Chrome", "browser_version": "131",
    "os": "Android", "os_version": "15", "device": "mobile",
}  # fmt: skip
SIGNUP = {"kind": "event", "name": "signup", "props": {"plan": "pro"}, "revenue": "20.5", "currency": "EUR"}
READ = {"kind": "event", "name": "engagement", "scroll": 50, "engagement_ms": 30_000}
ROWS: list[dict[str, Any]] = [
    {"visitor": 1, "time": f"{ONE} 10:00:00.000", "path": "/a", **GOOGLE, **VIENNA},
    {"visitor": 1, "time": f"{ONE} 10:05:00.000", "path": "/b", **VIENNA},
    {"visitor": 1, "time": f"{ONE} 10:06:00.000", "path": "/b", **VIENNA, **SIGNUP},
    {"visitor": 2, "time": f"{ONE} 11:00:00.000", "path": "/a", **BERLIN},
    {
        "visitor": 1,
        "time": f"{TWO} 09:00:00.000",
        "path": "/a",
        "source": "news.example",
        "channel": "Referral",
        **VIENNA,
    },
    {"visitor": 3, "time": f"{TWO} 12:00:00.000", "path": "/b", **BERLIN},
    {"visitor": 3, "time": f"{TWO} 12:00:30.000", "path": "/b", **BERLIN, **READ},
]
FILL = """
import sys
from pathlib import Path
from analytics.store import open_store
with open_store(None, Path(sys.argv[1])) as store:
    store.command("INSERT INTO events FORMAT JSONEachRow\\n" + sys.stdin.read())
"""


class Stats(Service):
    """Answers as `{labels of the dimensions: metrics}`."""

    def post(self, query: dict[str, Any], token: str | None = None) -> tuple[int, dict[str, Any]]:
        asked = {"site_id": "site.example", "metrics": ["visitors"], "date_range": [ONE, TWO]} | query
        asked = {key: value for key, value in asked.items() if value != "left out"}
        status, body = self.send("/api/v2/query", asked, self.token if token is None else token)
        answer: dict[str, Any] = json.loads(body)
        return status, answer

    def ask(self, **query: Any) -> dict[tuple[Any, ...], list[Any]]:
        status, answer = self.post(query)
        assert status == 200, answer
        return {tuple(row["dimensions"]): row["metrics"] for row in answer["results"]}


@pytest.fixture(scope="module")
def stats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stats]:
    folder = tmp_path_factory.mktemp("stats")
    plain = {"site": "site.example", "kind": "view", "name": "pageview", "host": "site.example", "basis": "consent"}
    lines = "\n".join(json.dumps({**plain, "loaded": row["time"][:19], **row}) for row in ROWS)
    subprocess.run([sys.executable, "-c", FILL, str(folder)], input=lines, text=True, check=True, timeout=120)
    Path(folder / "privacy.toml").write_text(POLICY)
    service = Stats(folder)
    for goal in ({"name": "Signup", "event": "signup", "currency": "EUR"}, {"name": "Read B", "page": "/b"}):
        assert service.send("/api/definitions/goal?site=site.example", goal, service.token)[0] == 201
    yield service
    service.process.terminate()
    service.process.communicate(timeout=60)


METRICS: dict[str, Any] = {
    "visitors": 3, "visits": 4, "pageviews": 5, "events": 6, "views_per_visit": 1.25, "bounce_rate": 75,
    "visit_duration": 98,
}  # fmt: skip


def test_every_plain_metric(stats: Stats) -> None:
    assert stats.ask(metrics=list(METRICS)) == {(): list(METRICS.values())}
    for metric, value in METRICS.items():
        assert stats.ask(metrics=[metric]) == {(): [value]}


def test_metrics_of_goals_pages_and_revenue(stats: Stats) -> None:
    money = {"value": 20.5, "currency": "EUR", "short": "EUR 20.5", "long": "EUR 20.50"}
    of_goal: dict[str, Any] = {"filters": [["is", "event:goal", ["Signup"]]]}
    assert stats.ask(metrics=["visitors", "events", "conversion_rate"], **of_goal) == {(): [1, 1, 33.33]}
    assert stats.ask(metrics=["total_revenue", "average_revenue"], **of_goal) == {(): [money, money]}
    assert stats.ask(metrics=["conversion_rate"], dimensions=["event:goal"]) == {
        ("Signup",): [33.33],
        ("Read B",): [66.67],
    }
    by_country = {"dimensions": ["visit:country"], **of_goal}
    assert stats.ask(metrics=["group_conversion_rate", "conversion_rate"], **by_country) == {("AT",): [100.0, 33.33]}
    on_page: dict[str, Any] = {"filters": [["is", "event:page", ["/b"]]]}
    assert stats.ask(metrics=["scroll_depth", "time_on_page"], **on_page) == {(): [50, 30]}
    assert stats.ask(metrics=["visitors", "percentage"], dimensions=["visit:country"]) == {
        ("AT",): [1, 33.33],
        ("DE",): [2, 66.67],
    }


@pytest.mark.parametrize(
    ("dimension", "visitors"),
    [
        ("event:name", {"pageview": 3, "signup": 1, "engagement": 1}),
        ("event:page", {"/a": 2, "/b": 2}),
        ("event:hostname", {"site.example": 3}),
        ("event:goal", {"Signup": 1, "Read B": 2}),
        ("event:props:plan", {"pro": 1, "(none)": 3}),
        ("visit:source", {"Google": 1, "Direct / None": 2, "news.example": 1}),
        ("visit:referrer", {"google.com": 1, "Direct / None": 3}),
        ("visit:channel", {"Organic Search": 1, "Direct": 2, "Referral": 1}),
        ("visit:utm_medium", {"cpc": 1, "(not set)": 3}),
        ("visit:utm_source", {"google": 1, "(not set)": 3}),
        ("visit:utm_campaign", {"autumn": 1, "(not set)": 3}),
        ("visit:utm_content", {"blue": 1, "(not set)": 3}),
        ("visit:utm_term", {"shoes": 1, "(not set)": 3}),
        ("visit:screen", {"desktop": 1, "mobile": 2}),
        ("visit:device", {"desktop": 1, "mobile": 2}),
        ("visit:browser", {"Firefox": 1, "Chrome": 2}),
        ("visit:browser_version", {"132": 1, "131": 2}),
        ("visit:os", {"Windows": 1, "Android": 2}),
        ("visit:os_version", {"11": 1, "15": 2}),
        ("visit:country", {"AT": 1, "DE": 2}),
        ("visit:country_name", {"Austria": 1, "Germany": 2}),
        ("visit:region", {"AT-9": 1, "DE-BE": 2}),
        ("visit:region_name", {"AT-9": 1, "DE-BE": 2}),
        ("visit:city", {"Vienna": 1, "Berlin": 2}),
        ("visit:city_name", {"Vienna": 1, "Berlin": 2}),
        ("visit:entry_page", {"/a": 2, "/b": 1}),
        ("visit:exit_page", {"/a": 2, "/b": 2}),
        ("visit:entry_page_hostname", {"site.example": 3}),
        ("visit:exit_page_hostname", {"site.example": 3}),
        ("time", {ONE: 2, TWO: 2}),
        ("time:day", {ONE: 2, TWO: 2}),
        ("time:hour", {f"{ONE} 10:00:00": 1, f"{ONE} 11:00:00": 1, f"{TWO} 09:00:00": 1, f"{TWO} 12:00:00": 1}),
    ],
)
def test_every_dimension(stats: Stats, dimension: str, visitors: dict[str, int]) -> None:
    if dimension == "time":
        hours = stats.ask(dimensions=["time"])  # of two days, plain time means hours
        assert set(hours) == set(stats.ask(dimensions=["time:hour"]))
        return
    assert {key[0]: metrics[0] for key, metrics in stats.ask(dimensions=[dimension]).items()} == visitors


def test_weeks_and_months_begin_on_mondays_firsts_and_with_the_range(stats: Stats) -> None:
    first, second = dt.date.fromisoformat(ONE), dt.date.fromisoformat(TWO)
    weeks = {max(day - dt.timedelta(days=day.weekday()), first).isoformat() for day in (first, second)}
    assert {key[0] for key in stats.ask(dimensions=["time:week"])} == weeks
    assert {key[0] for key in stats.ask(dimensions=["time:month"])} == {
        d.replace(day=1).isoformat() for d in (first, second)
    }


PRO = ["is", "event:props:plan", ["pro"]]


@pytest.mark.parametrize(
    ("filters", "visitors"),
    [
        ([["is", "visit:country", ["AT", "FR"]]], 1),
        ([["is_not", "visit:country", ["AT"]]], 2),
        ([["contains", "event:page", ["b"]]], 2),
        ([["contains_not", "event:page", ["b"]]], 2),
        ([["matches", "visit:browser", ["^F.*x$"]]], 1),
        ([["matches_not", "visit:browser", ["^F", "^Ch"]]], 0),
        ([["is", "visit:source", ["google"]]], 0),
        ([["is", "visit:source", ["google"], {"case_sensitive": False}]], 1),
        ([["contains", "visit:source", ["GOO"], {"case_sensitive": False}]], 1),
        ([["is", "visit:source", ["Direct / None"]]], 2),
        ([["is", "event:props:plan", ["(none)"]]], 3),
        ([["is", "event:goal", ["Signup"]]], 1),
        ([["contains", "event:goal", ["Read"]]], 2),
        ([["and", [["is", "visit:os", ["Windows"]], ["is", "event:page", ["/a"]]]]], 1),
        ([["or", [["is", "visit:os", ["Windows"]], ["is", "event:page", ["/a"]]]]], 2),
        ([["not", ["or", [["is", "visit:os", ["Windows"]], ["is", "event:page", ["/b"]]]]]], 1),
        ([["is", "visit:os", ["Windows"]], ["is", "visit:entry_page", ["/a"]]], 1),
        ([["has_done", PRO]], 1),
        ([["has_not_done", PRO]], 3),
        ([["has_done", ["is", "event:goal", ["Read B"]]], ["is", "event:page", ["/a"]]], 1),
    ],
)
def test_every_operator(stats: Stats, filters: list[Any], visitors: int) -> None:
    assert stats.ask(filters=filters) == {(): [visitors]}


def test_a_segment_is_used_by_its_number(stats: Stats) -> None:
    segment = {"name": "Austrians", "filters": [["is", "visit:country", ["AT"]]]}
    status, body = stats.send("/api/definitions/segment?site=site.example", segment, stats.token)
    assert status == 201, body
    assert stats.ask(filters=[["is", "segment", [json.loads(body)["id"]]]]) == {(): [1]}


@pytest.mark.parametrize("range_", ["7d", "28d", "30d", "91d", "12mo", "year", "month", "6mo", "day", "24h", "all"])
def test_every_named_range_is_echoed_as_a_pair_of_instants(stats: Stats, range_: str) -> None:
    status, answer = stats.post({"date_range": range_})
    assert status == 200
    first, last = map(dt.datetime.fromisoformat, answer["query"]["date_range"])
    inside = first.date() <= dt.date.fromisoformat(ONE) and last.date() >= dt.date.fromisoformat(TWO)
    assert answer["results"][0]["metrics"] == [3 if inside else answer["results"][0]["metrics"][0]]
    if range_.endswith("d"):
        assert (last.date() - first.date()).days + 1 == int(range_[:-1])
        assert inside


def test_a_range_of_instants_is_cut_to_the_second(stats: Stats) -> None:
    assert stats.ask(date_range=[f"{ONE}T10:05:00+00:00", f"{ONE}T10:05:59+00:00"], metrics=["pageviews"]) == {(): [1]}
    assert stats.ask(date_range=[f"{ONE}T12:05:00+02:00", f"{ONE}T13:00:00+02:00"], metrics=["pageviews"]) == {(): [2]}


def test_order_pages_and_what_is_included(stats: Stats) -> None:
    query = {"metrics": ["visitors", "pageviews"], "dimensions": ["event:page", "visit:country"]}
    order = [["visitors", "asc"], ["event:page", "desc"], ["visit:country", "desc"]]
    whole = list(stats.ask(**query, order_by=order))
    assert whole == [("/b", "DE"), ("/b", "AT"), ("/a", "DE"), ("/a", "AT")]
    status, page = stats.post(
        {**query, "order_by": order, "pagination": {"limit": 2, "offset": 1}, "include": {"total_rows": True}}
    )
    assert (status, page["meta"]["total_rows"]) == (200, 4)
    assert [tuple(row["dimensions"]) for row in page["results"]] == whole[1:3]
    _, days = stats.post({"dimensions": ["time:day"], "include": {"time_labels": True, "imports": True}})
    assert days["meta"]["time_labels"] == [ONE, TWO]
    assert "imports_included" in days["meta"]
    assert set(days) == {"results", "meta", "query"}
    assert set(days["results"][0]) == {"metrics", "dimensions"}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"site_id": "left out"}, "$"),
        ({"metrics": "left out"}, "$"),
        ({"date_range": "left out"}, "$"),
        ({"metrics": []}, "$.metrics"),
        ({"metrics": ["visitors", "visitors"]}, "$.metrics[1]"),
        ({"metrics": ["visitor"]}, "$.metrics[0]"),
        ({"dimensions": ["visit:sauce"]}, "$.dimensions[0]"),
        ({"dimensions": ["visit:os", "visit:os"]}, "$.dimensions[1]"),
        ({"date_range": "fortnight"}, "$.date_range"),
        ({"date_range": ["2026-01-02", "2026-01-01"]}, "$.date_range"),
        ({"date_range": ["2026-01-02"]}, "$.date_range"),
        ({"filters": [["resembles", "visit:os", ["x"]]]}, "$.filters[0]"),
        ({"filters": [["is", "time:day", ["x"]]]}, "$.filters[0][1]"),
        ({"filters": [["is_not", "event:goal", ["Signup"]]]}, "$.filters[0][0]"),
        ({"filters": [["matches", "visit:os", ["("]]]}, "$.filters[0]"),
        ({"filters": [["is", "event:goal", ["Unheard of"]]]}, "$.filters[0]"),
        ({"filters": [["is", "visit:os", ["x"], {"case": True}]]}, "$.filters[0][3].case"),
        ({"filters": [["and", []]]}, "$.filters[0][1]"),
        ({"order_by": [["pageviews", "desc"]]}, "$.order_by[0]"),
        ({"order_by": [["visitors", "down"]]}, "$.order_by[0][1]"),
        ({"pagination": {"limit": 0}}, "$.pagination.limit"),
        ({"pagination": {"limit": 10_001}}, "$.pagination.limit"),
        ({"pagination": {"page": 1}}, "$.pagination"),
        ({"include": {"time_labels": True}}, "$.include.time_labels"),
        ({"include": {"weather": True}}, "$.include"),
        ({"metrics": ["percentage"]}, "$.metrics[0]"),
        ({"metrics": ["conversion_rate"]}, "$.metrics[0]"),
        ({"metrics": ["scroll_depth"]}, "$.metrics[0]"),
        ({"metrics": ["bounce_rate"], "dimensions": ["event:name"]}, "$.metrics[0]"),
        ({"nonsense": 1}, "$.nonsense"),
    ],
)
def test_every_fault_is_a_400_that_says_where(stats: Stats, change: dict[str, Any], path: str) -> None:
    status, answer = stats.post(change)
    assert (status, set(answer)) == (400, {"error", "path"})
    assert answer["path"].startswith(path)
    assert answer["error"]


def test_a_wrong_key_and_a_wrong_site_are_401(stats: Stats) -> None:
    for status, answer in (stats.post({}, "wrong"), stats.post({}, ""), stats.post({"site_id": "other.example"})):
        assert status == 401
        assert set(answer) == {"error"}


# What the published schema allows and this service refuses, or the other way round.
DIFFERENT: list[tuple[dict[str, Any], int]] = [
    ({"filters": [["is", "visit:os", []]]}, 400),  # no clause at all is an oversight
    ({"filters": [["is", "visit:os_version", [11]]]}, 400),  # numbers stand for cities and segments only
    ({"include": {"comparisons": {"mode": "previous_period"}}}, 400),  # `compare` here
    ({"include": {"compare": "previous_period"}}, 200),
    ({"dimensions": ["time:minute"]}, 200),
    ({"order_by": [["event:goal", "asc"]], "dimensions": ["event:goal"]}, 200),
    ({"lane": "released"}, 400),  # nothing is sealed here
    ({"with_intervals": True}, 400),  # of the released lane only
]


@pytest.mark.parametrize(("change", "status"), DIFFERENT)
def test_what_differs_differs_on_purpose(stats: Stats, change: dict[str, Any], status: int) -> None:
    assert stats.post(change)[0] == status
