"""A site under the strictest policy that a browser can be given: nonce, Trusted Types, nothing inline."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from consent_middleware import ConsentMiddleware

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Strict</title></head>
<body><main><h1>Strict</h1><p><a id="go" href="/next">Next</a> <a id="out" href="https://elsewhere.example/x">Out</a>
<a id="file" href="/report.pdf">Report</a></p><form id="ask" name="ask"><label>Name <input name="who"></label></form>
<template data-purpose="analytics"><script nonce="{nonce}" src="/site.js"></script>
<p id="held">Held back.</p></template>
<div id="view"></div><p class="tall">End</p></main></body></html>"""
SITE_SCRIPT = "document.documentElement.dataset.site = 'ran';"


async def home(request: Request) -> Response:
    nonce = secrets.token_urlsafe(16)
    rules = (
        f"default-src 'self'; script-src 'nonce-{nonce}'; style-src 'self'; object-src 'none'; base-uri 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return HTMLResponse(PAGE.format(nonce=nonce), headers={"content-security-policy": rules})


async def script(request: Request) -> Response:
    return Response(SITE_SCRIPT, media_type="text/javascript")


async def document(request: Request) -> Response:
    return PlainTextResponse("a file", headers={"content-disposition": "attachment"})


site = Starlette(
    routes=[Route("/site.js", script), Route("/report.pdf", document), Route("/{path:path}", home)],
)
app = ConsentMiddleware(
    site, policy=Path(os.environ["LAW_GROUP_POLICY"]), data_dir=Path(os.environ["CONSENT_DATA_DIR"])
)


async def forgetful(scope: Scope, receive: Receive, send: Send) -> None:
    """The same site for a browser that keeps no cookies."""
    if scope["type"] == "http":
        scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"cookie"]}

    async def send_without_cookies(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name, value) for name, value in message["headers"] if name.lower() != b"set-cookie"]
            message = {**message, "headers": headers}
        await send(message)

    await app(scope, receive, send_without_cookies)
