"""What the group's own site keeps: members, enquiries, newsletter addresses. One SQLite file, no secrets."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.law_group.content import MEMBERS

SCHEMA = """
CREATE TABLE IF NOT EXISTS members (
    id INTEGER PRIMARY KEY, slug TEXT UNIQUE, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, practice TEXT, town TEXT,
    joined INTEGER NOT NULL, published INTEGER NOT NULL DEFAULT 0, marketing INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS enquiries (
    id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL, subject TEXT NOT NULL, message TEXT NOT NULL,
    received INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS newsletter (
    email TEXT PRIMARY KEY, since INTEGER NOT NULL, consent_record TEXT NOT NULL
);
"""

CORRECTABLE = {"members": {"name", "email", "practice", "town"}, "enquiries": {"name", "email", "subject", "message"}}


class SiteRecords:
    """The site's tables. Every method opens its own short connection, so that several workers can share the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ready = False

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.executescript(SCHEMA)
        connection.executemany(
            "INSERT OR IGNORE INTO members (slug, name, email, practice, town, joined, published)"
            " VALUES (?, ?, ?, ?, ?, ?, 1)",
            [(m.slug, m.name, m.email, m.practice, m.town, m.since) for m in MEMBERS],
        )

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=10)
        connection.row_factory = sqlite3.Row
        try:
            with connection:
                if not self._ready:
                    self._prepare(connection)
                    self._ready = True
                yield connection
        finally:
            connection.close()

    def add_enquiry(self, *, email: str, name: str, subject: str, message: str) -> int:
        with self._connected() as db:
            row = db.execute(
                "INSERT INTO enquiries (email, name, subject, message, received) VALUES (?, ?, ?, ?, ?)",
                (email, name, subject, message, int(time.time())),
            )
            assert row.lastrowid is not None
            return row.lastrowid

    def subscribe(self, email: str, consent_record: str) -> None:
        with self._connected() as db:
            db.execute("INSERT OR REPLACE INTO newsletter VALUES (?, ?, ?)", (email, int(time.time()), consent_record))

    def add_member(self, *, name: str, email: str, practice: str, town: str, publish: bool, marketing: bool) -> int:
        with self._connected() as db:
            row = db.execute(
                "INSERT INTO members (name, email, practice, town, joined, published, marketing)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (email) DO UPDATE SET"
                " name = excluded.name, practice = excluded.practice, town = excluded.town,"
                " published = excluded.published, marketing = excluded.marketing RETURNING id",
                (name, email, practice, town, int(time.strftime("%Y")), publish, marketing),
            ).fetchone()
            return int(row["id"])

    def rows_about(self, table: str, email: str) -> list[dict[str, Any]]:
        """All rows of one of our three tables that carry this address."""
        assert table in {"members", "enquiries", "newsletter"}
        with self._connected() as db:
            return [dict(row) for row in db.execute(f"SELECT * FROM {table} WHERE email = ?", (email,))]

    def erase_about(self, table: str, email: str) -> int:
        assert table in {"members", "enquiries", "newsletter"}
        with self._connected() as db:
            db.execute("PRAGMA secure_delete = ON")
            return db.execute(f"DELETE FROM {table} WHERE email = ?", (email,)).rowcount

    def correct(self, table: str, email: str, column: str, value: str) -> int:
        """How many rows were corrected; 0 when the table has no such column."""
        if column not in CORRECTABLE[table]:
            return 0
        with self._connected() as db:
            return db.execute(f"UPDATE {table} SET {column} = ? WHERE email = ?", (value, email)).rowcount

    def stop_marketing(self, email: str) -> int:
        with self._connected() as db:
            stopped = db.execute(
                "UPDATE members SET marketing = 0 WHERE email = ? AND marketing = 1", (email,)
            ).rowcount
            return stopped + db.execute("DELETE FROM newsletter WHERE email = ?", (email,)).rowcount
