"""Decision: what one visitor chose, and how signals and regime resolve into it; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy

GPC: Final = "gpc"
DNT: Final = "dnt"
DAY: Final = 86_400


class Choice(msgspec.Struct, frozen=True, gc=False):
    """What one visitor chose, as the consent cookie carries it."""

    granted: frozenset[str]  # optional purposes said yes to
    record_id: str | None  # 22 characters of base64url (16 random bytes); None for a full refusal
    at: int  # unix seconds; of a full refusal the start of the day, UTC
    fingerprint: str  # of the policy it was given under
    signals: tuple[str, ...] = ()  # sent by the browser at that moment: a yes in their presence overrides them


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What may be done for the visitor of one request."""

    decided: bool
    granted: frozenset[str]
    regime: str
    signals: tuple[str, ...]
    record_id: str | None
    at: int | None
    revision: int
    required: frozenset[str] = frozenset()

    def allows(self, purpose: str) -> bool:
        """True for the required purposes and the granted ones; False for names that the policy does not know."""
        return purpose in self.granted or purpose in self.required

    @property
    def conflict(self) -> bool:
        """The browser says no by a signal, and the visitor said yes by a choice: shown to them, so that they know."""
        return bool(self.signals) and self.decided and bool(self.granted)


def resolve(
    policy: PrivacyPolicy,
    choice: Choice | None,
    *,
    signals: Iterable[str] = (),
    regime: str = "opt-in",
    now: float | None = None,
) -> Decision:
    """Put choice, signals and regime together.

    Consent under ePrivacy is a choice and nothing else: without one nothing is granted, and a signal does not take a
    given one back (GPC says so itself). Where the law starts from permission (`opt-out`), everything is granted until
    a choice or a signal; there a signal binds, unless the yes was given while the browser was sending it.
    """
    signals = tuple(signals)
    if choice is None:
        granted = policy.optional_purposes if regime == "opt-out" and not signals else frozenset()
    else:
        granted = choice.granted
        if not granted <= policy.optional_purposes:
            granted &= policy.optional_purposes
        if now is not None:
            granted = frozenset([purpose for purpose in granted if now < _ends(policy, purpose, choice.at)])
        if signals and regime == "opt-out" and not set(signals) <= set(choice.signals):
            granted = frozenset()
    return Decision(
        choice is not None,
        granted,
        regime,
        signals,
        choice.record_id if choice is not None else None,
        choice.at if choice is not None else None,
        policy.revision,
        policy.required_purposes,
    )


def holds_until(policy: PrivacyPolicy, choice: Choice, now: float) -> float:
    """Unix time at which the next grant lapses by its purpose's own lifetime; infinity when none does."""
    ends = [_ends(policy, purpose, choice.at) for purpose in choice.granted]
    return min((end for end in ends if end > now), default=float("inf"))


def refusal(policy: PrivacyPolicy, now: float) -> Choice:
    """The choice of somebody who refused everything: no identifier, and no finer time than the day."""
    return Choice(frozenset(), None, int(now) // DAY * DAY, policy.fingerprint)


def _ends(policy: PrivacyPolicy, purpose: str, at: int) -> float:
    declared = policy.purposes_by_id.get(purpose)
    days = declared.lifetime_days if declared else None
    return float("inf") if days is None else at + days * DAY
