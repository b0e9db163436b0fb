"""What workers do for the register: note requests of the my-data page, close what was answered, forget what is old."""

from __future__ import annotations

import datetime as dt
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from consent_middleware.policy import PrivacyPolicy
from consent_middleware.rights.desk import answer_path
from consent_middleware.rights.register import Register, RegisterError
from consent_middleware.rights.reminders import remind
from consent_middleware.rights.request import Request, Right

log = logging.getLogger("consent_middleware")

RIGHT_OF: Final[dict[str, Right]] = {
    "erase": "erasure",
    "restrict": "restriction",
    "unrestrict": "restriction",
    "object": "objection",
    "correct": "correction",
    "export": "portability",
}


def note(data_dir: Path, verb: str, ticket: str, text: str = "", *, answered: str = "") -> None:
    """Put a request of a cookie's holder into the register, by its ticket alone; `answered`: how, when it is already.

    Never raises.
    """
    try:
        subject, register = f"visitor with reference {ticket[:8]}", Register(data_dir)
        request = register.open(
            RIGHT_OF[verb], subject, identity="cookie", by="my-data page", text=text or verb, ticket=ticket
        )
        if answered and request.closed is None:
            register.step(request.number, "answered", by="my-data page", text=answered)
    except RegisterError:
        pass  # another worker closed it first
    except (sqlite3.Error, OSError):
        log.exception("a request could not be noted in the register")


def is_answered(data_dir: Path, request: Request) -> bool:
    """Whether the answer lies at the desk; the register hears of it at the next `settle`."""
    return bool(request.ticket) and answer_path(data_dir, request.ticket).exists()


def settle(data_dir: Path, now: dt.datetime | None = None) -> int:
    """Close the requests whose answer lies at the desk; how many."""
    register = Register(data_dir)
    if not register.path.exists():
        return 0
    settled = 0
    for request in register.all():
        if request.closed is None and is_answered(data_dir, request):
            register.step(request.number, "answered", by="analytics", text="answered by itself", now=now)
            settled += 1
    return settled


def chores(data_dir: Path, policy: PrivacyPolicy) -> tuple[Callable[[], object], ...]:
    """What may be called at any time by any worker."""
    forgotten: list[dt.date] = []

    def forget_daily() -> None:
        today = dt.datetime.now(dt.UTC).date()
        if forgotten != [today]:
            remind(data_dir, policy)
            register = Register(data_dir)
            if register.path.exists():
                register.forget_closed(today - dt.timedelta(days=365 * policy.retention.requests_years))
            forgotten[:] = [today]

    return (lambda: settle(data_dir), forget_daily)
