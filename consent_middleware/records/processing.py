"""The record of processing activities (GDPR Art. 30(1)); the letters name its points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consent_middleware.pages.document import Bullets, Document, Facts, Part
from consent_middleware.records.common import BASES, Activity, activities, record, safeguard

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy

MEASURES = (
    "addresses are shortened before anything is written; the raw user agent is not kept",
    "the subject of a consent is encrypted under a key of its own, which an erasure deletes",
    "the consent ledger is append-only, hash-chained and signed daily",
    "cookies that the policy file does not declare are not set",
    "answers to requests and secrets are readable by the service's own user only",
    "deliveries go over verified TLS or SSH with a known key, to public addresses unless allowed",
    "statistics leave as sealed totals with noise, never as rows",
)


def article_30(policy: PrivacyPolicy) -> Document:
    controller, found = policy.controller, activities(policy)
    who = (
        ("Controller", controller.name),
        ("Address", controller.address),
        ("Contact", controller.contact),
        ("Data protection officer", controller.data_protection_officer),
        ("Registration", controller.registration),
        ("Supervisory authority", controller.supervisory_authority),
    )
    parts = [Part("a", "(a) Who is responsible", (Facts("", tuple(pair for pair in who if pair[1])),))]
    parts += [_part(number, policy, activity) for number, activity in enumerate(found, 1)]
    parts.append(Part("g", "(g) Technical and organisational measures", (Bullets(MEASURES),)))
    gaps = [f"controller.{key}" for key in ("address", "contact") if not getattr(controller, key)]
    for activity in found:
        for key, value in (
            ("people", activity.people),
            ("categories", activity.categories),
            ("retention", activity.kept),
        ):
            if not value:
                gaps.append(f"{activity.where}.{key} ({activity.name})")
    return record(policy, "Record of processing activities (GDPR Art. 30)", parts, gaps)


def _part(number: int, policy: PrivacyPolicy, activity: Activity) -> Part:
    vendors = {vendor.name: vendor for vendor in policy.vendors}
    transfers = [f"{name} ({vendors[name].country or '?'}): {safeguard(vendors[name])}"
                 for name in activity.recipients if name in vendors]  # fmt: skip
    pairs = (
        ("(b) Purpose", activity.purpose),
        ("Legal basis", BASES.get(activity.basis, activity.basis)),
        ("(c) People", ", ".join(activity.people) or "not said"),
        ("(c) Data", ", ".join(activity.categories) or "not said"),
        ("(d) Recipients", ", ".join(activity.recipients) or "none"),
        ("(e) Transfers and safeguards", "; ".join(transfers) or "none"),
        ("(f) Erased after", activity.kept or "not said"),
        ("Source", activity.source),
        ("Drawn from", activity.where),
    )
    return Part(f"activity-{number}", activity.name, (Facts("", tuple(pair for pair in pairs if pair[1])),))
