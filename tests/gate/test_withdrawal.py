"""A choice through the whole middleware and back: what the browser is told to hold, and to forget."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from consent_middleware import ConsentMiddleware
from tests.gate import browser_by_the_rfc as browser
from tests.gate.driving import Seeing, call, request, values, wrapped
from tests.gate.policies import SHOP, policy

NOW = 1_795_000_000.0


async def choose(app: ConsentMiddleware, cookie: bytes, choice: str) -> dict[str, Any]:
    """The head of the answer to a choice made on the preferences page."""
    headers = [
        (b"cookie", cookie),
        (b"sec-fetch-site", b"same-origin"),
        (b"content-type", b"application/x-www-form-urlencoded"),
    ]
    form = urlencode({"choice": choice, "return": "/"}).encode()
    scope = request(*headers, path="/_consent/", method="POST")
    return (await call(app, scope, [{"type": "http.request", "body": form, "more_body": False}]))[0]


def jar(message: dict[str, Any], before: bytes = b"") -> bytes:
    """The Cookie header of a browser after this answer, as the RFC has it (all of one host and path)."""
    held = dict(browser.pairs(before))
    for value in values(message, b"set-cookie"):
        stored = browser.receive(value, NOW)
        assert stored is not None, value
        if stored.domain or stored.path != b"/":
            continue
        if stored.expires == float("-inf"):
            held.pop(stored.name, None)
        else:
            held[stored.name] = stored.value
    return b"; ".join(name + b"=" + value for name, value in held.items())


@pytest.mark.parametrize("clears", [False, True])
def test_withdrawing_deletes_what_the_consent_allowed(clears: bool, tmp_path: Path) -> None:
    sections = SHOP.replace("insert = false", f"insert = false\nclear_site_data = {str(clears).lower()}")

    async def ask() -> None:
        site = Seeing()
        app = wrapped(site, tmp_path, policy(sections))
        given = await choose(app, b"sid=1", "accept")
        assert given["status"] == 303
        assert values(given, b"clear-site-data") == []
        cookies = jar(given, b"sid=1") + b"; _ga=1; _ga_X=2; offer=3"
        await call(app, request((b"cookie", cookies)))
        assert site.scope["consent"].granted == {"analytics", "marketing"}
        assert site.cookies == [cookies]

        withdrawn = await choose(app, cookies, "reject")
        left = dict(browser.pairs(jar(withdrawn, cookies)))
        assert set(left) == {b"sid", b"__Host-consent"}
        assert values(withdrawn, b"clear-site-data") == ([b'"storage"'] if clears else [])
        await call(app, request((b"cookie", jar(withdrawn, cookies))))
        assert site.scope["consent"].decided
        assert site.scope["consent"].granted == frozenset()
        assert site.scope["consent"].record_id is None

        # A copy of the old cookie is worth nothing any more.
        await call(app, request((b"cookie", cookies)))
        assert site.scope["consent"].granted == frozenset()
        await app.close()

    asyncio.run(ask())
