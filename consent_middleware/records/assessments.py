"""The impact summary (GDPR Art. 35(7)) and the note on legitimate interests (Art. 6(1)(f)).

Both give what the file and the product know, and leave the judgement to a person: it is listed as open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consent_middleware.pages.document import Block, Bullets, Document, Facts, Paragraph, Part, Table
from consent_middleware.records.common import BASES, activities, english, record
from consent_middleware.transfers import PROTECTED

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy


def impact(policy: PrivacyPolicy) -> Document:
    capture, anonymity, kept = policy.capture, policy.anonymity, policy.retention
    without = {
        "counts": "page, status, hour, and whether it was a robot; nothing about a person",
        "nothing": "nothing",
        "daily-key": "a key under a random salt that is destroyed within 48 hours",
    }[capture.without_consent]
    description = Facts("", (
        ("What is captured with consent", "page, referring host, country, language, browser, system, device, "
         "interactions, under a random visitor number"),
        ("What is captured without", without),
        ("Kept", f"{kept.raw_days} days row by row; totals {kept.cells_months} months"),
        ("What leaves", f"sealed totals: epsilon {anonymity.epsilon:g}, delta {anonymity.delta:g} for a visitor on one "
         f"day; {len(policy.recipients)} recipients"),
        ("Third parties in pages", ", ".join(vendor.name for vendor in policy.vendors) or "none"),
    ))  # fmt: skip
    rows = tuple((a.name, a.purpose, BASES.get(a.basis, a.basis), a.kept) for a in activities(policy))
    necessity = Table("Necessity and proportionality", ("Activity", "Purpose", "Legal basis", "Kept"), rows)
    abroad = [vendor.name for vendor in policy.vendors if vendor.country and vendor.country not in PROTECTED]
    risks = Table("Risks and measures", ("Risk", "What limits it"), (
        ("somebody is recognised in shared statistics",
         f"noise before release, thresholds for unknown keys, bounds on each visitor; epsilon {anonymity.epsilon:g}"),
        ("somebody is followed over time", f"the visitor number ends after 13 months and is not renewed; rows go after "
         f"{kept.raw_days} days"),
        ("staff single a visitor out", f"cells below {anonymity.minimum_cell} are hidden; questions are logged for "
         f"{kept.query_log_months} months"),
        ("cookies are set against a choice", "undeclared and ungranted cookies are dropped on every response"),
        ("a third party learns of a visit",
         "until its purpose is granted, its elements are inert and its hosts not in the CSP"),
        ("data leaves the EEA and the UK", f"a safeguard is needed for the file to load; outside: "
         f"{', '.join(abroad) or 'nobody'}"),
        ("an erasure is not complete", "store, spool, quarantine, answers and keys are reached; a restored backup is "
         "held against the list of erasures"),
        ("a copy of the disk is lost", "no full address and no raw user agent is on it; to encrypt the disk is the "
         "operator's part"),
    ))  # fmt: skip
    parts = [
        Part("description", "(a) What is done", (description,)),
        Part("necessity", "(b) Whether it is needed", (necessity,)),
        Part("risks", "(c), (d) Risks and what limits them", (risks,)),
    ]
    gaps = [
        "whether the processing is on a large scale, or about vulnerable people (Art. 35(3)): a person judges",
        "the severity and likelihood that remain, and who accepted them, when",
    ]
    if policy.controller.data_protection_officer:
        gaps.append(f"the advice of {policy.controller.data_protection_officer} (Art. 35(2))")
    return record(policy, "Data protection impact summary (GDPR Art. 35)", parts, gaps)


def legitimate_interests(policy: PrivacyPolicy) -> Document:
    parts, gaps = [], []
    for number, activity in enumerate(a for a in activities(policy) if a.basis == "legitimate-interests"):
        pairs = (
            ("Purpose: which interest", activity.purpose),
            ("Necessity: which data, no more", ", ".join(activity.categories) or "not said"),
            ("Necessity: what does not work without it", activity.without_it or "not said"),
            ("Balance: who is affected", ", ".join(activity.people) or "not said"),
            ("Balance: for how long", activity.kept or "not said"),
            ("Balance: who else sees it", ", ".join(activity.recipients) or "nobody"),
            ("Balance: source and expectation", activity.source or "not said"),
            ("The way to object", f"{policy.site.prefix}/data, and {policy.controller.contact or 'by letter'}"),
        )
        parts.append(Part(f"interest-{number + 1}", activity.name, (Facts("", pairs),)))
        gaps += [f"{activity.where}: {label}" for label, value in pairs if value == "not said"]
        gaps.append(f"{activity.where}: whether the person's interests override this one: a person judges, with a date")
    blocks: tuple[Block, ...] = (
        Paragraph("Statistics with a visitor number rest on consent, and stop with it; they are not balanced here."),
    )
    if others := [english(policy, purpose.title) for purpose in policy.purposes if purpose.basis == "consent"]:
        blocks += (Bullets(tuple(f"on consent: {title}" for title in others if title)),)
    parts.append(Part("consent", "What is not balanced", blocks))
    return record(policy, "Legitimate interests (GDPR Art. 6(1)(f))", parts, gaps)
