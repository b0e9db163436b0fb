"""What is on its way: attempts, when to try again, dead letters. One small file beside the releases."""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import sqlite3
from pathlib import Path

import msgspec

MINUTES = (1, 5, 30, 120, 360, 720, 1440)  # between attempts; after the last one a letter is dead

_SCHEMA = """
CREATE TABLE IF NOT EXISTS letters (
    key TEXT PRIMARY KEY, recipient TEXT NOT NULL, site TEXT NOT NULL, period TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0, next_at TEXT NOT NULL DEFAULT '', told TEXT NOT NULL DEFAULT ''
) STRICT
"""


class OutboxBusy(Exception):
    """Another run is delivering; it does what this one would have done."""


class Letter(msgspec.Struct, frozen=True):
    key: str
    recipient: str
    site: str
    period: str
    state: str
    attempts: int
    next_at: str
    told: str


class Outbox:
    """The state of every delivery."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._lock = -1
        self._database = sqlite3.connect(folder / "outbox.sqlite3", isolation_level=None, timeout=30)
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(_SCHEMA)

    def close(self) -> None:
        self._database.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def deliver_alone(self) -> None:
        """Until this outbox is closed, no other run delivers; a killed one gives way by itself. Raises OutboxBusy."""
        lock = os.open(self._folder / "delivering.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise OutboxBusy("another run of share is delivering; it does the same work") from None
        self._lock = lock

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def letter(self, key: str, recipient: str, site: str, period: str) -> Letter:
        """The letter of that key, made when it is new."""
        self._database.execute(
            "INSERT OR IGNORE INTO letters (key, recipient, site, period, state) VALUES (?, ?, ?, ?, 'waiting')",
            (key, recipient, site, period),
        )
        return self._letters("WHERE key = ?", key)[0]

    def letters(self, state: str | None = None) -> list[Letter]:
        return self._letters("WHERE state = ?", state) if state else self._letters("")

    def delivered(self, key: str, told: str) -> None:
        self._database.execute(
            "UPDATE letters SET state = 'delivered', attempts = attempts + 1, told = ?, next_at = '' WHERE key = ?",
            (told, key),
        )

    def failed(self, letter: Letter, told: str, now: dt.datetime, *, temporary: bool) -> Letter:
        """Try again later, or never: a dead letter stays until somebody revives it."""
        attempts = letter.attempts + 1
        alive = temporary and attempts <= len(MINUTES)
        next_at = (now + dt.timedelta(minutes=MINUTES[attempts - 1])).isoformat() if alive else ""
        self._database.execute(
            "UPDATE letters SET state = ?, attempts = ?, next_at = ?, told = ? WHERE key = ?",
            ("waiting" if alive else "dead", attempts, next_at, told, letter.key),
        )
        return self._letters("WHERE key = ?", letter.key)[0]

    def revive(self) -> int:
        """Give every dead letter a new start."""
        statement = "UPDATE letters SET state = 'waiting', attempts = 0, next_at = '' WHERE state = 'dead'"
        return self._database.execute(statement).rowcount

    def _letters(self, where: str, *values: str) -> list[Letter]:
        columns = "key, recipient, site, period, state, attempts, next_at, told"
        rows = self._database.execute(f"SELECT {columns} FROM letters {where} ORDER BY rowid", values)
        return [Letter(*row) for row in rows]
