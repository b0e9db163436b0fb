"""Audits of the noise itself, through OpenDP: each must notice its planted fault."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from analytics.anonymise import bounds, curve, mechanism
from analytics.anonymise.bounds import Measurement, Plan
from analytics.anonymise.cubes import MAX_KEYS, Cube, Known, Thresholded
from analytics.anonymise.mechanism import Mechanism, OverspendError
from tests.anonymise.audit_tools import DAY, SITE, clopper_pearson_low, mu_low, one_measurement

QUICK, WHOLE = 40_000, 200_000
SIZES = [QUICK, pytest.param(WHOLE, marks=pytest.mark.audit)]
WHOLE_DAY = {"day": 1.0, "week": 0.0, "month": 0.0}


def plan_of_one_vector(size: int) -> Plan:
    """One known vector that spends a whole promise of epsilon 1."""
    cube = Cube(
        name="audit",
        columns=("path",),
        keys=Known(tuple(str(n) for n in range(size))),
        metrics={"pageviews": 1.0},
        clip={"pageviews": (2.0, 2.0, 2.0)},
        share=1.0,
    )
    return bounds.plan(SITE, DAY, (cube,), WHOLE_DAY, epsilon=1.0, delta=1e-6)


def draws(plan: Plan, value: int) -> list[int]:
    """As many draws as the vector has cells: each cell is one visitor's worst case, or nobody."""
    (measurement,) = plan.measurements
    noisy = Mechanism(plan)
    noisy.open({measurement.label: dict.fromkeys(measurement.keys, value)})
    return list(noisy.draw(measurement).values())


def epsilon_low(size: int) -> tuple[float, float]:
    """What an adversary can prove of epsilon at delta 1e-6 from `size` pairs, and what is claimed."""
    plan = plan_of_one_vector(size)
    worst = math.isqrt(plan.measurements[0].bound_squared)
    return curve.epsilon_of(mu_low(draws(plan, 0), draws(plan, worst)), 1e-6), plan.epsilon


@pytest.mark.parametrize("size", SIZES)
def test_the_noise_is_neither_weaker_nor_much_stronger_than_claimed(size: int) -> None:
    proven, claimed = epsilon_low(size)
    assert proven <= claimed
    assert proven >= (0.9 if size == WHOLE else 0.75) * claimed


@pytest.mark.parametrize("size", SIZES)
def test_half_the_sigma_is_noticed(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of_one_vector(size)
    (honest,) = plan.measurements
    # The fault: half the noise is drawn, while the filter is told of the whole.
    weaker = msgspec.structs.replace(honest, scale=honest.scale / 2, l2=honest.l2 / 2)
    worst = math.isqrt(honest.bound_squared)
    pairs = []
    for value in (0, worst):
        noisy = Mechanism(plan)
        noisy.open({honest.label: dict.fromkeys(honest.keys, value)})
        pairs.append(list(noisy.draw(weaker).values()))
    assert curve.epsilon_of(mu_low(*pairs), 1e-6) > plan.epsilon


def threshold_plan(tau: int, scale: float = 1.5, linf: int = bounds.SCALE) -> Plan:
    """A threshold with so little noise that the mass at tau can be seen: delta is claimed near 1e-2 a key."""
    measurement = Measurement(
        cube="audit", metric="visitors", kind="threshold", bound_squared=linf**2, l2=float(linf), linf=linf,
        scale=scale, sigma=scale / bounds.SCALE, rho=(linf / scale) ** 2 / 2, tau=tau,
        delta=MAX_KEYS * curve.upper_tail((tau - linf) / scale),
    )  # fmt: skip
    cube = Cube(
        name="audit", columns=("path",), keys=Thresholded(), metrics={"visitors": 1.0},
        clip={"visitors": (1.0, 1.0, 1.0)}, share=1.0,
    )  # fmt: skip
    base = bounds.plan(SITE, DAY, (cube,), WHOLE_DAY, epsilon=1.0, delta=1e-6)
    return one_measurement(base, measurement)


def released_part(plan: Plan, keys: int) -> float:
    """The lower confidence limit of the chance that a key of a single visitor is released."""
    (measurement,) = plan.measurements
    noisy = Mechanism(plan)
    noisy.open({measurement.label: dict.fromkeys((f"/{n}" for n in range(keys)), measurement.linf)})
    return clopper_pearson_low(len(noisy.draw(measurement)), keys)


@pytest.mark.parametrize("keys", [60_000, pytest.param(400_000, marks=pytest.mark.audit)])
def test_a_key_of_one_visitor_is_released_no_more_often_than_delta_says(keys: int) -> None:
    plan = threshold_plan(tau=bounds.SCALE + 4)
    assert 1e-3 < plan.delta / MAX_KEYS < 1e-2
    assert released_part(plan, keys) <= plan.delta / MAX_KEYS


@pytest.mark.parametrize("keys", [60_000, pytest.param(400_000, marks=pytest.mark.audit)])
def test_releasing_at_tau_instead_of_tau_plus_1_is_noticed(keys: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mechanism, "release_at", lambda tau: tau)
    plan = threshold_plan(tau=bounds.SCALE + 4)
    assert released_part(plan, keys) > plan.delta / MAX_KEYS


def test_the_filter_refuses_a_draw_beyond_the_plan() -> None:
    plan = plan_of_one_vector(3)
    (measurement,) = plan.measurements
    noisy = Mechanism(plan)
    again = msgspec.structs.replace(measurement, metric="visits")
    noisy.open({measurement.label: {}, again.label: {}})
    noisy.draw(measurement)
    with pytest.raises(OverspendError):
        noisy.draw(again)


def test_a_measurement_is_drawn_once() -> None:
    plan = plan_of_one_vector(3)
    (measurement,) = plan.measurements
    noisy = Mechanism(plan)
    noisy.open({measurement.label: {}})
    noisy.draw(measurement)
    with pytest.raises(ValueError, match="noise is drawn once"):
        noisy.draw(measurement)


def test_what_opendp_charges_for_a_plan_is_what_the_plan_says() -> None:
    """The stability of the bounded sums, as OpenDP's own maps see it, gives each measurement's rho and delta."""
    import opendp.prelude as dp

    from analytics.anonymise.release import plan_of
    from tests.anonymise.audit_tools import policy

    plan = plan_of(policy(), SITE, DAY)
    noisy: Any = Mechanism(plan)
    assert dp is not None
    for m in plan.measurements:
        question = noisy._thresholded(m) if m.kind == "threshold" else noisy._known(m, m.keys or ("a", "b"))
        rho, delta = question.map(1)
        assert rho == pytest.approx(m.rho, rel=5e-4)
        # At tau + 1 OpenDP charges a little less than is claimed for tau.
        assert delta <= m.delta
