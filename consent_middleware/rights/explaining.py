"""What a copy says besides the data (GDPR Art. 15(1) and (2)): why each kind is kept, for how long, who gets it.

Everything is drawn from the policy file, by the same activities as the record of Article 30, so that the two agree.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import msgspec

from consent_middleware.policy import PrivacyPolicy
from consent_middleware.records.common import BASES, Activity, activities, safeguard

REQUESTS = "requests"
NOT_SAID = "the policy does not say; ask the controller"
NO_RECIPIENT = "none"
TOTALS = "statistics that are released are anonymous totals, which are no personal data"
RIGHTS = (
    "correction of what is wrong (GDPR Art. 16)",
    "erasure (Art. 17)",
    "restriction of its use (Art. 18)",
    "a copy to take elsewhere, of what you gave by consent or under a contract (Art. 20)",
    "objection to its use for legitimate interests or direct marketing (Art. 21)",
    "withdrawal of a consent at any time (Art. 7(3))",
)
DECISIONS = "The software that keeps consents, visits and requests makes no decision about you by itself (Art. 22)."


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of data. `place`: where this copy has it, as in `held`; empty: it has none of this kind."""

    kind: str
    place: str
    purpose: str
    lawful_basis: str
    data: list[str]
    kept: str
    recipients: list[str]
    transfers: list[str]
    source: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """`kinds`: what the copy has first, then what else the site processes."""

    kinds: list[Kind]
    rights: list[str]
    contact: str
    complaint: str
    automated_decisions: str


def explained(policy: PrivacyPolicy, places: Sequence[str]) -> Explanation:
    """The explanation of a copy that has rows of `places`; the request that it answers is always held too."""
    here = [*places, REQUESTS]
    kinds = [_kind(policy, activity, here) for activity in activities(policy)]
    told = {kind.place for kind in kinds}
    kinds += [_untold(place) for place in here if place not in told]
    controller = policy.controller
    return Explanation(
        kinds=sorted(kinds, key=lambda kind: here.index(kind.place) if kind.place else len(here)),
        rights=[*RIGHTS],
        contact=controller.contact or controller.data_protection_officer,
        complaint=" ".join(filter(None, (controller.supervisory_authority, controller.complaints_url))),
        automated_decisions=DECISIONS,
    )


def _kind(policy: PrivacyPolicy, activity: Activity, here: Sequence[str]) -> Kind:
    vendors = {vendor.name: vendor for vendor in policy.vendors}
    found = [vendors[name] for name in activity.recipients if name in vendors]
    return Kind(
        kind=activity.name,
        place=activity.place if activity.place in here else "",
        purpose=activity.purpose or NOT_SAID,
        lawful_basis=BASES.get(activity.basis, activity.basis),
        data=[*activity.categories],
        kept=activity.kept or NOT_SAID,
        recipients=[*activity.recipients] or [f"{NO_RECIPIENT}; {TOTALS}" if activity.totals else NO_RECIPIENT],
        transfers=[f"{vendor.name} ({vendor.country or '?'}): {safeguard(vendor)}" for vendor in found],
        source=activity.source or NOT_SAID,
    )


def _untold(place: str) -> Kind:
    """A place of the site's own that no [[data]] of the policy names as its `provider`."""
    return Kind(
        kind=place, place=place, purpose=NOT_SAID, lawful_basis=NOT_SAID, data=[], kept=NOT_SAID,
        recipients=[NOT_SAID], transfers=[], source=NOT_SAID,
    )  # fmt: skip


def as_html(explanation: Explanation) -> str:
    """The part of the read-me."""
    parts = ["<h2>Why, for how long, and where from</h2>"]
    here = [kind for kind in explanation.kinds if kind.place]
    parts += [_table(kind) for kind in here]
    if others := [kind for kind in explanation.kinds if not kind.place]:
        untold = ", ".join(kind.place for kind in here if kind.purpose == NOT_SAID)
        told = f"What this copy has under {untold} may be of these." if untold else "Nothing of these is in this copy."
        parts.append(f"<h2>What else the site processes</h2><p>{html.escape(told)}</p>")
        parts += [_table(kind) for kind in others]
    rights = "".join(f"<li>{html.escape(right)}</li>" for right in explanation.rights)
    parts.append(f"<h2>Your other rights</h2><p>You may ask for:</p><ul>{rights}</ul>")
    if explanation.contact:
        parts.append(f"<p>Write to: {html.escape(explanation.contact)}</p>")
    authority = explanation.complaint or "the data protection authority where you live or work"
    parts.append(f"<p>You may complain to: {html.escape(authority)}</p>")
    parts.append(f"<p>{html.escape(explanation.automated_decisions)}</p>")
    return "".join(parts)


def _table(kind: Kind) -> str:
    pairs = (
        ("Purpose", kind.purpose),
        ("Lawful basis", kind.lawful_basis),
        ("Data", ", ".join(kind.data)),
        ("Kept for", kind.kept),
        ("Recipients", ", ".join(kind.recipients)),
        ("Other countries", "; ".join(kind.transfers)),
        ("Source", kind.source),
    )
    rows = "".join(f"<tr><th>{name}</th><td>{html.escape(value)}</td></tr>" for name, value in pairs if value)
    place = f" ({html.escape(kind.place)})" if kind.place and kind.place != kind.kind else ""
    return f"<h3>{html.escape(kind.kind)}{place}</h3><table>{rows}</table>"
