"""The numbers of a plan, computed a second time from the formulas of docs/anonymity.md, without the engine."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from analytics.anonymise import curve, domains
from analytics.anonymise.bounds import LATTICE_MARGIN, THRESHOLD_PART, Measurement, Plan, integer_bound, plan, promise
from analytics.anonymise.cubes import MAX_KEYS, Cube, Known, Thresholded, built_in, cubes_of, period_shares
from analytics.anonymise.periods import Period
from tests.anonymise.audit_tools import SITE, policy

DAY, WEEK, MONTH = (Period.parse(text) for text in ("day:2026-11-20", "week:2026-W47", "month:2026-11"))
HALF = {"day": 0.5, "week": 0.25, "month": 0.25}
LOSSES = {"pageviews": ((2.0, 8.0), (3.0, 9.0), (4.0, 10.0)), "visits": ((1.0, 5.0), (1.0, 5.0), (1.0, 5.0))}
RETENTION = {"pageviews": 0.15, "visits": 0.05}


CUBE = Cube(
    name="mine",
    columns=("device",),
    keys=Known(("a", "b")),
    metrics={"visitors": 0.5, "pageviews": 0.5},
    clip={"visitors": (0.5, 2.0, 3.0), "pageviews": (3.0, 4.0, 5.0)},
    share=0.4,
)


def cube(**changed: Any) -> Cube:
    return msgspec.structs.replace(CUBE, **changed)


def planned(*cubes: Cube, period: Period = DAY, shares: dict[str, float] = HALF) -> Plan:
    return plan(SITE, period, cubes, shares, epsilon=1.0, delta=1e-6)


def named(made: Plan) -> dict[str, Measurement]:
    return {m.label: m for m in made.measurements}


@pytest.mark.parametrize(("clip", "squared"), [(1 / 16, 1), (0.01, 1), (0.5, 64), (1.0, 256), (3.0, 2304), (1.5, 576)])
def test_a_bound_in_sixteenths_is_the_square_and_at_least_one(clip: float, squared: int) -> None:
    assert integer_bound(clip) == squared


def test_a_bound_that_is_a_whole_number_is_not_lost_to_rounding() -> None:
    low = [k for k in range(1, 2000) if 256 * (math.sqrt(k) / 16) ** 2 < k]
    assert low, "floating point falls short of some of them"
    assert [integer_bound(math.sqrt(k) / 16) for k in low] == low


def test_the_promise_gives_a_tenth_of_delta_to_the_thresholds() -> None:
    made = promise(1.0, 1e-6)
    assert (made.epsilon, made.delta) == (1.0, 1e-6)
    assert made.threshold_delta == 1e-6 * THRESHOLD_PART
    assert made.mu * LATTICE_MARGIN == pytest.approx(curve.mu_for(1.0, 0.9e-6))
    assert curve.epsilon_of(made.mu, 0.9e-6) <= 1.0


def test_a_plan_names_what_it_is_for() -> None:
    one = cube()
    made = planned(one)
    assert (made.site, made.period, made.cubes, made.shares) == (SITE, DAY, (one,), HALF)


def test_a_period_without_a_share_or_a_cube_is_refused_by_name() -> None:
    for shares, periods in (({**HALF, "day": 0.0}, ("day",)), (HALF, ("month",))):
        with pytest.raises(ValueError, match=r"^day:2026-11-20: this tier releases nothing by day \(anonymity.tier"):
            planned(cube(periods=periods), shares=shares)


@pytest.mark.parametrize("tier", ["standard", "small"])
@pytest.mark.parametrize("period", [DAY, WEEK, MONTH])
def test_each_period_spends_its_share_of_the_promise_to_the_last_part(tier: str, period: Period) -> None:
    text = policy(f'[anonymity]\ntier = "{tier}"\n')
    shares = period_shares(text)
    if not shares[period.kind]:
        return
    made = plan(SITE, period, cubes_of(text), shares, epsilon=1.0, delta=1e-6)
    assert made.rho == pytest.approx(made.promise.rho * shares[period.kind], rel=1e-9)
    unknown = any(m.kind == "threshold" for m in made.measurements)
    assert made.delta <= made.promise.threshold_delta * shares[period.kind] * (1 + 1e-9)
    assert (made.delta > 0) is unknown


def test_a_cube_that_a_period_leaves_out_gives_its_share_to_the_others() -> None:
    monthly = cube(name="monthly", periods=("month",), share=0.6)
    assert planned(cube(), monthly).rho == pytest.approx(0.5 * promise(1.0, 1e-6).rho)
    # A file that uses less than the whole spends less.
    assert planned(cube()).rho == pytest.approx(0.5 * 0.4 * promise(1.0, 1e-6).rho)


def test_each_measurement_follows_the_formulas() -> None:
    made = planned(cube(), cube(name="found", keys=Thresholded()), period=WEEK)
    mu = made.promise.mu * math.sqrt(0.25 * 0.4 * 0.5)
    delta = made.promise.threshold_delta * 0.25
    kinds = {label: m.kind for label, m in named(made).items()}
    assert kinds == {
        "mine/visitors": "known", "mine/pageviews": "known",
        "found/visitors": "threshold", "found/pageviews": "selected",
    }  # fmt: skip
    for m in made.measurements:
        clip = {"visitors": 2.0, "pageviews": 4.0}[m.metric]
        assert m.keys == (("a", "b") if m.cube == "mine" else ())
        assert m.bound_squared == round(256 * clip * clip)
        assert m.l2 == pytest.approx(16 * clip)
        assert m.linf == (16 if m.metric == "visitors" else 16 * clip), "a visitor counts once in one cell"
        assert m.scale == pytest.approx(16 * clip / mu)
        assert m.sigma == pytest.approx(clip / mu)
        assert m.rho == pytest.approx(mu * mu / 2)
        assert (m.tau is not None) is (m.kind == "threshold")
        if m.tau is None:
            assert m.delta == 0.0
            continue
        # The chance that noise alone lifts one visitor's keys over the threshold, for all keys that they can have.
        assert m.delta == pytest.approx(MAX_KEYS * math.erfc((m.tau - m.linf) / m.scale / math.sqrt(2)) / 2, rel=1e-9)
        assert 0.9 * delta < m.delta <= delta
    assert made.delta == sum(m.delta for m in made.measurements)
    few = planned(cube(), period=DAY)
    assert named(few)["mine/visitors"].linf == 8, "nor more than its bound"


def test_hours_are_those_of_the_period() -> None:
    hours = built_in(())["weekday-hour"]
    assert planned(hours).measurements[0].keys == domains.hours_of(DAY.days)
    assert planned(hours, period=WEEK).measurements[0].keys == domains.WEEKDAY_HOURS
    assert planned(built_in(())["device"]).measurements[0].keys != domains.hours_of(DAY.days)


@pytest.mark.parametrize(("columns", "parts"), [(("device",), 3), ((), 2)])
def test_what_clipping_took_is_bounded_in_parts(columns: tuple[str, ...], parts: int) -> None:
    metrics = {"visits": 0.5, "pageviews": 0.5}
    clip = {"visits": (2.0, 2.0, 2.0), "pageviews": (3.0, 3.0, 3.0)}
    made = planned(cube(columns=columns, metrics=metrics, clip=clip, retention=RETENTION, losses=LOSSES))
    mu = made.promise.mu * math.sqrt(0.5 * 0.4)
    shares = {"kept": 0.1, "lost": 0.3, "beyond": 0.6} if columns else {"lost": 0.6, "beyond": 0.4}
    found = {m.metric: m for m in made.measurements if m.kind == "retention"}
    assert len(found) == 2 * parts
    for metric, near, far, clip_ in (("pageviews", 2.0, 8.0, 3.0), ("visits", 1.0, 5.0, 2.0)):
        caps = {"kept": math.isqrt(round(256 * clip_ * clip_) * MAX_KEYS), "lost": 16 * near, "beyond": 16 * far}
        for part, share in shares.items():
            m = found[f"{metric}-{part}"]
            assert (m.keys, m.linf, m.bound_squared) == (("",), caps[part], caps[part] ** 2)
            assert m.rho == pytest.approx(mu * mu / 2 * RETENTION[metric] * share)
            assert (m.tau, m.delta) == (None, 0.0)
    assert made.rho == pytest.approx(mu * mu / 2), "the retention's part is the metrics' loss"


def test_losses_without_a_budget_for_them_are_not_measured() -> None:
    made = planned(cube(losses=LOSSES, retention={}))
    assert {m.kind for m in made.measurements} == {"known"}
