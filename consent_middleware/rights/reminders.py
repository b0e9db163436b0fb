"""Reminders: whoever answers requests hears of each one a week before its day, and again when that day has passed."""

from __future__ import annotations

import datetime as dt
import logging
import os
from collections.abc import Mapping
from email.utils import parseaddr
from pathlib import Path

from consent_middleware import mail
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.rights.register import Register
from consent_middleware.rights.request import REMIND_DAYS, Request

log = logging.getLogger("consent_middleware")


def owed(request: Request, today: dt.date) -> str:
    """Why a reminder is owed: "due soon" or "overdue"; "" when none is, or the one for this was given."""
    state = request.state(today)
    if request.closed or state not in ("due soon", "overdue"):
        return ""
    since = request.due - dt.timedelta(days=REMIND_DAYS) if state == "due soon" else request.due + dt.timedelta(days=1)
    told = any(event.step == "reminded" and event.at.date() >= since for event in request.events)
    return "" if told else state


def remind(
    data_dir: Path,
    policy: PrivacyPolicy,
    *,
    now: dt.datetime | None = None,
    environment: Mapping[str, str] = os.environ,
) -> list[tuple[Request, str]]:
    """Give every reminder that is owed: into the log, by e-mail where SMTP_URL is set, and into the register.

    It goes to the data protection officer's address, or to the controller's contact. A letter that can't be sent is
    owed again the next time.
    """
    register = Register(data_dir)
    if not register.path.exists():
        return []
    moment = now or dt.datetime.now(dt.UTC)
    given = []
    for request in register.all():
        why = owed(request, moment.date())
        if not why:
            continue
        line = f"request {request.number} ({request.right}) is {why}: {request.due}"
        log.warning("%s", line)
        told = "the log"
        to = officer(policy)
        if to and mail.can_send(environment):
            sender = environment.get("SMTP_FROM") or policy.controller.contact or to
            text = f"{line}\n\nconsent rights show {request.number}\n"
            key = f"reminder-{request.number}-{request.due}-{why.replace(' ', '-')}"
            try:
                with mail.server(environment) as server:
                    server.send_message(mail.letter(to, line, text, sender=sender, key=key))
            except mail.MailError as error:
                log.warning("the reminder was not sent: %s", error)
                continue
            told = to
        register.step(request.number, "reminded", by="automatic", text=f"{why}; told {told}", now=moment)
        given.append((request, why))
    return given


def officer(policy: PrivacyPolicy) -> str:
    """The address of whoever answers requests."""
    for text in (policy.controller.data_protection_officer, policy.controller.contact):
        for part in text.replace(",", " ").split():
            if "@" in part:
                return parseaddr(part)[1]
    return ""
