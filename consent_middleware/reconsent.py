"""Who is asked again when a policy changes, and why. Pure.

A consent cookie carries the fingerprint of the policy that it was given under. When that changes, everybody who decided
is asked again; when it does not, nobody is. This module says which changes did it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from consent_middleware.policy import PrivacyPolicy

T = TypeVar("T")


class Difference(msgspec.Struct, frozen=True):
    """What lies between two policies. `reasons` ask again, `silent` changes don't, `warnings` deserve a look."""

    asked_again: bool
    reasons: tuple[str, ...]
    silent: tuple[str, ...]
    warnings: tuple[str, ...]


# What the fingerprint covers of each, by the names that privacy.toml has for it.
PURPOSE = ("required", "basis", "lifetime_days", "google_signals")
COOKIE = ("purpose", "kind", "lifetime", "domain", "path")
VENDOR = ("purpose", "hosts", "role", "country", "safeguard")
SILENT = {
    "purpose": ("title", "description", "without_it"),
    "cookie": ("provider", "description"),
    "vendor": ("policy_url",),
}


def compare(old: PrivacyPolicy, new: PrivacyPolicy) -> Difference:
    """Why visitors who decided under `old` are asked again under `new`, or that they are not."""
    reasons: list[str] = []
    silent: list[str] = []
    if old.revision != new.revision:
        reasons.append(f"revision: {old.revision} became {new.revision}")
    if old.consent.lifetime_days != new.consent.lifetime_days:
        reasons.append(f"consent.lifetime_days: {old.consent.lifetime_days} became {new.consent.lifetime_days}")
    _lists("purpose", old.purposes, new.purposes, lambda p: p.id, PURPOSE, reasons, silent)
    _lists("cookie", old.cookies, new.cookies, lambda c: f"{c.name} ({c.kind})", COOKIE, reasons, silent)
    _lists("vendor", old.vendors, new.vendors, lambda v: v.name, VENDOR, reasons, silent)
    asked_again = old.fingerprint != new.fingerprint
    warnings = []
    if new.revision < old.revision:
        warnings.append(f"revision: {new.revision} is lower than {old.revision}")
    if asked_again and new.revision == old.revision:
        warnings.append(f"revision is still {new.revision}: raise it, so that the page tells the two versions apart")
    if new.updated < old.updated:
        warnings.append(f"updated: {new.updated} is before {old.updated}")
    if asked_again and not reasons:
        # The order of a list, or a key that this comparison does not know by name.
        reasons.append("the fingerprint changed")
    return Difference(asked_again, tuple(reasons if asked_again else ()), tuple(silent), tuple(warnings))


def _lists(
    kind: str,
    old: Iterable[T],
    new: Iterable[T],
    name: Callable[[T], str],
    covered: tuple[str, ...],
    reasons: list[str],
    silent: list[str],
) -> None:
    before: Mapping[str, T] = {name(item): item for item in old}
    after: Mapping[str, T] = {name(item): item for item in new}
    reasons += [f"{kind} {label}: added" for label in after if label not in before]
    reasons += [f"{kind} {label}: removed" for label in before if label not in after]
    for label in after:
        if label not in before:
            continue
        for key in covered:
            was, now = getattr(before[label], key), getattr(after[label], key)
            if (sorted(was) if isinstance(was, tuple) else was) != (sorted(now) if isinstance(now, tuple) else now):
                reasons.append(f"{kind} {label}: {key} {_said(was)} became {_said(now)}")
        for key in SILENT[kind]:
            if getattr(before[label], key) != getattr(after[label], key):
                silent.append(f"{kind} {label}: {key} was reworded")


def _said(value: object) -> str:
    return msgspec.json.encode(value).decode()
