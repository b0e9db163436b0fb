"""The withdrawn records, in memory: how a withdrawal reaches every worker of every host without a store per request."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from consent_middleware.erasures import ControlDoor, send_owed
from consent_middleware.ledger import ConsentRecord, Ledger, LedgerUnavailable

logger = logging.getLogger("consent_middleware")

REFRESH_SECONDS = 1.0
CHORES_EVERY_SECONDS = 600.0


class Revocations:
    """A set of record ids that no cookie may name any more, refreshed from the ledger every second by a thread.

    While the ledger can't be read the last known set keeps counting, and the log says so once. With a `spool`, the
    thread also sends the erasures that an operator's withdrawal, or a crash, left owed. `chores` are called by it every
    ten minutes: the daily tree head, retention.
    """

    def __init__(
        self, ledger: Ledger, spool: ControlDoor | None = None, chores: Sequence[Callable[[], object]] = ()
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._chores = chores
        self.ids: dict[str | None, int] = {}  # a record id, and the unix time from which no cookie names it
        self._cursor: dict[int, int] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False

    def revoked(self, record_id: str) -> bool:
        return record_id in self.ids

    def add(self, record: ConsentRecord) -> None:
        """Count a withdrawal that was just written here, before the next refresh."""
        self._add((record,))

    def start(self) -> None:
        """Read the ledger now, then keep reading it. Never raises: the site must start without its ledger."""
        if self._thread is None:
            self.refresh()
            self._thread = threading.Thread(target=self._run, name="consent-revocations", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def refresh(self) -> None:
        """Take in what was withdrawn since the last time."""
        try:
            records, cursor = self._ledger.revoked_since(self._cursor)
            if self._spool is not None and self._ledger.owed_erasures():
                asyncio.run(send_owed(self._ledger, self._spool))
        except LedgerUnavailable as error:
            if not self._failing:
                logger.warning("withdrawals can't be read, the last known ones keep counting: %s", error)
            self._failing = True
            return
        self._failing = False
        self._add(records)
        self._cursor = dict(cursor)

    def _run(self) -> None:
        next_chores = time.monotonic() + CHORES_EVERY_SECONDS / 10
        while not self._stop.wait(REFRESH_SECONDS):
            self.refresh()
            self._drop_ended()
            if time.monotonic() >= next_chores:
                next_chores = time.monotonic() + CHORES_EVERY_SECONDS
                self._do_chores()

    def _do_chores(self) -> None:
        for chore in self._chores:
            try:
                chore()
            except (LedgerUnavailable, OSError, ValueError):
                logger.exception("the ledger's upkeep failed, and will be tried again")

    def _add(self, records: Iterable[ConsentRecord]) -> None:
        for record in records:
            self.ids[record.record_id] = record.until

    def _drop_ended(self) -> None:
        """Forget records whose last cookie has ended by itself."""
        now = time.time()
        ended = [record_id for record_id, until in self.ids.items() if until and until < now]
        for record_id in ended:
            del self.ids[record_id]
