"""What was drawn once for a policy is kept beside it, bounded: a policy never changes while it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy

Value = TypeVar("Value")
LIMIT = 512


def remembered(policy: PrivacyPolicy, key: Hashable, make: Callable[[], Value]) -> Value:
    """The value for `key`, made at its first use; at the limit all are forgotten, so memory stays bounded."""
    kept: dict[Hashable, Value] = policy.__dict__.setdefault("_pages", {})
    try:
        return kept[key]
    except KeyError:
        if len(kept) >= LIMIT:
            kept.clear()
        value = kept[key] = make()
        return value
