"""When services open and close: at start-up or at the first request, once for each event loop, never twice."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from asyncio import _get_running_loop  # None under another library's loop, where get_running_loop raises
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from consent_middleware import collect, consent_mode, inventory, pages
from consent_middleware.services import Services

log = logging.getLogger("consent_middleware")

RETRY_SECONDS: Final = 5.0


class Opening:
    """Holds the services of the running event loop, and the router of our own pages, which needs them.

    A worker that can't open them (a full disk, a folder without rights, a loop that is not asyncio's) still serves the
    site behind the gate: only our own pages say that they are not available. It tries again every few seconds.
    """

    def __init__(self, open_them: Callable[[], Awaitable[Services]], counts: Counter[str]) -> None:
        self._open_them = open_them
        self._counts = counts
        self._lock: asyncio.Lock | None = None
        self._again_at = 0.0
        self.loop: asyncio.AbstractEventLoop | None = None
        # What tells this run of the loop from every other one, for a question that each request asks: a running loop
        # sets its hooks, while asyncio asks the system for the process id before it names a loop.
        self.running: object = object()
        self.services: Services | None = None
        self.router: Router | None = None

    async def ready(self) -> Services | None:
        """The services of this loop, opened now if need be; None when they can't be."""
        loop = _get_running_loop()
        if loop is None:
            self._failed("services need asyncio: our own pages and capture are off under another event loop")
            return None
        if self.loop is loop and (self.services is not None or time.monotonic() < self._again_at):
            self.running = sys.get_asyncgen_hooks()[0] or object()  # the same loop may have been started again
            return self.services
        if self.loop is not loop:
            abandoned, self.services, self.router = self.services, None, None
            self.loop, self._lock, self._again_at = loop, asyncio.Lock(), 0.0
            if abandoned is not None:
                await abandoned.close()
        assert self._lock is not None
        async with self._lock:
            if self.services is None and time.monotonic() >= self._again_at:
                try:
                    services = await self._open_them()
                    self.router = _router(services)
                    self.services = services
                except Exception as error:
                    self._again_at = time.monotonic() + RETRY_SECONDS
                    self._failed(f"services can't be opened, trying again in {RETRY_SECONDS:g} s: {error}")
        return self.services

    async def close(self) -> None:
        services, self.services, self.router = self.services, None, None
        if services is not None:
            await services.close()

    async def lifespan(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the lifespan on as it is; open before the site starts, close after it has stopped."""

        async def receive_opening() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.ready()
            return message

        async def send_closing(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await self.close()
            await send(message)

        await app(scope, receive_opening, send_closing)

    def _failed(self, what: str) -> None:
        self._counts["services"] += 1
        if self._counts["services"] == 1:
            log.error("%s", what)


def _router(services: Services) -> Router:
    router = Router(routes=_routes(services), redirect_slashes=False)
    router.default = pages.nothing_here(services, router.not_found)
    return router


def _routes(services: Services) -> list[BaseRoute]:
    """Every page and door of ours."""
    return [
        *pages.routes(services),
        *collect.routes(services),
        *inventory.routes(services),
        *consent_mode.routes(services),
    ]
