"""A report by e-mail: plain text and HTML, sent by SMTP. An address that is not staff's gets the released lane only."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

import jinja2

from analytics.reports.terminal import TITLES, Section, as_table, dimension_title, shown


def as_html(site: str, period: str, lane: str, sections: Sequence[Section], notes: Sequence[str]) -> str:
    """One page without script or outside resource: for a file and for mail programs."""
    loader = jinja2.PackageLoader("analytics.reports.dashboard", "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    given = {"site": site, "period": period, "lane": f"{lane} lane", "sections": sections, "notes": notes}
    return environment.get_template("mail.html").render(**given, titles=TITLES, name=dimension_title, shown=shown)


def message(
    to: str, sender: str, site: str, period: str, lane: str, sections: Sequence[Section], notes: Sequence[str]
) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, to
    mail["Subject"] = f"{site}: {period}"
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain=sender.rpartition("@")[2] or None)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(as_table(site, period, list(sections), list(notes), width=78))
    mail.add_alternative(as_html(site, period, lane, sections, notes), subtype="html")
    return mail


def send(mail: EmailMessage, url: str) -> None:
    """Through `smtp://user:password@host:port` (STARTTLS when offered) or `smtps://`. Raises OSError, SMTPException."""
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError(f'"{url}" is not an SMTP address: write smtp://user:password@host:port')
    context = ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(parts.hostname, parts.port or 465, timeout=30, context=context)
    else:
        server = smtplib.SMTP(parts.hostname, parts.port or 587, timeout=30)
    with server:
        server.ehlo()
        if parts.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(mail)
