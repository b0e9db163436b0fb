"""A site that is treated badly: `uvicorn --factory tests.faults.site:app`. `/large` streams 2 MB in small parts."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from consent_middleware import ConsentMiddleware, PrivacyPolicy

POLICY = PrivacyPolicy.parse(
    """
revision = 1
updated = 2026-11-20
[controller]
name = "Example Society"
[site]
hosts = ["example.org"]
[[purpose]]
id = "analytics"
[capture]
events_per_minute = 1000000
"""
)
PARTS, PART = 128, "<p>" + "x" * 16_000 + "</p>\n"


async def page(request: Request) -> Response:
    request.scope["visit"].event("seen")
    return HTMLResponse(f"<!doctype html><html><head><title>x</title></head><body>{request.url.path}</body></html>")


async def large(request: Request) -> Response:
    async def parts() -> AsyncIterator[str]:
        yield "<!doctype html><html><head><title>x</title></head><body>"
        for _ in range(PARTS):
            yield PART

    return StreamingResponse(parts(), media_type="text/html")


def app() -> ConsentMiddleware:
    return ConsentMiddleware(Starlette(routes=[Route("/large", large), Route("/{path:path}", page)]), POLICY)
