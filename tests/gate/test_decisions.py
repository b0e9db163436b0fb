"""How choice, signals and regime come together."""

from __future__ import annotations

import time

import pytest

from consent_middleware.decision import Choice, holds_until, resolve
from tests.gate.policies import SHOP, policy

DAY = 86_400
NOW = int(time.time())
POLICY = policy()
BOTH = frozenset({"analytics", "marketing"})


def yes(*purposes: str, signals: tuple[str, ...] = ()) -> Choice:
    return Choice(frozenset(purposes), "A" * 22, NOW, POLICY.fingerprint, signals)


NO = Choice(frozenset(), None, NOW, POLICY.fingerprint)


@pytest.mark.parametrize(
    ("choice", "signals", "regime", "granted", "decided"),
    [
        (None, (), "opt-in", frozenset(), False),
        (None, (), "uk-statistics", frozenset(), False),
        (None, (), "fr-audience", frozenset(), False),
        (None, (), "opt-out", BOTH, False),
        (None, ("gpc",), "opt-out", frozenset(), False),
        (None, ("dnt",), "opt-out", frozenset(), False),
        (NO, (), "opt-out", frozenset(), True),
        (NO, (), "opt-in", frozenset(), True),
        (yes("analytics"), (), "opt-in", frozenset({"analytics"}), True),
        # A signal takes no ePrivacy consent back (GPC's own specification says so) ...
        (yes("analytics"), ("gpc",), "opt-in", frozenset({"analytics"}), True),
        # ... and binds where the law starts from permission, unless the yes was given in its presence.
        (yes("analytics"), ("gpc",), "opt-out", frozenset(), True),
        (yes("analytics", signals=("gpc",)), ("gpc",), "opt-out", frozenset({"analytics"}), True),
        (yes("analytics", signals=("gpc",)), (), "opt-out", frozenset({"analytics"}), True),
        # Purposes that the policy no longer knows are nobody's.
        (yes("analytics", "gone"), (), "opt-in", frozenset({"analytics"}), True),
    ],
)
def test_regimes_and_signals(
    choice: Choice | None, signals: tuple[str, ...], regime: str, granted: frozenset[str], decided: bool
) -> None:
    decision = resolve(POLICY, choice, signals=signals, regime=regime)
    assert (decision.granted, decision.decided, decision.regime, decision.signals) == (
        granted,
        decided,
        regime,
        signals,
    )


def test_required_purposes_are_always_allowed_and_unknown_ones_never() -> None:
    decision = resolve(POLICY, NO)
    assert decision.allows("necessary")
    assert not decision.allows("analytics")
    assert not decision.allows("analytcs")


def test_a_conflict_between_signal_and_yes_can_be_shown() -> None:
    assert resolve(POLICY, yes("analytics"), signals=("gpc",)).conflict
    assert not resolve(POLICY, NO, signals=("gpc",)).conflict
    assert not resolve(POLICY, None, signals=("gpc",)).conflict


def test_a_purpose_with_a_shorter_lifetime_of_its_own_lapses_by_itself() -> None:
    brief = policy(SHOP.replace('id = "marketing"', 'id = "marketing"\nlifetime_days = 30', 1))
    choice = Choice(BOTH, "A" * 22, NOW, brief.fingerprint)
    assert resolve(brief, choice, now=NOW + 30 * DAY - 1).granted == BOTH
    assert resolve(brief, choice, now=NOW + 30 * DAY).granted == {"analytics"}


def test_an_answer_says_when_it_was_given_and_under_which_revision() -> None:
    decision = resolve(POLICY, yes("analytics"))
    assert (decision.at, decision.revision, decision.record_id) == (NOW, POLICY.revision, "A" * 22)
    assert decision.regime == "opt-in", "whoever says nothing about the law gets the strictest"
    nobody = resolve(POLICY, None)
    assert (nobody.at, nobody.revision, nobody.record_id) == (None, POLICY.revision, None)


def test_a_grant_holds_until_the_next_purpose_lapses() -> None:
    some = policy(
        SHOP.replace('id = "analytics"', 'id = "analytics"\nlifetime_days = 10').replace(
            'id = "marketing"', 'id = "marketing"\nlifetime_days = 20'
        )
    )
    both = yes("analytics", "marketing", "gone")
    first, second = NOW + 10 * DAY, NOW + 20 * DAY
    assert holds_until(some, both, NOW) == first
    assert holds_until(some, both, first - 1) == first
    assert holds_until(some, both, first) == second
    assert holds_until(some, both, second) == float("inf")
    assert holds_until(some, yes("analytics", "marketing"), second) == float("inf"), "nothing is left that could lapse"
    assert holds_until(POLICY, both, NOW) == float("inf"), (
        "a purpose without a lifetime of its own lapses with the cookie"
    )
    assert resolve(some, both, now=first).granted == {"marketing"}
