"""Headers and mappings as some sites and servers have them, where the specification says bytes and dict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.capture.reading import spooled
from tests.gate.driving import answering, call, request, wrapped

SPELLINGS: list[Callable[[bytes], Any]] = [bytes, bytearray, memoryview, lambda text: text.decode("latin-1")]
NAMES = ["bytes", "bytearray", "memoryview", "str"]


@pytest.mark.parametrize("value", SPELLINGS, ids=NAMES)
@pytest.mark.parametrize("name", SPELLINGS, ids=NAMES)
def test_a_cookie_is_filtered_whatever_its_header_is_made_of(
    name: Callable[[bytes], Any], value: Callable[[bytes], Any], tmp_path: Path
) -> None:
    cookies = [(name(b"Set-Cookie"), value(text)) for text in (b"sid=1", b"_ga=2", b"offer=; Max-Age=0")]
    site = answering((name(b"X-Other"), value(b"\xe9")), *cookies, (name(b"Content-Type"), value(b"text/html")))

    async def ask() -> None:
        app = wrapped(site, tmp_path)
        for _ in range(2):  # what is seen for the first time takes another way
            head, body = await call(app, request())
            kept = [bytes(text, "latin-1") if isinstance(text, str) else bytes(text) for _, text in head["headers"]]
            assert kept[:4] == [b"\xe9", b"sid=1", b"offer=; Max-Age=0", b"text/html"]
            assert b"_ga=2" not in kept
            assert body["body"] == b"ok"
        assert app.counts["cookie not-granted"] == 2
        await app.close()

    asyncio.run(ask())
    assert spooled(tmp_path / "var").count(b"\n") == 2, "a page is a page however its type is spelt"


def test_scopes_and_messages_need_not_be_dicts(tmp_path: Path) -> None:
    seen: list[MutableMapping[str, Any]] = []

    async def site(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        headers = [(b"set-cookie", b"_ga=2"), (b"set-cookie", b"sid=1")]
        await send(MappingProxyType({"type": "http.response.start", "status": 200, "headers": headers}))
        await send(MappingProxyType({"type": "http.response.body", "body": b"ok"}))

    async def ask() -> list[dict[str, Any]]:
        app = wrapped(site, tmp_path)
        try:
            return await call(app, MappingProxyType(request((b"cookie", b"_ga=1; sid=2"))))  # type: ignore[arg-type]  # no dict
        finally:
            await app.close()

    head, body = asyncio.run(ask())
    assert [pair[1] for pair in head["headers"] if pair[0] == b"set-cookie"][:1] == [b"sid=1"]
    assert body["body"] == b"ok"
    assert (b"cookie", b"sid=2") in [(name, value.strip()) for name, value in seen[0]["headers"]]


@pytest.mark.parametrize("kind", ["lifespan.of.another.kind", "raw"])
def test_an_unknown_scope_stays_what_it_is(kind: str, tmp_path: Path) -> None:
    given = MappingProxyType({"type": kind})
    seen: list[object] = []

    async def site(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    asyncio.run(call(wrapped(site, tmp_path), given))  # type: ignore[arg-type]  # no dict
    assert seen == [given]
    assert seen[0] is given
