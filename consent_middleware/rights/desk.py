"""The desk between the site and analytics: requests go out as control records, answers come back as files.

The web process never opens the store. A request about one visitor travels through the spool; `analytics serve` puts
the answer into `answers/<ticket>.json`, readable by the owner only, and takes it away after a day.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from consent_middleware.spool import Spool
from consent_middleware.spool_values import Kind

ANSWER_SECONDS: Final = 24 * 3600
# A mark of when a copy was asked for (copies.py) means nothing after a minute, and outlives every pass of the loader.
MARK_SECONDS: Final = 600
_TICKET = re.compile(r"[A-Za-z0-9_-]{1,64}")


def new_ticket() -> str:
    """A name for one request that nobody can guess: 22 characters."""
    return secrets.token_urlsafe(16)


def answer_path(data_dir: Path, ticket: str) -> Path:
    """Where the answer to a ticket lies. Raises ValueError for what can't be a ticket."""
    if not _TICKET.fullmatch(ticket):
        raise ValueError("not a ticket")
    return Path(data_dir) / "answers" / f"{ticket}.json"


def mark_path(data_dir: Path, ticket: str) -> Path:
    """Where it is noted when the copy of a ticket was last asked for."""
    return answer_path(data_dir, ticket).with_suffix(".asked")


class Desk:
    """Requests out, answers in."""

    def __init__(self, data_dir: Path, spool: Spool) -> None:
        self._data_dir = Path(data_dir)
        self._spool = spool

    async def ask(self, kind: Kind, visitor: int, ticket: str, text: str = "") -> None:
        """Hand one request to analytics; durable on return. `visitor` is the key of capture.visitor_key."""
        answer_path(self._data_dir, ticket)
        await self._spool.control(kind, visitor, ticket, text)

    def withdraw(self, tickets: Iterable[str]) -> None:
        """Take away answers before their time: their visitor is being erased."""
        for ticket in tickets:
            answer_path(self._data_dir, ticket).unlink(missing_ok=True)

    def answer(self, ticket: str) -> bytes | None:
        """The answer as JSON, or None while it is being prepared, or when it was taken away after 24 hours."""
        try:
            path = answer_path(self._data_dir, ticket)
            if time.time() - path.stat().st_mtime > ANSWER_SECONDS:
                path.unlink(missing_ok=True)
                return None
            return path.read_bytes()
        except (FileNotFoundError, ValueError):
            return None


def write_answer(data_dir: Path, ticket: str, answer: bytes) -> None:
    """Put an answer where the desk finds it, whole and readable by the owner only."""
    path = answer_path(data_dir, ticket)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(answer)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


class _About(msgspec.Struct):
    """What of an answer says whom it is about: nothing where it holds no row of anybody."""

    visitor: str = ""


def answers_about(data_dir: Path, visitors: Collection[int]) -> Iterable[Path]:
    """The answers that hold something about one of the visitors; an unreadable one counts as such."""
    keys = {str(visitor) for visitor in visitors}
    for path in (Path(data_dir) / "answers").glob("*.json") if keys else ():
        try:
            about = msgspec.json.decode(path.read_bytes(), type=_About).visitor
        except FileNotFoundError:
            continue
        except msgspec.DecodeError:
            about = next(iter(keys))
        if about in keys:
            yield path


def remove_answers_about(data_dir: Path, visitors: Collection[int]) -> int:
    """An erasure reaches the answers that wait to be fetched, too; how many were taken away."""
    found = list(answers_about(data_dir, visitors))
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def remove_old_answers(data_dir: Path, now: float | None = None) -> int:
    """Take away answers older than 24 hours, and marks that say nothing any more; how many answers were."""
    now = time.time() if now is None else now
    removed = 0
    for pattern, seconds in (("*.json", ANSWER_SECONDS), ("*.asked", MARK_SECONDS)):
        for path in (Path(data_dir) / "answers").glob(pattern):
            with contextlib.suppress(FileNotFoundError):  # a worker took it away first
                if path.stat().st_mtime < now - seconds:
                    path.unlink(missing_ok=True)
                    removed += pattern == "*.json"
    return removed
