"""The event routes: our own `POST <prefix>/event`, and Plausible's `POST /api/event` when the policy allows it.

202 means that the event is on the disk, fsynced. An event that no basis allows is answered 202 too, with a header
that says how many were dropped, since the visitor's choice is no error of the script.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from consent_middleware import events_api, visit
from consent_middleware.events_api import BadEvent, ScriptEvent
from consent_middleware.spool import SpoolFull

if TYPE_CHECKING:
    from consent_middleware.services import Services

PLAUSIBLE_BYTES: Final = 1_000_000
OWN_BYTES: Final = 64 * 1024
VISITOR_COOKIES: Final = ("__Host-visitor", "visitor")


class RateLimit:
    """At most `per_minute` events from one address, in a sliding pair of minutes; memory is bounded by `entries`."""

    def __init__(self, per_minute: int, entries: int = 20_000) -> None:
        self._limit = per_minute
        self._entries = entries
        self._minute = 0
        self._now: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def allows(self, address: str, events: int, now: float | None = None) -> bool:
        now = time.monotonic() if now is None else now
        minute = int(now // 60)
        if minute != self._minute:
            self._before = self._now if minute == self._minute + 1 else {}
            self._now = {}
            self._minute = minute
        here = self._now.get(address, 0)
        weighted = here + self._before.get(address, 0) * (1 - now % 60 / 60)
        if weighted + events > self._limit:
            return False
        if address in self._now or len(self._now) < self._entries:
            self._now[address] = here + events
            return True
        return False  # so many addresses in one minute are no visitors


def routes(services: Services) -> list[BaseRoute]:
    """The routes of this file; `services` are those of the worker."""
    policy = services.policy
    limit = RateLimit(policy.capture.events_per_minute)
    hosts = {host.partition(":")[0].removeprefix("www.").lower() for host in policy.site.hosts}
    hosts.add(policy.site.site_id.removeprefix("www."))

    async def own(request: Request) -> Response:
        if not _same_site(request, hosts):
            return JSONResponse({"error": "events are taken from this site's own pages only"}, 403)
        try:
            body = await _body(request, OWN_BYTES)
            raw = events_api.decode(body)
            page = request.headers.get("referer", "/")  # where a site's own script did not say the page
            events = [
                events_api.parse(events_api.on_page(one, page)) for one in (raw if isinstance(raw, list) else [raw])
            ]
            if not 0 < len(events) <= events_api.MAX_EVENTS:
                raise BadEvent({"request": [f"holds 1 to {events_api.MAX_EVENTS} events"]})
        except BadEvent as error:
            return JSONResponse({"errors": error.errors}, 400)
        return await _keep(request, events, JSONResponse({"taken": len(events)}, 202), "x-consent-dropped")

    async def plausible(request: Request) -> Response:
        try:
            event = events_api.parse(events_api.decode(await _body(request, PLAUSIBLE_BYTES)))
        except BadEvent as error:
            return JSONResponse({"errors": error.errors}, 400, headers=_CROSS)
        known = [domain for domain in event.domains if domain.removeprefix("www.") in hosts or not policy.site.hosts]
        answer = PlainTextResponse("ok", 202, headers=_CROSS)
        unknown = len(event.domains) - len(known)
        if unknown:
            answer.headers["x-plausible-dropped"] = str(unknown)
        if not known:
            return answer
        return await _keep(request, [event], answer, "x-plausible-dropped")

    async def preflight(request: Request) -> Response:
        return Response(None, 204, headers=_CROSS | {"access-control-allow-headers": "content-type"})

    async def _keep(request: Request, events: list[ScriptEvent], answer: Response, header: str) -> Response:
        if not limit.allows(services.client.address(request.scope), len(events)):
            return JSONResponse({"error": "too many events"}, 429, headers={"retry-after": "60"})
        decision = request.scope["consent"]
        visitor_id = _visitor_id(request)
        rows = [services.capture.script_event_row(request.scope, decision, visitor_id, event) for event in events]
        kept = [row for row in rows if row]
        dropped = sum(row is None for row in rows) + int(answer.headers.get(header, "0"))
        try:
            for row in kept[:-1]:
                if not services.spool.append(row):
                    raise SpoolFull
            if kept:
                await services.spool.append_durable(kept[-1])  # one sync covers what was appended before
        except SpoolFull:
            return JSONResponse({"error": "the spool is full"}, 503, headers={"retry-after": "60"})
        if dropped:
            answer.headers[header] = str(dropped)
        return answer

    found: list[BaseRoute] = [Route(f"{policy.site.prefix}/event", own, methods=["POST"])]
    if policy.capture.plausible:
        found.append(Route("/api/event", plausible, methods=["POST"]))
        found.append(Route("/api/event", preflight, methods=["OPTIONS"]))
    return found


# Plausible's endpoint may be used from another origin of the same owner; it takes events and gives nothing away.
_CROSS: Final = {"access-control-allow-origin": "*", "cache-control": "no-store"}


async def _body(request: Request, limit: int) -> bytes:
    """The body, up to a limit. Raises BadEvent."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise BadEvent({"request": [f"is larger than {limit} bytes"]})
    except ClientDisconnect:
        raise BadEvent({"request": ["was not sent whole"]}) from None
    return bytes(body)


def _same_site(request: Request, hosts: set[str]) -> bool:
    """Browsers say where a request comes from; programs of the owner say nothing."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "same-site", "none"):
        return False
    origin = request.headers.get("origin")
    if not origin:
        return True
    host = origin.partition("://")[2].partition(":")[0].removeprefix("www.").lower()
    return host in hosts or host == request.headers.get("host", "").partition(":")[0].removeprefix("www.").lower()


def _visitor_id(request: Request) -> str | None:
    return next((value for name in VISITOR_COOKIES for value in _cookies(request, name)), None)


def _cookies(request: Request, name: str) -> Iterator[str]:
    for header in request.headers.getlist("cookie"):
        for pair in header.split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name and value:
                yield value[: visit.MAX_VALUE]


__all__ = ["RateLimit", "routes"]
