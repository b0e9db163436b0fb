"""A question while it runs: how far it is, and how to stop it when nobody waits for its answer any more.

The engine takes no query id from an embedded client and forgets comments, so each statement carries the question's id
in the setting `log_comment`, by which it is found in the engine's list of processes, embedded and on a server alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TypeVar

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from analytics.reports.errors import QueryStopped

T = TypeVar("T")

STOP_SECONDS = 10.0  # how long a stop is repeated: a statement may be on its way to the engine
WAIT_SECONDS = 0.1  # how often whoever stands in a queue looks whether the reader has gone


class Progress(msgspec.Struct, frozen=True):
    """`share` from 0 to 1 of the statements that are known so far; rows of the statement that runs now."""

    id: str
    share: float
    read_rows: int
    total_rows: int
    seconds: float


class Running:
    """One question: a request, a page, a command. Any number of statements, on any threads."""

    def __init__(self, id_: str = "") -> None:
        self.id = id_ or secrets.token_hex(12)
        self.started = self.seen = time.monotonic()  # seen: when somebody last looked after it
        self.planned = self.done = 0
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._inside: list[Callable[[str], None]] = []  # how to stop each statement that is in the engine

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    @property
    def busy(self) -> bool:
        """Whether a statement of it is in the engine."""
        return bool(self._inside)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def expect(self, statements: int) -> None:
        self.planned += statements

    def check(self) -> None:
        """Raises QueryStopped when nobody waits any more."""
        if self.stopped:
            raise QueryStopped("stopped: nobody waits for the answer any more")

    @contextlib.contextmanager
    def statement(self, stop: Callable[[str], None]) -> Iterator[None]:
        """Around one statement; `stop` ends what carries an id in the engine."""
        self.check()
        with self._lock:
            self._inside.append(stop)
        try:
            yield
        finally:
            with self._lock:
                self._inside.remove(stop)

    def leave(self) -> None:
        """Nobody waits any more: what has not reached the engine does not."""
        self._stopped.set()

    def stop(self) -> None:
        """End it, from another thread: returns when nothing of it is left in the engine."""
        self.leave()
        limit = time.monotonic() + STOP_SECONDS
        while self.busy and time.monotonic() < limit:
            with self._lock:
                stops = set(self._inside)
            for stop in stops:
                stop(self.id)
            time.sleep(WAIT_SECONDS)

    def share(self, read_rows: int, total_rows: int) -> float:
        inside = min(read_rows / total_rows, 1.0) if total_rows else 0.0
        return min((self.done + inside) / max(self.planned, self.done + 1), 1.0)


# Threads of their own: those of the questions may all stand in the queue.
_aside = ThreadPoolExecutor(4, thread_name_prefix="onlooker")


async def aside(work: Callable[..., T], *given: object) -> T:
    """Run what looks on at questions, or stops them, in a thread that no question can hold."""
    return await asyncio.get_running_loop().run_in_executor(_aside, work, *given)


_current: ContextVar[Running | None] = ContextVar("running", default=None)


def current() -> Running | None:
    """The question that this thread or task works for."""
    return _current.get()


def finished() -> None:
    """Say that one of those is done."""
    if (running := current()) is not None:
        running.done += 1


def expect(statements: int) -> None:
    """Say how many statements the current question is going to run."""
    if (running := current()) is not None:
        running.expect(statements)


@contextlib.contextmanager
def on_behalf_of(running: Running) -> Iterator[Running]:
    token = _current.set(running)
    try:
        yield running
    finally:
        _current.reset(token)


class StopsWithReader:
    """ASGI: a client that goes away before its answer is there ends the engine's work for it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        running = Running()
        inbox: asyncio.Queue[Message] = asyncio.Queue(1)  # one message: a body is not read faster than it is wanted

        async def pump() -> None:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    running.leave()
                    await aside(running.stop)
                    await inbox.put(message)
                    return
                await inbox.put(message)

        with on_behalf_of(running):
            pumping = asyncio.create_task(pump())
            try:
                await self.app(scope, inbox.get, send)
            finally:
                pumping.cancel()
