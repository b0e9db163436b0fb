"""Pages that are remembered as they left: nobody gets one that was made for another decision, address or language."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consent_middleware import ConsentMiddleware, html, rewritten
from consent_middleware.inventory import HOST
from tests.gate.driving import call, consent_cookie, request, wrapped
from tests.gate.policies import policy
from tests.gate.test_pages_on_their_way import ACCEPT, PAGES

GOOGLE = 'id = "marketing"\ngoogle_signals = ["ad_storage"]\n'
SITE = """insert = true
languages = ["en", "de"]
trusted_proxies = ["10.0.0.0/8"]
country_header = "cf-ipcountry"
"""
REGIMES = '[consent]\nregimes = { US = "opt-out", GB = "uk-statistics", default = "opt-in" }\n'
POLICY = policy(PAGES.replace("insert = true\n", SITE).replace('id = "marketing"\n', GOOGLE) + REGIMES)
FRAMES = '<iframe src="https://tube.example.net/1"></iframe><img src="https://spy.example/p"><p>ü</p>'
PAGE = f"<!doctype html><html{{}}><head><title>x</title></head><body>{FRAMES}</body></html>"
CLICK = ((b"sec-fetch-site", b"same-origin"), (b"sec-fetch-mode", b"navigate"))
YES = (b"cookie", consent_cookie("marketing", "analytics", of=POLICY))
SOME = (b"cookie", consent_cookie("analytics", of=POLICY))
REFUSED = (b"cookie", consent_cookie(of=POLICY))


def asks(
    *headers: tuple[bytes, bytes], answer: tuple[tuple[bytes, bytes], ...] = (), lang: str = "", **more: Any
) -> Any:
    """A request, and what the site answers to it."""
    return request(ACCEPT, *headers, **more), PAGE.format(lang).encode("utf-8"), answer


ALL_DIFFER = [
    asks(),
    asks(YES),
    asks(SOME),
    asks(REFUSED),
    asks((b"sec-gpc", b"1")),
    asks(path="/other"),
    asks(query_string=b"page=2"),
    asks(*CLICK, query_string=b"consent-once=Tube"),
    asks(query_string=b"consent-once=Tube"),
    asks((b"accept-language", b"de")),
    asks(lang=" lang=de"),
    asks(answer=((b"content-security-policy", b"script-src 'self'"),)),
    asks(answer=((b"content-security-policy", b"script-src 'nonce-abcdef'"),)),
    asks(answer=((b"content-security-policy", b"script-src 'nonce-ghijkl'"),)),
    asks(answer=((b"content-type", b"text/html"),)),
    asks((b"host", b"spy.example")),
    asks(YES, (b"sec-gpc", b"1")),
    asks((b"cf-ipcountry", b"US"), client=("10.0.0.1", 50_000)),
    asks((b"cf-ipcountry", b"GB"), client=("10.0.0.1", 50_000)),
    asks(YES, answer=((b"etag", b'"1"'),)),  # its ETag says for whom it was made
    asks(YES, (b"sec-gpc", b"1"), answer=((b"etag", b'"1"'),)),
]


async def whole(app: ConsentMiddleware, current: list[Any], asked: Any) -> list[Any]:
    current[:] = [asked]
    return await call(app, asked[0])


async def get(app: ConsentMiddleware, current: list[Any], asked: Any) -> tuple[bytes, ...]:
    return tuple(message["body"] for message in (await whole(app, current, asked))[1:])


def site(current: list[Any]) -> Callable[[Any, Any, Any], Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        _, page, answer = current[0]
        headers = [*answer, (b"content-type", b"text/html; charset=utf-8")]
        if any(name == b"content-type" for name, _ in answer):
            headers = list(answer)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page})

    return app


def test_a_page_from_memory_is_the_one_that_would_have_been_made(tmp_path: Path) -> None:
    async def ask() -> None:
        current: list[Any] = []
        app = wrapped(site(current), tmp_path, POLICY)
        for _ in range(3):  # made, made and kept, taken from memory
            for place, asked in enumerate(ALL_DIFFER):
                fresh = wrapped(site(current), tmp_path / str(place), POLICY)
                expected = await whole(fresh, current, asked)
                await fresh.close()
                assert await whole(app, current, asked) == expected, place
        await app.close()

    asyncio.run(ask())


def test_what_rewriting_counts_is_counted_from_memory_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrote = []
    feed = html.HtmlGate.feed
    monkeypatch.setattr(html.HtmlGate, "feed", lambda gate, chunk: rewrote.append(1) or feed(gate, chunk))
    shown: list[str] = []
    monkeypatch.setattr(
        "consent_middleware.pages.count_impression", lambda services, *, language, **_: shown.append(language)
    )

    async def ask() -> list[int]:
        current: list[Any] = []
        app = wrapped(site(current), tmp_path, POLICY)
        for asked in [asks()] * 5 + [asks(YES)] * 5:
            await get(app, current, asked)
        services = app._opening.services
        assert services is not None
        found = [seen.count for seen in services.inventory.seen() if seen.kind == HOST]
        await app.close()
        return found

    assert asyncio.run(ask()) == [10]
    assert shown == ["en"] * 5  # whoever has chosen is not asked
    assert len(rewrote) == 4


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_body_that_is_no_bytes_is_rewritten_too(tmp_path: Path, kind: Any) -> None:
    async def ask() -> None:
        current: list[Any] = []
        app = wrapped(site(current), tmp_path, POLICY)
        expected = await get(app, current, asks())
        scope, page, answer = asks()
        for _ in range(3):
            assert await get(app, current, (scope, kind(page), answer)) == expected
        assert expected != (page,)
        await app.close()

    asyncio.run(ask())


def test_pages_with_a_token_of_their_own_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewritten, "SEEN_ONCE", 50)
    monkeypatch.setattr(rewritten, "REMEMBERED_BYTES", 100_000)

    async def ask() -> None:
        current: list[Any] = []
        app = wrapped(site(current), tmp_path, POLICY)
        known = app._documents.rewritten
        for number in range(200):
            await get(app, current, asks(lang=f" data-token={number}"))
        assert len(known._seen) <= 50
        assert not known._pages
        for number in range(200):
            for _ in range(2):
                await get(app, current, asks(lang=f" data-token={number}"))
        assert known._pages._bytes <= 100_000
        assert len(known._pages) < 100
        await app.close()

    asyncio.run(ask())


def test_a_failure_gives_the_page_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(gate: html.HtmlGate) -> bytes:
        raise RuntimeError

    monkeypatch.setattr(html.HtmlGate, "close", fails)

    async def ask() -> None:
        current: list[Any] = []
        app = wrapped(site(current), tmp_path, POLICY)
        for _ in range(3):
            assert await get(app, current, asks()) == (asks()[1],)
        assert app.counts["a page could not be rewritten, and passed as it was"] == 3
        await app.close()

    asyncio.run(ask())
