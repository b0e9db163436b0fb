"""The register of requests: who asked for what, by when it is due, and what became of it. One SQLite file."""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from consent_middleware.rights.request import (
    NEEDS_REASON,
    RIGHTS,
    Event,
    Request,
    Right,
    Step,
    longest_due,
    months_after,
)

FILE: Final = Path("rights/register.sqlite3")
FORGOTTEN: Final = "(forgotten)"


class RegisterError(ValueError):
    """What was asked of the register can't be done; the message says why."""


class Register:
    """Opens its file at the first use; safe to use from several processes. All times are UTC."""

    def __init__(self, data_dir: Path) -> None:
        self.path = Path(data_dir) / FILE

    def open(
        self,
        right: Right,
        subject: str,
        *,
        identity: str,
        by: str = "operator",
        text: str = "",
        ticket: str = "",
        now: dt.datetime | None = None,
    ) -> Request:
        """Note a request. One with a ticket that is known already is the same request, and comes back as it stands."""
        if right not in RIGHTS:
            raise RegisterError(f'"{right}" is not a right: one of {", ".join(RIGHTS)}')
        if not subject.strip() or not identity.strip():
            raise RegisterError("a request needs a subject, and how that person was recognised")
        moment = now or dt.datetime.now(dt.UTC)
        with self._connected() as db:
            known = db.execute("SELECT number FROM requests WHERE ticket = ? AND ticket != ''", (ticket,)).fetchone()
            if known:
                return self._read(db, int(known[0]))
            number = db.execute(
                "INSERT INTO requests (kind, subject, identity, ticket) VALUES (?, ?, ?, ?)",
                (right, subject.strip(), identity, ticket),
            ).lastrowid
            assert number is not None
            self._add(db, number, Event(moment, "opened", by, text, months_after(moment.date(), 1)))
            return self._read(db, number)

    def step(
        self,
        number: int,
        step: Step,
        *,
        by: str = "operator",
        text: str = "",
        due: dt.date | None = None,
        now: dt.datetime | None = None,
    ) -> Request:
        """Add a step. Raises RegisterError for an unknown or closed request, or where a reason is missing."""
        with self._connected() as db:
            request = self._read(db, number)
            if request.closed:
                raise RegisterError(
                    f"request {number} was closed on {request.closed.at:%Y-%m-%d}: {request.closed.step}"
                )
            if step in NEEDS_REASON and not text.strip():
                raise RegisterError(f'"{step}" needs its reason: the person has a right to know it')
            if step == "extended":
                last = longest_due(request.opened.date())
                if due is None or not request.due < due <= last:
                    raise RegisterError(f"request {number} can be extended to a day after {request.due} until {last}")
            self._add(db, number, Event(now or dt.datetime.now(dt.UTC), step, by, text.strip(), due))
            return self._read(db, number)

    def read(self, number: int) -> Request:
        """Raises RegisterError when there is none."""
        with self._connected() as db:
            return self._read(db, number)

    def all(self) -> list[Request]:
        """Every request, oldest first."""
        with self._connected() as db:
            return [self._read(db, int(number)) for (number,) in db.execute("SELECT number FROM requests ORDER BY 1")]

    def forget_closed(self, before: dt.date) -> int:
        """Take the subject out of requests closed before a day, at the end of their retention; how many. Steps stay."""
        ended = [r for r in self.all() if r.closed and r.closed.at.date() < before and r.subject != FORGOTTEN]
        with self._connected() as db:
            db.execute("PRAGMA secure_delete = ON")
            for request in ended:
                db.execute("UPDATE requests SET subject = ?, ticket = '' WHERE number = ?", (FORGOTTEN, request.number))
        return len(ended)

    def _read(self, db: sqlite3.Connection, number: int) -> Request:
        row = db.execute("SELECT kind, subject, identity, ticket FROM requests WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise RegisterError(f"there is no request {number}; `consent rights list` shows them")
        steps = db.execute(
            "SELECT at, step, author, text, due FROM steps WHERE request = ? ORDER BY rowid", (number,)
        ).fetchall()
        events = tuple(
            Event(dt.datetime.fromisoformat(at), step, by, text, dt.date.fromisoformat(due) if due else None)
            for at, step, by, text, due in steps
        )
        return Request(number, row[0], row[1], row[2], events, row[3])

    @staticmethod
    def _add(db: sqlite3.Connection, number: int, event: Event) -> None:
        db.execute(
            "INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?)",
            (
                number,
                event.at.isoformat(timespec="seconds"),
                event.step,
                event.by,
                event.text,
                event.due.isoformat() if event.due else None,
            ),
        )

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=10, isolation_level="IMMEDIATE")
        try:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'steps'").fetchone():
                connection.executescript((Path(__file__).parent / "sql" / "schema.sql").read_text(encoding="utf-8"))
                self.path.chmod(0o600)
            with connection:
                yield connection
        finally:
            connection.close()
