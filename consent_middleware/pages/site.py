"""The routes of all pages, under the policy's prefix."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from consent_middleware.pages import assets, my_data, policy_page, preferences, receipt, requests
from consent_middleware.pages.rendering import page, page_language
from consent_middleware.pages.words import words_for

if TYPE_CHECKING:
    from consent_middleware.services import Services

Handler = Callable[["Services", Request], Awaitable[Response]]


def routes(services: Services) -> list[BaseRoute]:
    """Every page of ours, with absolute paths."""
    prefix = services.policy.site.prefix

    def bind(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await handler(services, request)

        return endpoint

    def get(path: str, handler: Handler) -> Route:
        return Route(path, bind(handler), methods=["GET"])

    def post(path: str, handler: Handler) -> Route:
        return Route(path, bind(handler), methods=["POST"])

    async def static(_: Services, request: Request) -> Response:
        return assets.serve(request)

    pages: list[BaseRoute] = [
        get(prefix, preferences.show),
        get(f"{prefix}/", preferences.show),
        post(f"{prefix}/", preferences.choose),
        get(f"{prefix}/stored", preferences.stored),
        get(f"{prefix}/state", preferences.state),
        get(f"{prefix}/receipt", receipt.receipt),
        get(f"{prefix}/policy", policy_page.policy_html),
        get(f"{prefix}/policy.json", policy_page.policy_json),
        get(f"{prefix}/policy.md", policy_page.policy_markdown),
        get(f"{prefix}/policy/changes", policy_page.changes),
        get(f"{prefix}/notice/{{digest}}", policy_page.notice),
        get(f"{prefix}/cookies", policy_page.cookies_html),
        get(f"{prefix}/cookies.json", policy_page.cookies_json),
        get(f"{prefix}/cookies.md", policy_page.cookies_markdown),
        get(f"{prefix}/data", my_data.show),
        *[post(f"{prefix}/data/{verb}", my_data.ask(verb)) for verb in my_data.VERBS],
        get(f"{prefix}/data/confirm", requests.confirm),
        post(f"{prefix}/data/confirm", requests.confirm),
        post(f"{prefix}/data/stop-marketing", requests.stop_marketing),
        post(f"{prefix}/data/complain", requests.complain),
        get("/.well-known/gpc.json", gpc),
    ]
    names = set(assets.NAMES)
    files = [get(f"{prefix}/{name}", static) for name in sorted(names)]
    hashed = [
        get(f"{prefix}/{name.partition('.')[0]}.{{digest:str}}.{name.partition('.')[2]}", static)
        for name in sorted(names)
    ]
    return [*pages, *files, *hashed]


def nothing_here(services: Services, otherwise: ASGIApp) -> ASGIApp:
    """Answers an address under the prefix that is none of ours: a browser by a page, others as `otherwise` does."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "text/html" not in (request := Request(scope)).headers.get("accept", ""):
            await otherwise(scope, receive, send)
            return
        t = words_for(services.policy, page_language(services.policy, request))
        title = t("This page does not exist")
        missing = page(services, request, "message.html", status=404, title=title, lines=[], return_to="/")
        await missing(scope, receive, send)

    return answer


async def gpc(services: Services, request: Request) -> Response:
    """Global Privacy Control: that this site honours the signal, and since when."""
    body = {"gpc": True, "lastUpdate": services.policy.updated.isoformat()}
    return JSONResponse(body, headers={"cache-control": "max-age=86400"})
