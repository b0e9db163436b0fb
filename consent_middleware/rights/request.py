"""A data-subject request and its clock (GDPR Art. 12(3)): one month, or up to three with a reason. Pure."""

from __future__ import annotations

import calendar
import datetime as dt
from typing import Final, Literal, get_args

import msgspec

Right = Literal[
    "access", "correction", "erasure", "restriction", "portability", "objection", "marketing-objection", "complaint"
]
Step = Literal[
    "opened", "identified", "acted", "extended", "held", "released", "reminded", "answered", "refused", "partly-refused"
]
RIGHTS: Final[tuple[str, ...]] = get_args(Right)
CLOSING: Final = frozenset({"answered", "refused", "partly-refused"})
# A refusal, an extension and a legal hold are nothing without their reason (Art. 12(3), 12(4), 17(3)).
NEEDS_REASON: Final = frozenset({"extended", "held", "refused", "partly-refused"})
# How a person was recognised; an operator's word is followed by what they saw.
RECORD: Final = "record:"
COOKIE, EMAIL_LINK, OPERATOR, ACCOUNT = "cookie", "e-mail link", "the operator's word", "account"
IDENTITIES: Final = (COOKIE, EMAIL_LINK, OPERATOR, ACCOUNT)
ARTICLES: Final = {
    "access": "15",
    "correction": "16",
    "erasure": "17",
    "restriction": "18",
    "portability": "20",
    "objection": "21",
    "marketing-objection": "21(3)",
    "complaint": "77",
}
# What a register's step says when every place was asked and none holds anything.
NOTHING_HELD: Final = "nothing held"
MONTHS: Final = 1
MOST_MONTHS: Final = 3
REMIND_DAYS: Final = 7


class Event(msgspec.Struct, frozen=True):
    """One step of a request: what was done, when (UTC), by whom, and why. "acted" is a part, and closes nothing."""

    at: dt.datetime
    step: Step
    by: str
    text: str = ""
    due: dt.date | None = None


class Request(msgspec.Struct, frozen=True):
    """One request. `identity` says how the person was recognised; `ticket` leads to the answer for captured rows."""

    number: int
    right: Right
    subject: str
    identity: str
    events: tuple[Event, ...]
    ticket: str = ""

    @property
    def opened(self) -> dt.datetime:
        return self.events[0].at

    @property
    def due(self) -> dt.date:
        """The day by which it has to be answered: the last extension's, or a month after it arrived."""
        given = [event.due for event in self.events if event.due is not None]
        return given[-1] if given else months_after(self.opened.date(), MONTHS)

    @property
    def closed(self) -> Event | None:
        return next((event for event in reversed(self.events) if event.step in CLOSING), None)

    @property
    def held(self) -> Event | None:
        """The legal hold that stands, if any: nothing is erased while it does."""
        last = next((event for event in reversed(self.events) if event.step in {"held", "released"}), None)
        return last if last is not None and last.step == "held" else None

    def state(self, today: dt.date) -> str:
        """`open`, `due soon`, `overdue`, `on hold`, or how it was closed."""
        if closed := self.closed:
            return closed.step
        if today > self.due:
            return "overdue"
        if self.held:
            return "on hold"
        return "due soon" if (self.due - today).days <= REMIND_DAYS else "open"


def record_of(subject: str) -> str | None:
    """The consent record that a subject names: `record:ID`."""
    return subject.removeprefix(RECORD) if subject.startswith(RECORD) else None


def months_after(day: dt.date, months: int) -> dt.date:
    """The same day of a later month, or its last day where there is none (Regulation 1182/71 Art. 3)."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return day.replace(year=year, month=month + 1, day=min(day.day, calendar.monthrange(year, month + 1)[1]))


def longest_due(opened: dt.date) -> dt.date:
    """The furthest day to which a request may be extended."""
    return months_after(opened, MOST_MONTHS)
