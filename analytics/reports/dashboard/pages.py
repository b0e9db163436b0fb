"""The dashboard's pages."""

from __future__ import annotations

import html

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from analytics.reports.api import Api
from analytics.reports.guard import Guard
from analytics.reports.query import parse_object


class Dashboard:
    def __init__(self, api: Api, guard: Guard) -> None:
        self.api, self.guard = api, guard

    def routes(self) -> list[Route]:
        return [Route("/", self._overview, methods=["GET"]), Route("/login", self._login, methods=["GET"])]

    async def _login(self, request: Request) -> Response:
        return HTMLResponse("<!doctype html><title>Sign in</title><h1>Sign in</h1>")

    async def _overview(self, request: Request) -> Response:
        grant = self.guard.grant(request)
        if grant is None:
            return RedirectResponse("/login", 303)
        parts = []
        for site in self.api.reporting.sites():
            if grant.sees(site):
                query = parse_object({"site_id": site, "metrics": ["visitors", "pageviews"], "date_range": "all"})
                result = await self.api.ask(query, grant)
                parts.append(f"<h2>{html.escape(site)}</h2><p>{result['results'][0]['metrics']}</p>")
        return HTMLResponse("<!doctype html><title>Analytics</title><h1>Analytics</h1>" + "".join(parts))
