"""Plain letters by SMTP: reminders to whoever answers requests, and notices of a changed policy.

SMTP_URL names the server (smtps://user:password@host:465, or smtp:// with STARTTLS), SMTP_FROM the sender. TLS is
verified always; SMTP_CA names a file of authorities of one's own.
"""

from __future__ import annotations

import os
import smtplib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

SECONDS = 30.0


class MailError(RuntimeError):
    """A letter could not be sent; the message says why."""


def can_send(environment: Mapping[str, str] = os.environ) -> bool:
    return bool(environment.get("SMTP_URL"))


def letter(to: str, subject: str, text: str, *, sender: str, key: str) -> EmailMessage:
    """A letter; the same `key` is the same Message-ID, so that a second copy is known as one."""
    if "@" not in to or any(character in to for character in "\r\n,"):
        raise MailError(f"{to!r} is not one mail address")
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{key}@{sender.rpartition('@')[2] or 'localhost'}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message


def refusals() -> tuple[type[Exception], ...]:
    """What a server says of one letter, after which the connection is still good for the next."""
    return (MailError, smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError, smtplib.SMTPSenderRefused)


@contextmanager
def server(environment: Mapping[str, str] = os.environ) -> Iterator[smtplib.SMTP]:
    """A connection that is encrypted and logged in. Raises MailError."""
    url = urlsplit(environment.get("SMTP_URL", ""))
    if url.scheme not in ("smtp", "smtps") or not url.hostname:
        raise MailError("e-mail needs SMTP_URL=smtps://user:password@host:465 in the environment")
    context = ssl.create_default_context(cafile=environment.get("SMTP_CA") or None)
    try:
        if url.scheme == "smtps":
            opened: smtplib.SMTP = smtplib.SMTP_SSL(url.hostname, url.port or 465, timeout=SECONDS, context=context)
        else:
            opened = smtplib.SMTP(url.hostname, url.port or 587, timeout=SECONDS)
            opened.starttls(context=context)
        with opened:
            if url.username:
                opened.login(unquote(url.username), unquote(url.password or ""))
            yield opened
    except (OSError, smtplib.SMTPException) as error:
        raise MailError(f"{url.hostname}: {error}") from None
