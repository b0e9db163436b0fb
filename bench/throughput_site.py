"""The applications that bench/throughput.py loads."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bench.gate import POLICY
from consent_middleware import ConsentMiddleware, PrivacyPolicy

PAGE = "<!doctype html><html lang=en><head><title>Hello</title></head><body><p>Hello</p></body></html>"


async def home(request: Request) -> Response:
    return HTMLResponse(PAGE)


def site() -> Starlette:
    return Starlette(routes=[Route("/", home)])


bare = site()
bare_again = site()
gate = ConsentMiddleware(site(), POLICY)
gate_and_pages = ConsentMiddleware(
    site(), PrivacyPolicy.parse(POLICY.source.replace("insert = false", "").replace('csp = "off"', ""))
)
sessions = SessionMiddleware(site(), "key")
