"""The HTTP API: Plausible's `POST /api/v2/query`, exports, definitions, releases, the query log."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from analytics.anonymise.sealed import SealedRelease
from analytics.reports import exploring, openapi
from analytics.reports import query as language
from analytics.reports.access import Grant
from analytics.reports.errors import QueryError, QueryRefused, QueryStopped, QueryTimeout, UnknownSite, no_site
from analytics.reports.exports import FORMATS, export
from analytics.reports.guard import Guard
from analytics.reports.query import Query
from analytics.reports.querylog import Entry, QueryLog
from analytics.reports.reporting import Reporting
from analytics.reports.running import Running, aside, current
from analytics.reports.saved import TYPES, Kind
from analytics.store import StoreUnavailable

RETRY_SECONDS = "30"
READER_GONE = 499  # nginx's word for it; nobody is there to read it
MAX_ID_DIGITS = 18  # more is no number of the database
NO_STORE = {"cache-control": "no-store"}
NO_KEY = "Missing or invalid API key: send it as `Authorization: Bearer KEY`; `analytics token create` makes one."
NO_SITE = "Invalid API key or site_id. Please check your API key and that you have access to this site."


def reply(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json", headers=NO_STORE)


def refuse(status: int, error: str, **details: object) -> Response:
    return reply({"error": error, **details}, status)


def busy(error: Exception) -> Response:
    """503 for a question that the engine did not answer; when asking again helps, after how many seconds."""
    return asked_again(error, refuse(503, str(error)))


def asked_again(error: Exception, answer: Response) -> Response:
    if isinstance(error, QueryRefused | StoreUnavailable):
        answer.headers["retry-after"] = RETRY_SECONDS
    return answer


class Api:
    """Routes over one Reporting; every answer of the internal lane is logged."""

    def __init__(self, reporting: Reporting, guard: Guard) -> None:
        self.reporting, self.guard = reporting, guard
        self.log = QueryLog(reporting.data_dir)
        self.followed_ids: dict[tuple[str, str], Running] = {}

    def routes(self) -> list[Route]:
        return [
            Route("/api/v2/query", self._for(self._query), methods=["POST"]),
            Route("/api/v2/export", self._for(self._export), methods=["POST"]),
            Route("/api/v2/{what}", self._for(self._explore), methods=["POST"]),
            Route("/api/progress/{id}", self._for(self._progress), methods=["GET"]),
            Route("/openapi.json", self._document, methods=["GET"]),
            Route("/api/schema/query.json", self._document, methods=["GET"]),
            Route("/api/sites", self._for(self._sites), methods=["GET"]),
            Route("/api/releases", self._for(self._releases), methods=["GET"]),
            Route("/api/query-log", self._for(self._query_log), methods=["GET"]),
            Route("/api/definitions/{kind}", self._for(self._definitions), methods=["GET", "POST"]),
            Route("/api/definitions/{kind}/{id}", self._for(self._forget), methods=["DELETE"]),
        ]

    def _for(
        self, handler: Callable[[Request, Grant], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            if self.guard.blocked(request):
                return refuse(429, "Too many failed attempts: wait five minutes.")
            grant = self.guard.grant(request)
            if grant is None:
                return refuse(401, NO_KEY)
            try:
                return await handler(request, grant)
            except QueryError as error:
                near = {"nearest": error.details["nearest"]} if "nearest" in error.details else {}
                return refuse(400, str(error), path=error.path, **near)
            except UnknownSite as error:
                if grant.is_local:  # a command of this machine gave no key, and may see every site
                    return refuse(404, no_site(error.site, error.known))
                return refuse(401, NO_SITE)
            except (QueryTimeout, StoreUnavailable) as error:
                return busy(error)
            except QueryStopped as error:
                return refuse(READER_GONE, str(error))

        return guarded

    async def _query(self, request: Request, grant: Grant) -> Response:
        query = language.parse(await body_of(request, language.MAX_BODY))
        with self.followed(request, grant):
            return reply(await self.ask(query, grant))

    @contextlib.contextmanager
    def followed(self, request: Request, grant: Grant) -> Iterator[None]:
        """Let whoever asks with the header `x-question: ID` see at `/api/progress/ID` how far it is."""
        id_, running = request.headers.get("x-question", "")[:64], current()
        if not id_ or running is None:
            yield
            return
        self.followed_ids[grant.id, id_] = running
        try:
            yield
        finally:
            self.followed_ids.pop((grant.id, id_), None)

    async def _progress(self, request: Request, grant: Grant) -> Response:
        running = self.followed_ids.get((grant.id, request.path_params["id"]))
        if running is None and request.query_params.get("gone") == "204":  # a browser writes every 404 to its console
            return Response(status_code=204)
        if running is None:
            return refuse(404, "no question of yours with this id is running")
        running.seen = time.monotonic()
        return reply(await aside(self.reporting.pool.progress, running))

    async def ask(self, query: Query, grant: Grant) -> dict[str, Any]:
        """The answer for this grant. Raises QueryError, QueryTimeout, UnknownSite."""
        if not grant.sees(query.site_id):
            raise UnknownSite(query.site_id)
        if query.lane == "released":
            return await asyncio.to_thread(self.reporting.ask, query)
        if not grant.reads_cells:
            raise QueryError("$.lane", 'this token reads the released lane only: set lane to "released"')
        started = time.monotonic()
        error, rows = "", 0
        try:
            result = await asyncio.to_thread(self.reporting.ask, query)
            rows = len(result["results"])
            return result
        except Exception as failure:
            error = str(failure)[:300]
            raise
        finally:
            self._note(grant, query.site_id, language.to_object(query), started, rows, error)

    async def _export(self, request: Request, grant: Grant) -> Response:
        format_ = request.query_params.get("format", "csv")
        if format_ not in FORMATS:
            raise QueryError("format", f'"{format_}" is not one of {", ".join(FORMATS)}')
        answer = await self.ask(language.parse(await body_of(request, language.MAX_BODY)), grant)
        type_, ending = FORMATS[format_]
        headers = {**NO_STORE, "content-disposition": f'attachment; filename="statistics.{ending}"'}
        return Response(await asyncio.to_thread(export, answer, format_), media_type=type_, headers=headers)

    async def _explore(self, request: Request, grant: Grant) -> Response:
        """Funnels, journeys and cohorts."""
        what = request.path_params["what"]
        if what not in exploring.QUESTIONS:
            return refuse(404, "there is no such question: query, export, funnel, journey or cohorts")
        body = await body_of(request, language.MAX_BODY)
        site = exploring.parse(what, body).site_id
        if not grant.sees(site):
            raise UnknownSite(site)
        if not grant.reads_cells:
            raise QueryError("$", f"{what} is answered on the internal lane only, which this token does not read")
        asked: dict[str, Any] = msgspec.json.decode(body)
        query = {key: value for key, value in asked.items() if key != "site_id"} | {"kind": what}
        with self.noted(grant, site, query):
            found = await asyncio.to_thread(self.reporting.explore, what, site, asked)
        return reply({"results": found})

    async def _document(self, request: Request) -> Response:
        return reply(openapi.query_schema() if "schema" in request.url.path else openapi.document())

    @contextlib.contextmanager
    def noted(self, grant: Grant, site: str, query: Any) -> Iterator[None]:
        """Log a question to the internal lane, with its failure if it fails."""
        started, error = time.monotonic(), ""
        try:
            yield
        except Exception as failure:
            error = str(failure)[:300]
            raise
        finally:
            self._note(grant, site, query, started, 0, error)

    def _note(self, grant: Grant, site: str, query: Any, started: float, rows: int, error: str = "") -> None:
        at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        took = int((time.monotonic() - started) * 1000)
        self.log.add(Entry(at, grant.id, grant.name, site, query, took, rows, error))

    async def _sites(self, request: Request, grant: Grant) -> Response:
        sites = [site for site in await asyncio.to_thread(self.reporting.sites) if grant.sees(site)]
        return reply({"sites": sites, "minimum_cell": self.reporting.minimum_cell, "timezone": self.reporting.zone})

    async def _releases(self, request: Request, grant: Grant) -> Response:
        held = await asyncio.to_thread(self.reporting.released.releases)
        return reply({"releases": [release_summary(each) for each in held if grant.sees(each.site)]})

    async def _query_log(self, request: Request, grant: Grant) -> Response:
        if not grant.audits:
            return refuse(403, "The query log is for auditors and operators.")
        return reply({"entries": await asyncio.to_thread(self.log.last)})

    async def _definitions(self, request: Request, grant: Grant) -> Response:
        kind, site = self._named(request, grant)
        if not grant.reads_cells:
            return refuse(403, "Definitions are for analysts and operators.")
        if request.method == "GET":
            held = await asyncio.to_thread(self.reporting.saved.all, kind, site)
            return reply({"definitions": [{"id": id_, "definition": each} for id_, each in held]})
        if kind == "letter" and not grant.operates:
            return refuse(403, "Reports by e-mail are set up by operators.")
        body = await body_of(request, language.MAX_BODY)
        try:
            definition = msgspec.json.decode(body, type=TYPES[kind])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise QueryError("$", str(error)) from None
        id_ = await asyncio.to_thread(self.reporting.saved.add, kind, site, definition)
        return reply({"id": id_, "definition": definition}, 201)

    async def _forget(self, request: Request, grant: Grant) -> Response:
        kind, site = self._named(request, grant)
        if not grant.reads_cells:
            return refuse(403, "Definitions are removed by analysts and operators.")
        number = request.path_params["id"]
        if not (number.isascii() and number.isdecimal()) or len(number) > MAX_ID_DIGITS:
            raise QueryError("id", "a definition is named by its number")
        gone = await asyncio.to_thread(self.reporting.saved.remove, kind, site, int(number))
        return reply({"removed": gone}, 200 if gone else 404)

    def _named(self, request: Request, grant: Grant) -> tuple[Kind, str]:
        kind, site = request.path_params["kind"], request.query_params.get("site", "")
        if kind not in TYPES:
            raise QueryError("kind", f'"{kind}" is not one of {", ".join(TYPES)}')
        if not site:
            raise QueryError("site", "name the site, as in ?site=www.example.org")
        if not grant.sees(site):
            raise UnknownSite(site)
        return kind, site


def release_summary(release: SealedRelease) -> dict[str, Any]:
    """A release as the API lists it: what was sealed, and the whole signed manifest."""
    return {
        "site": release.site,
        "period": str(release.period),
        "first": release.period.first.isoformat(),
        "last": release.period.last.isoformat(),
        "sha256": release.sha256,
        "manifest": release.manifest,
    }


async def body_of(request: Request, limit: int) -> bytes:
    """The request's body; more than `limit` bytes are not read."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise QueryError("$", f"the body is larger than {limit} bytes")
    return body
