"""The dashboard's routes: sign in and out, overview, releases, gate, query log, shared links, static files."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from zoneinfo import ZoneInfo

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from analytics.reports.access import LINK, Grant
from analytics.reports.api import READER_GONE, Api, asked_again, body_of, refuse
from analytics.reports.dashboard import overview, trust, views, walks
from analytics.reports.dashboard.patience import Patient, StillCounting
from analytics.reports.dashboard.render import Renderer, static_routes
from analytics.reports.errors import QueryError, QueryStopped, QueryTimeout, UnknownSite
from analytics.reports.guard import COOKIE, SESSION_SECONDS, Guard, address
from analytics.reports.query import parse_object

NOTHING_YET = "Page views appear a few seconds after the first visitor agreed, or after `analytics import LOG`."


class Dashboard:
    """Every page is complete as it leaves the server."""

    def __init__(self, api: Api, guard: Guard) -> None:
        self.api, self.guard, self.reporting = api, guard, api.reporting
        self.render = Renderer()
        self.patient = Patient(api)

    def routes(self) -> list[Route]:
        return [
            Route("/", self._overview, methods=["GET"]),
            Route("/login", self._login, methods=["GET", "POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Route("/s/{token}", self._shared, methods=["GET"]),
            Route("/ways", self._ways, methods=["GET"]),
            Route("/releases", self._releases, methods=["GET"]),
            Route("/gate", self._gate, methods=["GET"]),
            Route("/log", self._log, methods=["GET"]),
            *static_routes(),
        ]

    def _say(self, request: Request, status: int, title: str, text: str, grant: Grant | None = None) -> Response:
        return self.render("message.html", request, status, title=title, text=text, grant=grant)

    # Signing in

    async def _login(self, request: Request) -> Response:
        if request.method == "GET":
            to = _own_path(request.query_params.get("next", "/"))
            return self.render("login.html", request, wrong=False, next=to)
        if self.guard.blocked(request):
            return self.render("login.html", request, 429, wrong=False, blocked=True, next="/")
        if not _same_origin(request):
            return self.render("login.html", request, 403, wrong=True, next="/")
        form = dict(parse_qsl((await body_of(request, 4096)).decode("utf-8", "replace")))
        grant = self.guard.access.find(form.get("token", "").strip())
        if grant is None:
            self.guard.attempts.failed(address(request))
            return self.render("login.html", request, 401, wrong=True, next=_own_path(form.get("next", "/")))
        return self._signed_in(request, grant, _own_path(form.get("next", "/")))

    async def _shared(self, request: Request) -> Response:
        grant = None if self.guard.blocked(request) else self.guard.access.find(request.path_params["token"])
        if grant is None or grant.role != LINK:
            self.guard.attempts.failed(address(request))
            return self._say(request, 404, "No such link", "This shared link was revoked, has expired, or never was.")
        return self._signed_in(request, grant, views.View(site=grant.sites[0], lane="released").url())

    def _signed_in(self, request: Request, grant: Grant, to: str) -> Response:
        response = RedirectResponse(to, 303)
        secure = request.url.scheme == "https"
        sealed = self.guard.sessions.seal(grant)
        response.set_cookie(COOKIE, sealed, SESSION_SECONDS, httponly=True, samesite="lax", secure=secure)
        return response

    async def _logout(self, request: Request) -> Response:
        response = RedirectResponse("/login", 303)
        if _same_origin(request):
            response.delete_cookie(COOKIE, httponly=True, samesite="lax")
        return response

    # Pages

    async def _open(self, request: Request) -> tuple[Grant, views.View, list[str]] | Response:
        """Who asks, and for what; or the page that says why not."""
        grant = self.guard.grant(request)
        if grant is None:
            path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/login?{urlencode({'next': path})}" if path != "/" else "/login", 303)
        held = await asyncio.to_thread(self.reporting.sites)
        sites = [site for site in held if grant.sees(site)]
        try:
            view = views.parse(request.query_params.multi_items(), sites[0] if sites else "")
        except QueryError as error:
            return self._say(request, 400, "That address makes no sense", str(error), grant)
        if view.site and view.site not in sites:
            text = "There is no such site, or this token may not see it."
            return self._say(request, 404, "No such site", text, grant)
        if not grant.reads_cells and view.lane == "internal":
            view = msgspec.structs.replace(view, lane="released")
        return grant, view, sites

    async def _overview(self, request: Request) -> Response:
        opened = await self._open(request)
        if isinstance(opened, Response):
            return opened
        grant, view, sites = opened
        if not sites:
            return self._say(request, 200, "Nothing here yet", NOTHING_YET, grant)

        async def ask(query: dict[str, Any]) -> dict[str, Any]:
            if view.lane == "internal":
                return await self.patient.ask(query, grant)
            return await self.api.ask(parse_object(query), grant)

        releases = await asyncio.to_thread(self.reporting.released.releases, view.site)
        held = sorted({release.period for release in releases}, key=lambda period: period.last)
        context: dict[str, Any] = {"view": view, "grant": grant, "sites": sites, "held": held, "page": "overview"}
        try:
            if view.lane == "released":
                shown = await overview.released(ask, view, held)
                context["chosen"] = overview.chosen_period(view, held)
            else:
                shown = await self._internal(ask, view)
                context["now"] = await asyncio.to_thread(self.reporting.recent, view.site)
        except (QueryError, UnknownSite) as error:
            return self._say(request, 400, "That cannot be answered", str(error), grant)
        except QueryStopped as error:
            return self._say(request, READER_GONE, "Stopped", str(error), grant)
        return self.render("overview.html", request, shown=shown, minimum=self.reporting.minimum_cell, **context)

    async def _internal(self, ask: overview.Ask, view: views.View) -> overview.Overview:
        saved = self.reporting.saved
        goals = await asyncio.to_thread(saved.goals, view.site)
        notes = [note for _, note in await asyncio.to_thread(saved.all, "annotation", view.site)]
        return await overview.internal(ask, view, self.reporting.now(), self.reporting.zone, goals, notes)

    async def _ways(self, request: Request) -> Response:
        opened = await self._open(request)
        if isinstance(opened, Response):
            return opened
        grant, view, sites = opened
        if not grant.reads_cells or not view.site:
            return self._say(request, 403, "Not with this token", "Ways are shown on the internal lane only.", grant)
        view = msgspec.structs.replace(view, lane="internal")
        page = request.query_params.get("page", "/")[:2000] or "/"
        today = self.reporting.now().astimezone(ZoneInfo(self.reporting.zone)).date()
        date_range = view.date_range(today)
        asked = {"kind": "ways", "date_range": date_range, "page": page}

        async def walk() -> walks.Walks:
            with self.api.noted(grant, view.site, asked):
                return await asyncio.to_thread(walks.gather, self.reporting, view, date_range, page)

        shown, waiting = walks.Walks((), page, [], [], [], 0), None
        try:
            shown = await self.patient.wait({**asked, "site": view.site, "filters": view.filters}, grant, walk)
        except StillCounting as counting:
            waiting = counting.progress
        except QueryError as error:
            return self._say(request, 400, "That cannot be answered", str(error), grant)
        except QueryTimeout as error:
            return asked_again(error, self._say(request, 503, "That cannot be answered now", str(error), grant))
        except QueryStopped as error:
            return self._say(request, READER_GONE, "Stopped", str(error), grant)
        context: dict[str, Any] = {"view": view, "grant": grant, "sites": sites, "page": "ways"}
        context |= {"retention": walks.retention, "waiting": waiting}
        return self.render("walks.html", request, shown=shown, minimum=self.reporting.minimum_cell, **context)

    async def _releases(self, request: Request) -> Response:
        opened = await self._open(request)
        if isinstance(opened, Response):
            return opened
        grant, view, sites = opened
        held = await asyncio.to_thread(self.reporting.released.releases, view.site)
        rows = await asyncio.to_thread(trust.release_rows, self.reporting.released, held)
        return self.render("releases.html", request, view=view, grant=grant, sites=sites, rows=rows, page="releases")

    async def _gate(self, request: Request) -> Response:
        opened = await self._open(request)
        if isinstance(opened, Response):
            return opened
        grant, view, sites = opened
        if grant.role == LINK:
            return self._say(request, 403, "Not for shared links", "Ask the owner for a token.", grant)
        today = dt.datetime.now(dt.UTC).date()
        seen = await asyncio.to_thread(trust.gate, self.reporting.data_dir, today)
        return self.render("gate.html", request, view=view, grant=grant, sites=sites, seen=seen, page="gate")

    async def nothing_here(self, request: Request, error: Exception) -> Response:
        """An address that is none of ours: a page with a way back for a browser, a line for others."""
        if request.url.path.startswith("/api/"):
            return refuse(404, "there is nothing at this address: /openapi.json lists what there is")
        if "text/html" not in request.headers.get("accept", ""):
            return Response("Not Found", 404, media_type="text/plain")
        return self._say(request, 404, "No such page", "There is nothing at this address.")

    async def _log(self, request: Request) -> Response:
        opened = await self._open(request)
        if isinstance(opened, Response):
            return opened
        grant, view, sites = opened
        if not grant.audits:
            return self._say(request, 403, "Not with this token", "The query log is for auditors and operators.", grant)
        entries = await asyncio.to_thread(self.api.log.last, 200)
        return self.render("log.html", request, view=view, grant=grant, sites=sites, entries=entries, page="log")


def _own_path(path: str) -> str:
    """A path of this service: never another host's address."""
    parts = urlsplit(path)
    fine = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.netloc and "\\" not in path
    return path if fine and path.isprintable() else "/"


def _same_origin(request: Request) -> bool:
    origin = request.headers.get("origin")
    if origin in (None, "null"):
        return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    return urlsplit(str(origin)).netloc == request.headers.get("host")
