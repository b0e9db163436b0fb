"""A site behind a proxy, for the tests of the documents: a page in two parts, and what it is told of its visitor."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, StreamingResponse
from starlette.routing import Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from consent_middleware import ConsentMiddleware

_go_on = asyncio.Event()


async def slow(request: Request) -> StreamingResponse:
    """The second part waits for `/go-on`: whoever has seen the first part knows that nobody kept it back."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"<!doctype html><title>Slow</title><p>first part</p>" + b" " * 2000
        await _go_on.wait()
        yield b"<p>second part</p>"

    return StreamingResponse(parts(), media_type="text/html")


async def go_on(request: Request) -> HTMLResponse:
    _go_on.set()
    answer = HTMLResponse("<!doctype html><title>Told</title><p>" + "well " * 200)
    answer.set_cookie("undeclared", "1")
    return answer


async def here(request: Request) -> HTMLResponse:
    assert request.client is not None
    return HTMLResponse(f"<!doctype html><title>Here</title><p>{request.url} from {request.client.host}")


site = Starlette(routes=[Route("/slow", slow), Route("/go-on", go_on), Route("/here", here)])
app = ConsentMiddleware(
    ProxyHeadersMiddleware(site, trusted_hosts=["127.0.0.1", "::1"]), policy=os.environ["CONSENT_POLICY"]
)
