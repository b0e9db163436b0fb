"""The exact Gaussian curve, against published figures and against the discrete noise that is really drawn."""

from __future__ import annotations

import math

import pytest

from analytics.anonymise import bounds, curve
from analytics.anonymise.release import plan_of
from tests.anonymise.audit_tools import DAY, SITE, policy


@pytest.mark.parametrize(("delta", "sigma"), [(1e-5, 3.73), (1e-6, 4.22), (1e-7, 4.68), (1e-9, 5.50)])
def test_the_exact_sigma_at_epsilon_1_is_the_known_one(delta: float, sigma: float) -> None:
    assert 1 / curve.mu_for(1.0, delta) == pytest.approx(sigma, abs=0.006)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0])
def test_epsilon_and_mu_are_inverse(epsilon: float) -> None:
    assert curve.epsilon_of(curve.mu_for(epsilon, 1e-6), 1e-6) == pytest.approx(epsilon, abs=1e-6)


def test_31_daily_releases_of_the_whole_budget_cost_about_6_7() -> None:
    assert curve.epsilon_of(math.sqrt(31) * curve.mu_for(1.0, 1e-6), 1e-6) == pytest.approx(6.7, abs=0.1)


def test_sigma_is_within_5_percent_of_the_optimum_for_the_same_promise() -> None:
    promise = bounds.promise(1.0, 1e-6)
    assert curve.mu_for(1.0, 1e-6) / promise.mu < 1.05


def test_what_is_published_is_at_most_what_is_promised() -> None:
    promise = bounds.promise(1.0, 1e-6)
    assert curve.delta_of(promise.mu, 1.0) + promise.threshold_delta <= 1e-6


def discrete_delta(scale: float, shift: int, epsilon: float) -> float:
    """The exact delta of discrete Gaussian noise, two inputs `shift` apart: sum of (p - e^eps q)+ over the lattice."""
    reach = int(12 * scale) + shift
    weights = [math.exp(-(x * x) / (2 * scale * scale)) for x in range(-reach, reach + 1)]
    total = math.fsum(weights)

    def p(x: int) -> float:
        return weights[x + reach] / total if -reach <= x <= reach else 0.0

    return math.fsum(max(p(x - shift) - math.exp(epsilon) * p(x), 0.0) for x in range(-reach, reach + shift + 1))


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 2.0])
def test_discrete_noise_on_sixteenths_keeps_the_continuous_curve_within_the_lattice_margin(epsilon: float) -> None:
    mu = curve.mu_for(epsilon, 1e-6)
    for sixteenths in (bounds.SCALE, 3 * bounds.SCALE):
        scale = sixteenths / mu * bounds.LATTICE_MARGIN
        assert discrete_delta(scale, sixteenths, epsilon) <= 1e-6


def test_noise_without_the_fine_lattice_would_break_the_promise() -> None:
    mu = curve.mu_for(2.0, 1e-6)
    assert discrete_delta(1 / mu, 1, 2.0) > 1e-6


def test_the_measurements_of_a_plan_spend_its_period_share_and_no_more() -> None:
    text = policy()
    whole = bounds.promise(1.0, 1e-6)
    plan = plan_of(text, SITE, DAY)
    assert plan.rho <= whole.rho * plan.shares["day"] * (1 + 1e-9)
    assert plan.rho > 0.98 * whole.rho * plan.shares["day"]
    assert plan.delta <= whole.threshold_delta * plan.shares["day"] * (1 + 1e-9)
    assert sum(plan.shares.values()) <= 1 + 1e-9
