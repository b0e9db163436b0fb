"""Reports that are sent by themselves: who gets which lane how often, and what is due."""

from __future__ import annotations

import datetime as dt
import logging
from smtplib import SMTPException
from typing import Literal

import msgspec

from analytics.reports import compose, mail
from analytics.reports.access import Access
from analytics.reports.errors import QueryError
from analytics.reports.query import parse_object
from analytics.reports.reporting import Reporting
from analytics.reports.saved import Letter

log = logging.getLogger("analytics")
Every = Literal["day", "week", "month"]


def period_due(every: str, today: dt.date) -> tuple[dt.date, dt.date]:
    """The newest day, ISO week or month that has been over for two days: then its release can be sealed."""
    settled = today - dt.timedelta(days=2)
    if every == "day":
        day = settled - dt.timedelta(days=1)
        return day, day
    if every == "week":
        monday = settled - dt.timedelta(days=settled.weekday() + 7)
        return monday, monday + dt.timedelta(days=6)
    last = settled.replace(day=1) - dt.timedelta(days=1)
    return last.replace(day=1), last


def send_due(reporting: Reporting, smtp: str, sender: str) -> list[str]:
    """Send what is due and was not sent; the addresses. One that fails is tried again at the next run."""
    access = Access(reporting.data_dir)
    sent = []
    for site in reporting.sites():
        for _, letter in reporting.saved.all("letter", site):
            first, last = period_due(letter.every, reporting.now().date())
            if letter.last >= last.isoformat():
                continue
            if letter.lane != "released" and not access.is_staff(letter.name, site):
                log.warning("%s is no longer staff's: nothing of %s was sent", letter.name, site)
                continue
            try:
                _send(reporting, site, letter, [first.isoformat(), last.isoformat()], smtp, sender)
            except (OSError, SMTPException, ValueError) as error:
                log.warning("could not send the report of %s to %s: %s", site, letter.name, error)
                continue
            reporting.saved.add("letter", site, msgspec.structs.replace(letter, last=last.isoformat()))
            sent.append(letter.name)
    return sent


def _send(reporting: Reporting, site: str, letter: Letter, days: list[str], smtp: str, sender: str) -> None:
    wanted = compose.RELEASED if letter.lane == "released" else compose.SECTIONS
    try:
        made = compose.compose(lambda query: reporting.ask(parse_object(query)), site, days, wanted, lane=letter.lane)
    except QueryError as error:
        raise ValueError(str(error)) from None
    mail.send(mail.message(letter.name, sender, site, made.period, made.lane, made.sections, made.notes), smtp)
