"""A few read-only engines, lent one at a time: a slow question must not hold up the others.

One more looks on. It tells how far a question is and stops it: the engines themselves serve one statement at a time.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from analytics.reports import limits
from analytics.reports.errors import QueryRefused, QueryStopped
from analytics.reports.planner import sql_text
from analytics.reports.running import WAIT_SECONDS, Progress, Running, current
from analytics.reports.turns import Turns
from analytics.store import Store, StoreError

log = logging.getLogger("analytics")
TOTAL = "(total) memory limit exceeded"
OF_QUESTION = "Settings['log_comment'] = {id:String}"


class Pool:
    """Read-only stores of one folder or server."""

    def __init__(self, open_one: Callable[[], Store], size: int = 3) -> None:
        self._free: queue.Queue[Store] = queue.Queue()
        self._open_one = open_one
        self._onlooker: Store | None = None
        self._looking = threading.Lock()
        self.turns = Turns()
        self._all = [open_one() for _ in range(size)]
        for store in self._all:
            self._free.put(store)

    @contextlib.contextmanager
    def lend(self) -> Iterator[Store]:
        """The next one that is free. Raises QueryStopped when the reader goes while it stands in the queue."""
        reader = current()
        while True:
            with contextlib.suppress(queue.Empty):
                store = self._free.get(timeout=WAIT_SECONDS if reader else None)
                break
            if reader is not None:
                reader.check()
        try:
            yield store
        finally:
            self._free.put(store)

    @property
    def busy(self) -> int:
        """How many stores are lent."""
        return len(self._all) - self._free.qsize()

    def query(self, sql: str, params: Mapping[str, Any] | None = None, **settings: Any) -> list[tuple[Any, ...]]:
        """Run a statement for the current question, if there is one. Raises StoreError, QueryStopped, QueryRefused."""
        if not self._large(sql, params or {}):
            return self._query(sql, params, {**settings, **limits.SMALL} if self._all[0].embedded else settings)
        with self.turns.take():
            return self._query(sql, params, {**settings, **limits.LARGE})

    def _large(self, sql: str, params: Mapping[str, Any]) -> bool:
        """Whether a question would have the embedded engine read many rows. A server looks after its own memory."""
        scope = {name: params[name] for name in ("site", "from", "to") if name in params}
        if len(scope) < 3 or "FROM events" not in sql or not self._all[0].embedded:
            return False
        estimated = self._query(sql_text("rows_in_range"), scope, {})
        return sum(int(rows) for _, _, _, rows, _ in estimated) > limits.LARGE_ROWS

    def _query(self, sql: str, params: Mapping[str, Any] | None, settings: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        reader = current()
        with self.lend() as store, _room():
            if reader is None:
                return store.query(sql, params, **settings)
            with reader.statement(self._stop):
                try:
                    found = store.query(sql, params, log_comment=reader.id, **settings)
                except StoreError as error:
                    if reader.stopped:
                        raise QueryStopped("stopped: nobody waits for the answer any more") from error
                    raise
                reader.check()
                return found

    def progress(self, running: Running) -> Progress:
        """How far a question is: what its statement has read of what it is going to read."""
        sql = f"SELECT sum(read_rows), sum(total_rows_approx) FROM system.processes WHERE {OF_QUESTION}"
        ((read, total),) = self._look(lambda store: store.query(sql, {"id": running.id})) if running.busy else [(0, 0)]
        return Progress(running.id, round(running.share(read, total), 3), read, total, round(running.seconds, 1))

    def _stop(self, id_: str) -> None:
        def kill(store: Store) -> None:
            store.command(f"KILL QUERY {store.on_cluster} WHERE {OF_QUESTION} ASYNC", {"id": id_})

        try:
            self._look(kill)
        except StoreError as error:  # a server may not allow it: the statement ends at its limit then
            log.warning("could not stop a question: %s", error)

    def _look(self, work: Callable[[Store], Any]) -> Any:
        with self._looking:
            if self._onlooker is None:
                self._onlooker = self._open_one()
            return work(self._onlooker)

    def close(self) -> None:
        for store in (*self._all, *([self._onlooker] if self._onlooker else ())):
            store.close()


@contextlib.contextmanager
def _room() -> Iterator[None]:
    """Says it when the engine as a whole, not the statement alone, ran out of memory."""
    try:
        yield
    except StoreError as error:
        if error.code == 241 and TOTAL in str(error):
            raise QueryRefused(limits.NO_ROOM) from error
        raise
