"""Daily salts that several hosts share through PostgreSQL, so that a visitor has one key whichever host answers.

The first host makes the salt of a day, the others read it. It is asked for by a thread and kept in memory; while it
can't be had there are no keys, and no host makes a salt of its own. It is destroyed in the first hour of the next day:
at most 26 hours after it was made.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import Final

from consent_middleware.ledger.database import Database, DatabaseError
from consent_middleware.salts import DAY, SALT_BYTES, salted_key

EARLY: Final = 1800  # seconds before midnight from which the next day's salt is fetched
LATE: Final = 1800  # after midnight a host whose clock is late may still need yesterday's
AGAIN: Final = 5.0
logger = logging.getLogger("consent_middleware")


class SharedSalts:
    """Keys of the current day (UTC). `open_database` connects to PostgreSQL; it is called in a thread of our own."""

    def __init__(self, open_database: Callable[[], Database]) -> None:
        self._open = open_database
        self._salts: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self._asked = 0.0
        self._failing = False

    def key(self, address: str, user_agent: str, site: str, now: float | None = None) -> int:
        """64 bits over address, user agent and site under today's salt; 0 while there is none. Never waits."""
        day = int((time.time() if now is None else now) // DAY)
        salt = self._salts.get(day)
        if salt is None:
            self._ask()
            return 0
        return salted_key(salt, address, user_agent, site)

    def refresh(self, now: float | None = None) -> None:
        """Fetch what is needed and destroy what is old. Called at the start and every few minutes; never raises."""
        now = time.time() if now is None else now
        today, second = divmod(int(now), DAY)
        needed = [today, today + 1] if second >= DAY - EARLY else [today]
        try:
            with self._lock:
                self._exchange(needed, today if second >= LATE else today - 1)
        except (DatabaseError, OSError) as error:
            if not self._failing:
                logger.warning("the daily salt can't be had, rows get no daily key meanwhile: %s", error)
            self._failing = True
        else:
            self._failing = False

    def _exchange(self, needed: list[int], oldest: int) -> None:
        database = self._open()
        try:
            if database.query("destroy_salts", {"day": oldest}):
                database.purge()
            fetched = {}
            for day in needed:
                database.execute("add_salt", [{"day": day, "salt": secrets.token_bytes(SALT_BYTES)}])
                found = database.query("salt", {"day": day})
                if not found:
                    raise DatabaseError("another host, whose clock is ahead, has destroyed the salt of this day")
                fetched[day] = bytes(found[0][0])
            self._salts = fetched
        finally:
            database.close()

    def _ask(self) -> None:
        if time.monotonic() - self._asked > AGAIN:
            self._asked = time.monotonic()
            threading.Thread(target=self.refresh, name="consent-salts", daemon=True).start()
