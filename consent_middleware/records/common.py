"""What the records share: activities of the site, and what the file leaves open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from consent_middleware.pages.document import Block, Bullets, Document, Paragraph, Part
from consent_middleware.policy_sections import Recipient, Text, Vendor
from consent_middleware.transfers import PROTECTED, SAFEGUARDS, normalise_safeguard
from consent_middleware.words import counted

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy

OPEN = "to_complete"
BASES = {
    "consent": "consent, Art. 6(1)(a)",
    "contract": "a contract, Art. 6(1)(b)",
    "legal-obligation": "a legal obligation, Art. 6(1)(c)",
    "vital-interests": "vital interests, Art. 6(1)(d)",
    "public-task": "a public task, Art. 6(1)(e)",
    "legitimate-interests": "legitimate interests, Art. 6(1)(f)",
    "strictly-necessary": "strictly necessary for what was asked for, Art. 5(3) ePrivacy",
}


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """One processing activity. `where` is the place of the file that it is drawn from; `place` names what holds its
    rows, as a copy for a person does; `totals`: what is released of it are anonymous totals."""

    name: str
    purpose: str
    people: tuple[str, ...]
    categories: tuple[str, ...]
    basis: str
    kept: str
    recipients: tuple[str, ...] = ()
    where: str = ""
    source: str = ""
    without_it: str = ""
    place: str = ""
    totals: bool = False


def english(policy: PrivacyPolicy, text: Text) -> str:
    return policy.text(text, "en", policy.site.languages[0])


def activities(policy: PrivacyPolicy) -> list[Activity]:
    """What the product itself does, then what [[data]] says that the site does."""
    kept = policy.retention
    found = []
    if policy.capture.purpose in policy.optional_purposes:
        found.append(
            Activity(
                name="Statistics of visits",
                purpose="To tell visits apart, to see which pages are read, and to improve the site",
                people=("visitors who agreed",),
                categories=(
                    "random visitor number", "browser, operating system, kind of device", "language", "country",
                    "referring site", "pages and interactions",
                ),
                basis="consent",
                kept=f"{counted(kept.raw_days, 'day')}; anonymous totals {counted(kept.cells_months, 'month')}",
                where="capture",
                source="the visitor's browser",
                place="visits",
                totals=True,
            )
        )  # fmt: skip
    found += [
        Activity(
            name="Proof of consent",
            purpose="To show what was decided, when, and what was shown",
            people=("visitors who chose", "people who agreed at a form"),
            categories=("record number", "choice", "time", "hash of the text shown", "subject, encrypted"),
            basis="legal-obligation",
            kept=f"{counted(kept.consent_record_years, 'year')} after the choice has run out, "
            f"which it does after {counted(policy.consent.lifetime_days, 'day')}",
            where="retention.consent_record_years",
            source="the person",
            place="consents",
        ),
        Activity(
            name="Requests about rights",
            purpose="To answer requests and to show that they were answered",
            people=("people who made a request",),
            categories=("subject", "how the person was recognised", "steps with dates and reasons"),
            basis="legal-obligation",
            kept=f"{counted(kept.requests_years, 'year')} after their end",
            where="retention.requests_years",
            source="the person",
            place="requests",
        ),
    ]
    for purpose in policy.purposes:
        vendors = tuple(vendor.name for vendor in policy.vendors if vendor.purpose == purpose.id)
        cookies = tuple(cookie.name for cookie in policy.cookies if cookie.purpose == purpose.id)
        if vendors or cookies:
            found.append(
                Activity(
                    name=f"Cookies and third parties: {english(policy, purpose.title) or purpose.id}",
                    purpose=english(policy, purpose.description),
                    people=("visitors",) if purpose.required else ("visitors who agreed",),
                    categories=(f"cookies and storage: {', '.join(cookies)}",)
                    if cookies
                    else ("requests to a vendor",),
                    basis=purpose.basis,
                    kept="as the cookie table says",
                    recipients=vendors,
                    where=f"purpose {purpose.id}",
                    source="the visitor's browser",
                )
            )
    for index, data in enumerate(policy.data):
        found.append(
            Activity(
                name=english(policy, data.name) or english(policy, data.purpose),
                purpose=english(policy, data.purpose),
                people=data.people,
                categories=data.categories,
                basis=data.lawful_basis,
                kept=english(policy, data.retention) or (counted(data.keep_days, "day") if data.keep_days else ""),
                recipients=data.recipients,
                where=f"data[{index}]",
                source=english(policy, data.source),
                without_it=english(policy, data.without_it),
                place=data.provider,
            )
        )
    return found


def safeguard(party: Vendor | Recipient) -> str:
    """Under what a party's country is reached, in words."""
    if not party.country:
        return "country not said"
    if party.country in PROTECTED:
        return "inside the EEA and the UK"
    return SAFEGUARDS.get(normalise_safeguard(party.safeguard), party.safeguard)


def record(policy: PrivacyPolicy, title: str, parts: list[Part], gaps: list[str]) -> Document:
    """The document, with what is left to complete as its last part."""
    blocks: tuple[Block, ...] = (
        (Paragraph("The policy file does not say:"), Bullets(tuple(gaps)))
        if gaps
        else (Paragraph("Nothing that this record can see."),)
    )
    return Document(
        title=f"{title}: {policy.controller.name}",
        language="en",
        revision=policy.revision,
        updated=policy.updated.isoformat(),
        updated_line=f"Drawn from revision {policy.revision} of {policy.updated}. Not legal advice.",
        parts=(*parts, Part(OPEN, "To complete", blocks)),
    )


def gaps_of(document: Document) -> list[str]:
    """What a record leaves to complete."""
    for part in document.parts:
        if part.anchor == OPEN:
            return [item for block in part.blocks if isinstance(block, Bullets) for item in block.items]
    return []
