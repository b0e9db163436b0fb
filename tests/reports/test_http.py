"""The API from outside: Plausible's shapes, tokens and their scope, lanes, exports, the log; sign-in and its limits."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.applications import Starlette

from analytics.reports.access import LINK, Access
from analytics.reports.api import Api
from analytics.reports.dashboard.pages import Dashboard
from analytics.reports.exploring import QUESTIONS
from analytics.reports.guard import Guard
from analytics.reports.reporting import Reporting
from tests.reports.conftest import row

QUERY = {"site_id": "site.example", "metrics": ["visitors", "pageviews"], "date_range": ["2026-11-01", "2026-11-30"]}


class Outside:
    """A client of the whole app; each call is one event loop."""

    def __init__(self, reporting: Reporting) -> None:
        self.access = Access(reporting.data_dir)
        self.guard = Guard(self.access)
        self.api = Api(reporting, self.guard)
        dashboard = Dashboard(self.api, self.guard)
        routes = [*self.api.routes(), *dashboard.routes()]
        self.app = Starlette(routes=routes, exception_handlers={404: dashboard.nothing_here})
        self.analyst = self.access.create("Ada", "analyst", ("site.example",))

    def call(self, method: str, path: str, token: str = "", **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://stats.example") as client:
                return await client.request(method, path, headers=headers | options.pop("headers", {}), **options)

        return asyncio.run(send())

    def ask(self, token: str | None = None, path: str = "/api/v2/query", **change: Any) -> httpx.Response:
        return self.call("POST", path, self.analyst if token is None else token, json=QUERY | change)


@pytest.fixture
def outside(reporting: Callable[..., Reporting]) -> Outside:
    rows = [row(n, f"2026-11-10 10:{n:02}:00", "/a" if n % 2 else "/b", source="Google") for n in range(1, 21)]
    return Outside(reporting([*rows, row(1, "2026-11-10 10:00:00", site="other.example")]))


def test_an_answer_has_the_published_shape(outside: Outside) -> None:
    answer = outside.ask(dimensions=["event:page"], order_by=[["event:page", "desc"]], include={"total_rows": True})
    body = answer.json()
    assert answer.status_code == 200
    assert body["results"] == [{"metrics": [10, 10], "dimensions": ["/b"]}, {"metrics": [10, 10], "dimensions": ["/a"]}]
    assert body["meta"]["total_rows"] == 2
    assert body["query"]["date_range"] == ["2026-11-01T00:00:00+00:00", "2026-11-30T23:59:59+00:00"]
    assert body["query"]["pagination"] == {"limit": 10000, "offset": 0}
    page = outside.ask(dimensions=["event:page"], pagination={"limit": 1, "offset": 1}).json()
    assert len(page["results"]) == 1


def test_a_fault_is_a_400_with_its_path(outside: Outside) -> None:
    answer = outside.ask(metrics=["visitrs"])
    assert answer.status_code == 400
    assert answer.json() == {
        "error": '$.metrics[0]: "visitrs" is not a metric (did you mean "visitors"?)',
        "path": "$.metrics[0]",
    }
    assert outside.call("POST", "/api/v2/query", outside.analyst, content=b"x" * 100_000).status_code == 400
    assert outside.call("POST", "/api/v2/query", outside.analyst, content=b"\xff{").status_code == 400


def test_no_wrong_revoked_or_narrower_token_sees_anything(outside: Outside) -> None:
    for token in ("", "ana_" + "x" * 43, "é" * 30):
        assert (
            outside.call(
                "POST", "/api/v2/query", json=QUERY, headers={"authorization": f"Bearer {token}".encode()}
            ).status_code
            == 401
        )
    assert outside.ask(site_id="other.example").status_code == 401
    assert outside.ask(site_id="nothing.example").json() == outside.ask(site_id="other.example").json()
    assert outside.call("GET", "/api/sites", outside.analyst).json()["sites"] == ["site.example"]
    grant = outside.access.find(outside.analyst)
    assert grant is not None
    outside.access.revoke(grant.id)
    assert outside.ask().status_code == 401


def test_another_process_revokes_a_token_at_once(outside: Outside) -> None:
    grant = outside.access.find(outside.analyst)
    assert grant is not None
    Access(outside.access.path.parent).revoke(grant.id)
    assert outside.ask().status_code == 401


def test_roles_and_links_stay_in_their_lane(outside: Outside) -> None:
    auditor = outside.access.create("Otto", "auditor")
    link = outside.access.create("board", LINK, ("site.example",))
    for token in (auditor, link):
        assert outside.ask(token).status_code == 400
        assert "released lane only" in outside.ask(token).json()["error"]
        assert outside.ask(token, path="/api/v2/funnel").status_code == 400
        assert outside.ask(token, path="/api/v2/export?format=csv").status_code == 400
        for kind in ("segment", "goal", "funnel", "annotation", "letter"):
            where = f"/api/definitions/{kind}?site=site.example"
            assert outside.call("GET", where, token).status_code == 403
            assert outside.call("GET", where, outside.analyst).status_code == 200
    assert outside.call("GET", "/api/query-log", auditor).status_code == 200
    assert outside.call("GET", "/api/query-log", link).status_code == 403
    assert outside.call("GET", "/api/query-log", outside.analyst).status_code == 403


def test_every_question_to_the_internal_lane_is_logged(outside: Outside) -> None:
    outside.ask(dimensions=["event:page"])
    outside.ask(dimensions=["event:page"], filters=[["matches", "event:page", ["(["]]])
    entries = outside.call("GET", "/api/query-log", outside.access.create("Eve", "operator")).json()["entries"]
    assert [(entry["name"], entry["site"]) for entry in entries] == [("Ada", "site.example")] * 2
    assert "RE2" in entries[0]["error"]
    assert entries[1]["query"]["dimensions"] == ["event:page"]
    assert entries[1]["rows"] == 2


def test_an_answer_can_be_taken_away_as_a_file(outside: Outside) -> None:
    def file(format_: str) -> bytes:
        return outside.ask(path=f"/api/v2/export?format={format_}", dimensions=["event:page"]).content

    expected = [
        {"event:page": "/a", "visitors": 10, "pageviews": 10},
        {"event:page": "/b", "visitors": 10, "pageviews": 10},
    ]
    assert json.loads(file("json")) == expected
    assert list(csv.DictReader(io.StringIO(file("csv").decode()))) == [
        {k: str(v) for k, v in r.items()} for r in expected
    ]
    assert pq.read_table(io.BytesIO(file("parquet"))).to_pylist() == expected
    assert pa.ipc.open_stream(file("arrow")).read_all().to_pylist() == expected
    assert outside.ask(path="/api/v2/export?format=xls").status_code == 400


def test_a_segment_is_checked_when_it_is_saved_and_not_when_it_is_used(outside: Outside) -> None:
    where = "/api/definitions/segment?site=site.example"
    for filters, fault in (([["is", "visit:sauce", ["IE"]]], "visit:sauce"), ([["is", "time:day", ["x"]]], "time")):
        refused = outside.call("POST", where, outside.analyst, json={"name": "bad", "filters": filters})
        assert refused.status_code == 400
        assert fault in refused.json()["error"]
    good = {"name": "good", "filters": [["is", "event:page", ["/a"]]]}
    id_ = outside.call("POST", where, outside.analyst, json=good).json()["id"]
    asked = outside.ask(filters=[["is", "segment", [id_]]], metrics=["visitors"], dimensions=[])
    assert asked.json()["results"] == [{"dimensions": [], "metrics": [10]}]


def test_goals_are_defined_over_the_api(outside: Outside) -> None:
    where = "/api/definitions/goal?site=site.example"
    made = outside.call("POST", where, outside.analyst, json={"name": "Read A", "page": "/a"})
    assert made.status_code == 201
    assert outside.call("POST", where, outside.analyst, json={"name": "x"}).status_code == 400
    assert (
        outside.call(
            "POST", where.replace("site.e", "other.e"), outside.analyst, json={"name": "x", "page": "/"}
        ).status_code
        == 401
    )
    assert outside.ask(metrics=["visitors"], dimensions=["event:goal"]).json()["results"] == [
        {"metrics": [10], "dimensions": ["Read A"]}
    ]
    gone = outside.call("DELETE", f"/api/definitions/goal/{made.json()['id']}?site=site.example", outside.analyst)
    assert gone.json() == {"removed": True}


def test_the_document_describes_the_routes(outside: Outside) -> None:
    document = outside.call("GET", "/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    undescribed = {"/openapi.json", "/api/schema/query.json"}
    told = {(path, verb.upper()) for path, verbs in document["paths"].items() for verb in verbs}
    held: set[tuple[str, str]] = set()
    for route in outside.api.routes():
        paths = [f"/api/v2/{what}" for what in QUESTIONS] if "{what}" in route.path else [route.path]
        held |= {(path, verb) for path in paths for verb in (route.methods or set()) - {"HEAD"}}
    assert told == {(path, verb) for path, verb in held if path not in undescribed}
    assert set(document["components"]["schemas"]) >= {"Query", "FunnelQuestion", "Goal", "Letter"}
    assert outside.call("GET", "/api/schema/query.json").json()["$defs"]["Query"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("what", "asked", "path", "reason"),
    [
        ("cohorts", {"filter": []}, "$.filter", 'unknown key (did you mean "filters"?)'),
        (
            "cohorts",
            {"filters": [["isnt", "event:page", ["/a"]]]},
            "$.filters[0]",
            'operator "isnt" (known: is,',
        ),
        ("cohorts", {"filters": [["is", "visit:sauce", ["a"]]]}, "$.filters[0][1]", "is not a dimension"),
        ("journey", {}, "$", "page is required"),
        ("journey", {"page": "/a\x00"}, "$.page", "NUL"),
        ("funnel", {"steps": ["a"]}, "$.steps", "two to eight goals"),
        ("funnel", {"steps": ["a", "b"]}, "$.steps", "not configured for this site (none is:"),
        ("cohorts", {"site_id": ""}, "$.site_id", "length >= 1"),
        ("funnel", {"steps": ["a", "b"], "page": "/"}, "$.page", "unknown key"),
        ("funnel", {"steps": ["a", "b"], "date_range": "never"}, "$.date_range", "never"),
    ],
)
def test_a_fault_in_a_question_about_ways_is_named(
    outside: Outside, what: str, asked: dict[str, Any], path: str, reason: str
) -> None:
    asked = {"site_id": "site.example", **asked}
    answer = outside.call("POST", f"/api/v2/{what}", outside.analyst, json=asked)
    assert answer.status_code == 400
    assert answer.json()["path"] == path
    assert reason in answer.json()["error"]


def test_a_question_without_its_site_is_no_question_of_the_key(outside: Outside) -> None:
    answer = outside.call("POST", "/api/v2/cohorts", outside.analyst, json={"site": "site.example"})
    assert (answer.status_code, answer.json()["path"]) == (400, "$.site")
    assert 'did you mean "site_id"?' in answer.json()["error"]
    answer = outside.call("POST", "/api/v2/cohorts", outside.analyst, json={"site_id": "other.example"})
    assert answer.status_code == 401


def test_what_is_not_there_is_said_in_json(outside: Outside) -> None:
    for verb, path, status in (
        ("GET", "/api/nowhere", 404),
        ("POST", "/api/v2/cohort", 404),
        ("DELETE", "/api/definitions/goal/77?site=site.example", 404),
        ("DELETE", "/api/definitions/goal/-1?site=site.example", 400),
        ("GET", "/api/definitions/goal", 400),
        ("DELETE", f"/api/definitions/goal/{10**30}?site=site.example", 400),
    ):
        answer = outside.call(verb, path, outside.analyst, json={})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), path


def test_the_door_shuts_after_ten_wrong_tokens(outside: Outside) -> None:
    origin = {"origin": "http://stats.example"}
    for _ in range(10):
        assert outside.call("POST", "/login", data={"token": "ana_" + "x" * 43}, headers=origin).status_code == 401
    assert outside.call("POST", "/login", data={"token": outside.analyst}, headers=origin).status_code == 429
    assert outside.ask().status_code == 429


def test_signing_in_sets_a_sealed_cookie_and_goes_to_own_pages_only(outside: Outside) -> None:
    origin = {"origin": "http://stats.example"}
    for wanted, got in (
        ("/releases", "/releases"),
        ("//evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil", "/"),
    ):
        answer = outside.call("POST", "/login", data={"token": outside.analyst, "next": wanted}, headers=origin)
        assert (answer.status_code, answer.headers["location"]) == (303, got)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert outside.analyst not in cookie
    assert (
        outside.call(
            "POST", "/login", data={"token": outside.analyst}, headers={"origin": "http://evil.example"}
        ).status_code
        == 403
    )
    page = outside.call("GET", "/", headers={"cookie": cookie.partition(";")[0]})
    assert page.status_code == 200
    assert "'unsafe-inline'" not in page.headers["content-security-policy"]
    tampered = cookie.partition(";")[0][:-2] + "xx"
    assert outside.call("GET", "/", headers={"cookie": tampered}).status_code == 303


def test_a_page_does_not_call_a_group_small_that_is_hidden_for_anothers_sake(
    reporting: Callable[..., Reporting],
) -> None:
    people = [(number, "/x-six" if number < 106 else "/x-two") for number in range(100, 108)]
    outside = Outside(reporting([row(n, "2026-11-10 10:00:00", page) for n, page in people], minimum_cell=5))
    origin = {"origin": "http://stats.example"}
    signed_in = outside.call("POST", "/login", data={"token": outside.analyst}, headers=origin).headers["set-cookie"]
    text = outside.call("GET", "/?from=2026-11-01&to=2026-11-30", headers={"cookie": signed_in.partition(";")[0]}).text
    assert "rests on fewer than 5 visitors, or is hidden to protect a smaller one." in text


def test_the_released_lane_is_public_when_the_owner_says_so_and_nothing_else_is(outside: Outside) -> None:
    assert outside.call("GET", "/").status_code == 303
    outside.guard.public = Guard(outside.access, public=True).public
    assert "Released lane" in outside.call("GET", "/?site=site.example").text
    assert "Internal lane" not in outside.call("GET", "/?site=site.example&lane=internal").text
    assert outside.call("POST", "/api/v2/query", json=QUERY).status_code == 400
    assert outside.call("POST", "/api/v2/funnel", json={"site_id": "site.example"}).status_code == 400
    for path in ("/ways", "/gate", "/log", "/api/query-log"):
        assert outside.call("GET", path).status_code == 403, path


def test_a_shared_link_opens_the_released_lane_until_it_is_revoked(outside: Outside) -> None:
    link = outside.access.create("board", LINK, ("site.example",))
    opened = outside.call("GET", f"/s/{link}")
    assert opened.headers["location"] == "/?site=site.example&lane=released"
    cookie = {"cookie": opened.headers["set-cookie"].partition(";")[0]}
    page = outside.call("GET", "/?lane=internal", headers=cookie)
    assert "Released lane" in page.text
    assert "Internal lane" not in page.text
    assert outside.call("GET", "/gate", headers=cookie).status_code == 403
    grant = outside.access.find(link)
    assert grant is not None
    outside.access.revoke(grant.id)
    assert outside.call("GET", "/", headers=cookie).status_code == 303
    assert outside.call("GET", f"/s/{link}").status_code == 404
    assert outside.call("GET", f"/s/{outside.analyst}").status_code == 404
