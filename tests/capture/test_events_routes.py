"""The event routes behind the middleware: acknowledged means durable, and a choice is no error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from consent_middleware import ConsentMiddleware
from consent_middleware.collect import RateLimit
from consent_middleware.visit import Captured
from tests.capture.reading import CHROME, policy, spooled

EVENT = {"n": "signup", "u": "https://example.org/join?utm_source=news&gclid=1", "d": "example.org"}


@asynccontextmanager
async def site(data_dir: Path, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a wrapped site; the consent cookie is kept as a browser does."""
    inner = Starlette(routes=[Route("/{path:path}", lambda request: HTMLResponse("<title>x</title><p>x</p>"))])
    app = ConsentMiddleware(inner, policy(), data_dir, ["k" * 32])
    transport = httpx.ASGITransport(app)
    headers = {"user-agent": CHROME, "origin": "http://example.org", "sec-fetch-site": "same-origin"}
    async with httpx.AsyncClient(transport=transport, base_url="http://example.org", headers=headers) as client:
        await client.get("/")
        client.app = app
        yield client
        await app._opening.close()


async def accept(client: httpx.AsyncClient) -> None:
    answer = await client.post("/_consent/", data={"choice": "accept"})
    assert answer.status_code in (200, 303), answer.text


def rows(data_dir: Path, kind: str) -> list[Captured]:
    text = spooled(data_dir)
    found = [msgspec.json.decode(line, type=Captured) for line in text.splitlines()]
    return [row for row in found if row.kind == kind]


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_an_event_with_consent_is_in_a_synced_block_when_it_is_answered(tmp_path: Path) -> None:
    async def test() -> None:
        async with site(tmp_path) as client:
            await accept(client)
            answer = await client.post("/_consent/event", json={**EVENT, "p": {"plan": "pro"}, "w": 800})
            assert (answer.status_code, answer.json()) == (202, {"taken": 1})
            [event] = rows(tmp_path, "event")
            assert (event.name, event.path, event.query, event.screen) == (
                "signup",
                "/join",
                "utm_source=news",
                "medium",
            )
            assert event.props == {"plan": "pro"}
            assert event.visitor != 0
            [blocks] = (tmp_path / "spool").rglob("*.blocks")
            synced = int(blocks.read_bytes().splitlines()[-1].split()[0])
            assert b"signup" in blocks.with_suffix(".rows").read_bytes()[:synced]

    run(test)


def test_an_event_without_a_basis_is_answered_202_and_says_that_it_was_dropped(tmp_path: Path) -> None:
    async def test() -> None:
        async with site(tmp_path) as client:
            own = await client.post("/_consent/event", json=EVENT)
            plausible = await client.post("/api/event", json=EVENT)
            assert (own.status_code, own.headers["x-consent-dropped"]) == (202, "1")
            assert (plausible.status_code, plausible.headers["x-plausible-dropped"]) == (202, "1")
            assert rows(tmp_path, "event") == []

    run(test)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Signup", "url": "https://example.org/a", "domain": "example.org", "props": {"plan": "pro"}},
        {"n": "Signup", "u": "https://example.org/a", "d": "example.org,other.net", "m": '{"plan": "pro"}'},
        {"n": "Signup", "u": "https://example.org/a", "p": '{"plan": "pro"}', "v": 36},
        {
            "n": "Signup",
            "u": "https://www.example.org/a",
            "d": "example.org",
            "meta": {"plan": "pro"},
            "h": 1,
            "i": False,
        },
    ],
)
def test_plausibles_spellings_of_an_event_are_understood(tmp_path: Path, body: dict[str, Any]) -> None:
    async def test() -> None:
        async with site(tmp_path) as client:
            await accept(client)
            answer = await client.post("/api/event", content=json.dumps(body), headers={"content-type": "text/plain"})
            assert (answer.status_code, answer.text) == (202, "ok")
            assert answer.headers.get("x-plausible-dropped") == ("1" if "other.net" in body.get("d", "") else None)
            [event] = rows(tmp_path, "event")
            assert (event.name, event.path, event.props) == ("Signup", "/a", {"plan": "pro"})

    run(test)


