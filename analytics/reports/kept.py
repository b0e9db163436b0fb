"""Answers that are kept while what they were counted from has not changed; asked twenty times, counted once."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import Any

from analytics.reports.errors import QueryStopped
from analytics.reports.running import WAIT_SECONDS, current

Answer = dict[str, Any]


class Kept:
    """Bounded by answers and by their rows. Keys say what was asked and of what; an answer is not to be changed."""

    def __init__(self, answers: int = 400, rows: int = 60_000) -> None:
        self.answers, self.rows = answers, rows
        self._lock = threading.Lock()
        self._held: OrderedDict[Hashable, tuple[Answer, int]] = OrderedDict()
        self._size = 0
        self._running: dict[Hashable, Future[Answer]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Hashable, count: Callable[[], Answer]) -> Answer:
        """The kept answer, or that of whoever is counting it now, or a new one. What `count` raises is passed on.

        When whoever counts it is stopped, the next one who waits takes over.
        """
        while True:
            try:
                return self._get(key, count)
            except QueryStopped:
                if (mine := current()) is None or mine.stopped:
                    raise

    def _get(self, key: Hashable, count: Callable[[], Answer]) -> Answer:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key][0]
            running = self._running.get(key)
            if running is None:
                mine = self._running[key] = Future()
        while running is not None:
            with contextlib.suppress(NotYet):
                return running.result(WAIT_SECONDS)
            if (reader := current()) is not None:
                reader.check()
        try:
            answer = count()
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(answer)
            self._keep(key, answer)
            return answer
        finally:
            with self._lock:
                del self._running[key]

    def _keep(self, key: Hashable, answer: Answer) -> None:
        size = 1 + len(answer["results"])
        with self._lock:
            if size > self.rows // 10 or key in self._held:
                return
            self._held[key] = (answer, size)
            self._size += size
            while len(self._held) > self.answers or self._size > self.rows:
                _, (_, gone) = self._held.popitem(last=False)
                self._size -= gone
