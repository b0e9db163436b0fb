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
    joined INTEGER NOT NULL, published INTEGER NOT NULL DEFAULT 0, marketing INTEGER NOT NULL DEFAULT 0,
    restricted INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS enquiries (
    id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL, subject TEXT NOT NULL, message TEXT NOT NULL,
    received INTEGER NOT NULL, restricted INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS newsletter (
    email TEXT PRIMARY KEY, since INTEGER NOT NULL, consent_record TEXT NOT NULL,
    restricted INTEGER NOT NULL DEFAULT 0
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
            db.execute(
                "INSERT OR REPLACE INTO newsletter (email, since, consent_record) VALUES (?, ?, ?)",
                (email, int(time.time()), consent_record),
            )

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

    def restrict(self, table: str, email: str, on: bool) -> int:
        """A restricted row stays where it is, and nothing is done with it: see `readers` and `open_enquiries`."""
        assert table in {"members", "enquiries", "newsletter"}
        with self._connected() as db:
            return db.execute(f"UPDATE {table} SET restricted = ? WHERE email = ?", (on, email)).rowcount

    def readers(self) -> list[str]:
        """Who gets the newsletter."""
        with self._connected() as db:
            return [row["email"] for row in db.execute("SELECT email FROM newsletter WHERE NOT restricted")]

    def open_enquiries(self) -> list[dict[str, Any]]:
        """What the office works on."""
        with self._connected() as db:
            return [dict(row) for row in db.execute("SELECT * FROM enquiries WHERE NOT restricted")]

    def member_addresses(self) -> list[str]:
        with self._connected() as db:
            return [row["email"] for row in db.execute("SELECT email FROM members WHERE NOT restricted")]

    def member_number(self, email: str) -> int | None:
        with self._connected() as db:
            row = db.execute("SELECT id FROM members WHERE email = ?", (email,)).fetchone()
            return int(row["id"]) if row else None

    def oldest_enquiry(self) -> float | None:
        with self._connected() as db:
            oldest = db.execute("SELECT min(received) AS oldest FROM enquiries").fetchone()["oldest"]
            return None if oldest is None else float(oldest)

    def enquirers(self, first: float, last: float) -> list[str]:
        """Whose enquiry arrived between two moments (unix seconds)."""
        with self._connected() as db:
            rows = db.execute("SELECT email FROM enquiries WHERE received BETWEEN ? AND ?", (first, last))
            return [row["email"] for row in rows]

    def expire_enquiries(self, before: float) -> int:
        """Remove enquiries received before a moment (unix seconds)."""
        with self._connected() as db:
            db.execute("PRAGMA secure_delete = ON")
            return db.execute("DELETE FROM enquiries WHERE received < ?", (before,)).rowcount

    def stop_marketing(self, email: str) -> int:
        with self._connected() as db:
            return db.execute("UPDATE members SET marketing = 0 WHERE email = ? AND marketing = 1", (email,)).rowcount