def test_revenue_engagement_and_scroll_depth_are_kept(tmp_path: Path) -> None:
    async def test() -> None:
        async with site(tmp_path) as client:
            await accept(client)
            for more in ({"$": {"amount": "12.5", "currency": "eur"}}, {"n": "engagement", "e": 4200, "sd": 75}):
                assert (await client.post("/api/event", json=EVENT | more)).status_code == 202
            paid, engaged = rows(tmp_path, "event")
            assert (paid.revenue, paid.currency) == ("12.500", "EUR")
            assert (engaged.name, engaged.engagement_ms, engaged.scroll) == ("engagement", 4200, 75)

    run(test)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"u": "https://example.org/"}, "event_name"),
        ({"n": "x" * 121, "u": "https://example.org/"}, "event_name"),
        ({"n": "x", "u": "https://example.org/" + "a" * 2000}, "url"),
        ({"n": "x", "u": "data:text/html,x"}, "url"),
        ({"n": "x", "u": "https://example.org/", "p": [1]}, "props"),
        ({"n": "x", "u": "https://example.org/", "$": {"amount": "NaN", "currency": "EUR"}}, "revenue"),
        ({"n": "engagement", "u": "https://example.org/"}, "engagement_time"),
        ([], "request"),
    ],
)
def test_what_is_wrong_with_an_event_is_named_by_its_field(tmp_path: Path, body: Any, field: str) -> None:
    async def test() -> None:
        async with site(tmp_path) as client:
            answer = await client.post("/api/event", json=body)
            assert answer.status_code == 400
            assert field in answer.json()["errors"]

    run(test)


def test_the_trackers_page_view_of_the_page_just_served_is_the_same_view(tmp_path: Path) -> None:
    async def test() -> None:
        async with site(tmp_path) as client:
            await accept(client)
            await client.get("/join")
            view = {"n": "pageview", "u": "https://example.org/join", "d": "example.org"}
            for _ in range(2):  # the second one is a reload that only the script saw
                assert (await client.post("/api/event", json=view)).status_code == 202
            assert [row.path for row in rows(tmp_path, "view")].count("/join") == 2

    run(test)


def test_another_sites_page_cannot_send_events_as_this_visitor(tmp_path: Path) -> None:
    async def test() -> None:
        async with site(tmp_path) as client:
            await accept(client)
            foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
            assert (await client.post("/_consent/event", json=EVENT, headers=foreign)).status_code == 403

    run(test)


def test_a_full_spool_answers_503_and_pages_are_still_served(tmp_path: Path) -> None:
    async def test() -> None:
        async with site(tmp_path) as client:
            await accept(client)
            services = client.app._opening.services
            services.spool._take_stock(0)
            assert (await client.post("/_consent/event", json=EVENT)).status_code == 503
            assert (await client.get("/")).status_code == 200
            assert services.spool.dropped >= 2

    run(test)


def test_one_address_may_send_so_many_events_a_minute_and_memory_stays_bounded() -> None:
    limit = RateLimit(10, entries=100)
    assert [limit.allows("a", 1, now=600.0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert not limit.allows("a", 1, now=661.0), "most of the last minute still counts"
    assert limit.allows("a", 1, now=715.0)
    for number in range(1000):
        limit.allows(str(number), 1, now=715.0)
    assert len(limit._now) <= 100


def test_too_many_events_are_refused_with_a_time_to_come_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with site(tmp_path) as client:
            answers = [(await client.post("/api/event", json=EVENT)).status_code for _ in range(2000)]
            assert answers[0] == 202
            assert answers[-1] == 429

    run(test)


def test_client_hints_are_asked_for_after_consent_only_and_refine_what_the_user_agent_hides(tmp_path: Path) -> None:
    async def test() -> None:
        async with site(tmp_path) as client:
            client.base_url = "https://example.org"
            client.headers["origin"] = "https://example.org"
            assert "accept-ch" not in (await client.get("/")).headers
            await accept(client)
            assert "Sec-CH-UA-Platform-Version" in (await client.get("/")).headers["accept-ch"]
            await client.get(
                "/hinted", headers={"sec-ch-ua-platform": '"Windows"', "sec-ch-ua-platform-version": '"15.0.0"'}
            )
            assert '"15.0.0"' in next(row for row in rows(tmp_path, "view") if row.path == "/hinted").hints

    run(test)
