"""The same small site in six frameworks under four servers: none of them sets or sees what was not granted."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.interop.servers import serving

FRAMEWORKS = ("starlette", "fastapi", "django", "litestar", "quart", "falcon")
SMOKE = {("uvicorn-standard", "starlette"), ("hypercorn", "starlette"), ("granian", "starlette")}
MATRIX = [
    pytest.param(
        framework,
        server,
        id=f"{framework}-{server}",
        marks=[] if server == "uvicorn" or (server, framework) in SMOKE else [pytest.mark.audit],
    )
    for server in ("uvicorn", "uvicorn-standard", "hypercorn", "granian")
    for framework in FRAMEWORKS
]
TRACKER = '<script src="https://counter.example.net/count.js">'


def set_names(response: httpx.Response) -> list[str]:
    """Names of the cookies that a response sets, without those that it deletes."""
    cookies = response.headers.get_list("set-cookie")
    return sorted(cookie.partition("=")[0] for cookie in cookies if "max-age=0" not in cookie.lower())


@pytest.mark.parametrize(("framework", "server"), MATRIX)
def test_a_visit_from_first_page_to_withdrawal(framework: str, server: str, tmp_path: Path) -> None:
    with serving(f"examples.{framework}.app:app", server, tmp_path) as port:
        site = f"http://localhost:{port}"
        with httpx.Client(base_url=site, headers={"accept": "text/html"}, timeout=30) as visitor:
            first = visitor.get("/")
            assert first.status_code == 200, first.text
            assert set_names(first) == ["sid"]
            assert 'id="consent"' in first.text
            assert f"<template data-purpose=analytics data-vendor=Counter>{TRACKER}" in first.text
            assert int(first.headers.get("content-length", len(first.content))) == len(first.content)
            assert "private" in first.headers["cache-control"]

            # Planted by somebody, for example by a script of the page.
            visitor.cookies.set("_ga", "planted", domain="localhost.local")
            assert visitor.get("/seen").json() == {"cookies": {"sid": "1"}, "analytics": False}
            # The next page deletes what nobody agreed to.
            visitor.get("/")
            assert "_ga" not in visitor.cookies

            given = visitor.post("/_consent/", data={"choice": "accept", "return": "/"}, headers={"origin": site})
            assert given.status_code in (200, 303), given.text
            assert {"consent", "visitor"} <= set(visitor.cookies)

            granted = visitor.get("/")
            assert set_names(granted) == ["_ga", "sid"]
            assert TRACKER in granted.text
            assert "data-vendor" not in granted.text
            seen = visitor.get("/seen").json()
            assert seen["analytics"]
            assert {"_ga", "sid"} <= set(seen["cookies"])

            if framework != "django":  # it has no WebSockets of its own
                cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
                url = f"ws://localhost:{port}/socket"
                for cookies, expected in ((cookie, True), ("sid=1; _ga=2", False)):
                    with connect(url, additional_headers={"cookie": cookies}) as websocket:
                        told = json.loads(websocket.recv(timeout=20))
                        handshake = websocket.response
                    assert told["analytics"] is expected
                    assert ("_ga" in told["cookies"]) is expected
                    assert handshake is not None
                    set_here = [value.partition("=")[0] for value in handshake.headers.get_all("set-cookie")]
                    if framework != "falcon" and server != "granian":  # these lose or refuse cookies of a handshake
                        assert set_here == (["_ga", "sid"] if expected else ["sid"])

            visitor.post("/_consent/", data={"choice": "reject", "return": "/"}, headers={"origin": site})
            assert {"_ga", "visitor"}.isdisjoint(visitor.cookies)
            assert set_names(visitor.get("/")) == ["sid"]
            assert visitor.get("/seen").json()["analytics"] is False
            assert visitor.get("/.well-known/gpc.json").json()["gpc"] is True
