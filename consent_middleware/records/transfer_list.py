"""Vendors, recipients and the countries they are in, each with what protects the data there."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from consent_middleware.pages.document import Document, Paragraph, Part, Table
from consent_middleware.records.common import record, safeguard
from consent_middleware.transfers import ADEQUACY_AS_OF, ADEQUACY_SOURCE, ADEQUATE_IN_PART

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy


def transfers(policy: PrivacyPolicy, today: dt.date | None = None) -> Document:
    today = today or dt.datetime.now(dt.UTC).date()
    vendors: tuple[tuple[str, ...], ...] = tuple(
        (v.name, v.role, v.country or "?", safeguard(v), ", ".join(v.hosts), v.purpose) for v in policy.vendors
    )
    recipients: tuple[tuple[str, ...], ...] = tuple(
        (
            r.name,
            r.role,
            r.country or "?",
            safeguard(r),
            str(r.safeguard_until or ""),
            ", ".join(r.cubes) or "all",
            r.format,
        )
        for r in policy.recipients
    )
    named = {vendor.name for vendor in policy.vendors} | {recipient.name for recipient in policy.recipients}
    parts = []
    if vendors:
        columns = ("Name", "Role", "Country", "Protection", "Hosts", "Purpose")
        parts.append(Part("vendors", "Vendors in pages", (Table("Personal data", columns, vendors),)))
    if recipients:
        of_releases = ("Name", "Role", "Country", "Protection", "Until", "Cubes", "Format")
        table = Table("Anonymous statistics", of_releases, recipients)
        parts.append(Part("recipients", "Recipients of sealed releases", (table,)))
    others = tuple((name, f"data[{index}]") for index, data in enumerate(policy.data) for name in data.recipients)
    if others:
        parts.append(
            Part(
                "others",
                "Recipients of the site's own data",
                (Table("Who receives it", ("Name", "Drawn from"), others),),
            )
        )
    parts.append(
        Part(
            "adequacy",
            "Adequacy",
            (
                Paragraph(f"List of {ADEQUACY_AS_OF}. Source: {ADEQUACY_SOURCE}."),
                Paragraph(f"In part only: {', '.join(sorted(ADEQUATE_IN_PART))}."),
            ),
        )
    )
    gaps = [f'vendor "{v.name}".country' for v in policy.vendors if not v.country]
    gaps += [f'recipient "{r.name}".country' for r in policy.recipients if not r.country]
    gaps += [
        f'recipient "{r.name}": its safeguard ended on {r.safeguard_until}'
        for r in policy.recipients
        if r.safeguard_until is not None and r.safeguard_until < today
    ]
    gaps += [f"{where}: country and safeguard of {name}" for name, where in others if name not in named]
    gaps += [
        f'vendor "{v.name}": a contract with this processor (Art. 28)' for v in policy.vendors if v.role == "processor"
    ]
    return record(policy, "Vendors and transfers (GDPR Chapter V)", parts, gaps)
