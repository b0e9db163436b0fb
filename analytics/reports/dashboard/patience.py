"""Questions that outlast the page that asked them: the page comes at once and says how far they are.

A question goes on after its page has left, and the next page picks up the answer. When no page and no script has asked
after it for a while, it is stopped: nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import msgspec

from analytics.reports.access import Grant
from analytics.reports.api import Api
from analytics.reports.errors import QueryStopped
from analytics.reports.query import parse_object
from analytics.reports.running import Progress, Running, aside, current, on_behalf_of

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, Any]]

PATIENCE_SECONDS = 1.5  # how long a page waits for an answer before it says that it is still being counted
LEASH_SECONDS = 15.0  # how long a question goes on while nobody looks after it
LOOK_SECONDS = 0.1


class StillCounting(Exception):
    """There is no answer yet."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(f"{progress.share:.0%}")
        self.progress = progress


class Asked:
    """One question of one reader, and how many pages wait for it at this moment."""

    def __init__(self, task: asyncio.Task[Any], running: Running) -> None:
        self.task, self.running, self.pages = task, running, 0
        self.stopping: asyncio.Task[None] | None = None  # held here, so that it is not thrown away half done
        self.finished = 0.0
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[Any]) -> None:
        self.finished = time.monotonic()
        if not task.cancelled():
            task.exception()  # looked at: somebody may never come back for it


class Patient:
    """Asks for the dashboard."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._asked: dict[tuple[str, bytes], Asked] = {}

    async def ask(self, query: dict[str, Any], grant: Grant) -> dict[str, Any]:
        """The answer. Raises StillCounting, and what the API raises."""
        return await self.wait(query, grant, lambda: self.api.ask(parse_object(query), grant))

    async def wait(self, words: object, grant: Grant, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `work` gives, which is begun once for all pages that this reader asks in the same words. Raises
        StillCounting, and what the work raises."""
        key = (grant.id, msgspec.json.encode(words))
        held = self._asked.get(key)
        asked = held or self._begin(key, work, grant)
        with self._waiting(asked):
            limit = time.monotonic() + PATIENCE_SECONDS
            while not asked.task.done() and time.monotonic() < limit:
                await asyncio.wait({asked.task}, timeout=LOOK_SECONDS)
                if (reader := current()) is not None and reader.stopped:
                    if asked.pages == 1:
                        await self._stop(asked)
                    raise QueryStopped("stopped: the page was left")
        if asked.task.done():
            if held is None:
                self._asked.pop(key, None)  # it was quick; what was not stays for a moment: other panels still count
            result: T = asked.task.result()
            return result
        raise StillCounting(await aside(self.api.reporting.pool.progress, asked.running))

    def _begin(self, key: tuple[str, bytes], work: Work, grant: Grant) -> Asked:
        with on_behalf_of(Running()) as running:
            asked = self._asked[key] = Asked(asyncio.create_task(work()), running)
        self.api.followed_ids[grant.id, running.id] = running
        asked.task.add_done_callback(lambda _: self.api.followed_ids.pop((grant.id, running.id), None))
        asyncio.get_running_loop().call_later(LEASH_SECONDS, self._look_after, key, asked)
        return asked

    @contextlib.contextmanager
    def _waiting(self, asked: Asked) -> Iterator[None]:
        asked.pages += 1
        try:
            yield
        finally:
            asked.pages -= 1
            asked.running.seen = time.monotonic()

    def _look_after(self, key: tuple[str, bytes], asked: Asked) -> None:
        """Stop or forget what nobody came back for."""
        if self._asked.get(key) is not asked:
            return
        left = LEASH_SECONDS - (time.monotonic() - (asked.finished or asked.running.seen))
        if left > 0 or asked.pages:
            asyncio.get_running_loop().call_later(max(left, 1.0), self._look_after, key, asked)
            return
        del self._asked[key]
        if not asked.task.done():
            asked.stopping = asyncio.create_task(self._stop(asked))

    async def _stop(self, asked: Asked) -> None:
        asked.running.leave()
        await aside(asked.running.stop)
