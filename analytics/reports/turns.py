"""One large statement at a time: what the embedded engine keeps while it groups is the memory of the service.

Whoever comes is served in order. Standing in the queue takes no engine and no memory, so small questions pass by.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator

from analytics.reports.errors import QueryRefused
from analytics.reports.running import WAIT_SECONDS, current

TURN_SECONDS = 900.0
WAITING = 60


class Turns:
    """A queue before one place. At most `waiting` stand in it, each for at most `seconds`."""

    def __init__(self, seconds: float = TURN_SECONDS, waiting: int = WAITING) -> None:
        self.seconds, self.waiting = seconds, waiting
        self._line: deque[object] = deque()  # the first one has the place
        self._moved = threading.Condition()

    def __len__(self) -> int:
        """How many are served or wait."""
        return len(self._line)

    @contextlib.contextmanager
    def take(self, *, patient: bool = False) -> Iterator[None]:
        """Wait for the place and hold it. Raises QueryRefused when too many wait or it takes too long, unless
        `patient`; QueryStopped when the reader goes meanwhile."""
        me, reader = object(), current()
        limit = (reader.started if reader else time.monotonic()) + self.seconds  # of a question, not of each statement
        with self._moved:
            if not patient and len(self._line) > self.waiting:
                raise QueryRefused(f"{self.waiting} large questions wait already: ask again in a moment")
            self._line.append(me)
            try:
                while self._line[0] is not me:
                    self._moved.wait(WAIT_SECONDS)
                    if reader is not None:
                        reader.check()
                    if not patient and self._line[0] is not me and time.monotonic() > limit:
                        raise QueryRefused(
                            f"the question waited {self.seconds:.0f} seconds for others that read as much: "
                            "ask again later, or for a shorter period"
                        )
            except BaseException:
                self._leave(me)
                raise
        try:
            yield
        finally:
            with self._moved:
                self._leave(me)

    def _leave(self, me: object) -> None:
        self._line.remove(me)
        self._moved.notify_all()
