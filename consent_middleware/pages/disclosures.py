"""What was handed to whom, last: from the ledger's log of disclosures, in plain words, for the policy page.

It stands beside the policy and is no part of it: the text that is kept for each revision does not change with it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from consent_middleware.ledger import LedgerUnavailable
from consent_middleware.pages.document import Document, Paragraph, Table
from consent_middleware.pages.words import Words, words_for

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy
    from consent_middleware.services import Services

SHOWN: Final = 10
# The log is read anew after so many seconds: it grows by some lines a day, and anybody may ask for the page.
FRESH_SECONDS: Final = 60


class Disclosed(Struct, frozen=True, order=True):
    """One delivery: when, which days its statistics cover, to whom."""

    on: dt.date
    first: dt.date
    last: dt.date
    recipient: str


def days_of(period: str) -> tuple[dt.date, dt.date]:
    """First and last day of `day:2026-11-20`, `week:2026-W47` or `month:2026-11`. Raises ValueError."""
    kind, _, value = period.partition(":")
    if kind == "day":
        day = dt.date.fromisoformat(value)
        return day, day
    if kind == "week":
        monday = dt.date.fromisoformat(f"{value}-1")
        return monday, monday + dt.timedelta(6)
    first = dt.date.fromisoformat(f"{value}-01")
    return first, (first + dt.timedelta(31)).replace(day=1) - dt.timedelta(1)


def last_disclosures(services: Services) -> tuple[Disclosed, ...]:
    """The newest deliveries of this site, newest first; blocks. Raises LedgerUnavailable."""
    found = []
    for line in services.ledger.disclosures():
        if line.get("site") != services.policy.site.site_id:
            continue
        try:
            on = dt.datetime.fromisoformat(str(line["at"])).date()
            found.append(Disclosed(on, *days_of(str(line["period"])), str(line["recipient"])))
        except (KeyError, ValueError):
            continue  # a line of another kind or of a later version: it stays in the log, for `consent ledger export`
    return tuple(sorted(found, reverse=True)[:SHOWN])


async def with_disclosures(services: Services, document: Document) -> Document:
    """The policy with the last deliveries after the recipients; without a ledger it is shown as it is."""
    policy = services.policy
    if not policy.recipients:
        return document
    read: tuple[float, tuple[Disclosed, ...]] | None = policy.__dict__.get("_disclosed")
    if read is None or time.monotonic() - read[0] > FRESH_SECONDS:
        try:
            read = (time.monotonic(), await asyncio.to_thread(last_disclosures, services))
        except LedgerUnavailable:
            return document
        policy.__dict__["_disclosed"] = read
    block = table(policy, words_for(policy, document.language), read[1])
    parts = tuple(
        structs.replace(part, blocks=(*part.blocks, block)) if part.anchor == "statistics" else part
        for part in document.parts
    )
    return structs.replace(document, parts=parts)


def table(policy: PrivacyPolicy, t: Words, disclosed: tuple[Disclosed, ...]) -> Table | Paragraph:
    if not disclosed:
        return Paragraph(t("Nothing has been shared so far."))

    def days(line: Disclosed) -> str:
        return " – ".join(t.date(day) for day in dict.fromkeys((line.first, line.last)))

    rows = tuple((t.date(line.on), line.recipient, days(line)) for line in disclosed)
    return Table(t("The last statistics that were shared"), (t("Date"), t("Who receives it"), t("Period")), rows)
