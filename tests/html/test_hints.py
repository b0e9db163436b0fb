"""Link headers hold back what link elements would."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from consent_middleware import ConsentMiddleware
from consent_middleware.hints import agreed_links
from consent_middleware.holding import Holder
from tests.html.pages_for_tests import POLICY, granted


def agreed(value: bytes, *purposes: str) -> bytes:
    return agreed_links(value, Holder(POLICY, granted(*purposes), "example.com", None))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"<https://tube.example/a.js>; rel=preload; as=script", b""),
        (b'<//tube.example>; crossorigin; REL="dns-prefetch preconnect"', b""),
        (
            b'</own.css>; rel=preload; title="a, <b>; c", <https://tube.example/a>;rel=prefetch',
            b'</own.css>; rel=preload; title="a, <b>; c"',
        ),
        (
            b"<https://tube.example/feed>; rel=alternate, </next>; rel=next",
            b"<https://tube.example/feed>; rel=alternate, </next>; rel=next",
        ),
        (b"<https://nobody.test/x>; rel=preload, </a>; rel=preload", b"</a>; rel=preload"),
        (b"nonsense", b"nonsense"),
        (b"", b""),
    ],
)  # fmt: skip
def test_a_hint_to_a_vendor_without_consent_is_taken_out(value: bytes, expected: bytes) -> None:
    assert agreed(value) == expected


def test_with_consent_the_header_is_untouched() -> None:
    value = b"<https://tube.example/a.js>;rel=preload ,  </x>; rel=next"
    assert agreed(value, "marketing") == value


def test_a_hostile_header_is_read_quickly() -> None:
    assert agreed(b"<a>" + b'"' * 50_000)
    assert agreed(b"<a>;" + b"\\" * 50_000)
    assert agreed(b"<" * 50_000)


def test_early_hints_and_headers_leave_without_the_links_of_vendors_without_consent(tmp_path: Path) -> None:
    own, theirs = b"</a.css>; rel=preload; as=style", b"<https://tube.example/a.js>; rel=preload; as=script"
    headers = [(b"Link", theirs), (b"link", own), (b"content-type", b"text/html")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.early_hint", "links": [own, theirs]})
        await send({"type": "http.response.early_hint", "links": (link for link in [theirs])})
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def ask() -> None:
        gate = ConsentMiddleware(app, policy=POLICY, data_dir=tmp_path, secret_keys=["k" * 40])
        await gate(
            {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"example.com")]}, receive, send
        )
        await gate.close()

    asyncio.run(ask())
    assert [message["links"] for message in sent if "links" in message] == [[own]]
    (start,) = (message for message in sent if message["type"] == "http.response.start")
    assert [value for name, value in start["headers"] if name.lower() == b"link"] == [own]
