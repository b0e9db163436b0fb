"""Audits of whole releases through the real SQL and engine: what an outsider can learn about one visitor."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import msgspec
import pytest

from analytics.anonymise import bounds, curve, raw
from analytics.anonymise.mechanism import Mechanism
from analytics.anonymise.release import measure, plan_of
from tests.anonymise.audit_tools import DAY, SITE, hit, mean_and_error, mu_low, policy, put

# Known keys only, so that each release holds the same cells; a large epsilon makes small runs tell much.
LOUD = """
[anonymity]
epsilon = 6.0
cubes = ["total", "path", "device", "visit-length"]
[anonymity.shares]
day = 1.0
week = 0.0
month = 0.0
[capture]
routes = ["/", "/a", "/b", "/c"]
"""
CANARY = 77
Sums = dict[str, dict[str, int]]


def crowd(count: int = 25) -> list[dict[str, Any]]:
    return [
        hit(1000 + n, 30_000 + 60 * n, path="/abc"[: 1 + n % 2], device="desktop", channel="Direct")
        for n in range(count)
    ]


def canary(pages: int = 600) -> list[dict[str, Any]]:
    """A visitor who does all that a bound has to hold: hundreds of pages in 40 visits, half of them bounces."""
    times = [2150 * visit for visit in range(40)] + [4300 * (n % 20) + 1 + n // 20 for n in range(pages - 40)]
    return [hit(CANARY, at, path=f"/{'abc'[n % 3]}", device="mobile", channel="Email") for n, at in enumerate(times)]


def exact(store: Any, plan: bounds.Plan) -> Sums:
    return raw.RawPeriod(store, plan).sums()


def draw_all(plan: bounds.Plan, sums: Sums) -> dict[str, dict[str, int]]:
    noisy = Mechanism(plan)
    noisy.open(sums)
    return {m.label: noisy.draw(m) for m in plan.measurements}


def matched_filter(plan: bounds.Plan, without: Sums, with_one: Sums, read: dict[str, dict[str, int]]) -> float:
    """The most powerful test of "was the canary there?" for whoever knows everybody's exact rows."""
    score = 0.0
    for m in plan.measurements:
        for key in {*without[m.label], *with_one[m.label]}:
            expected = without[m.label].get(key, 0)
            moved = with_one[m.label].get(key, 0) - expected
            score += moved * (read[m.label].get(key, 0) - expected) / m.scale**2
    return score


def membership(
    plan: bounds.Plan, without: Sums, with_one: Sums, rounds: int, read: Callable[[bounds.Plan, Sums], Any] = draw_all
) -> tuple[float, float, list[float], list[float]]:
    """d' of the matched filter and its standard error, over `rounds` releases with and without the canary."""
    out = [matched_filter(plan, without, with_one, read(plan, without)) for _ in range(rounds)]
    inside = [matched_filter(plan, without, with_one, read(plan, with_one)) for _ in range(rounds)]
    (low, low_error), (high, high_error) = mean_and_error(out), mean_and_error(inside)
    spread = math.sqrt((low_error**2 + high_error**2) / 2 * rounds) or 1e-9
    return (high - low) / spread, math.hypot(low_error, high_error) / spread, out, inside


@pytest.fixture
def worlds(store: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[bounds.Plan, Sums, Sums]]:
    """The plan, and the exact sums without and with the canary, through the real SQL."""
    monkeypatch.setattr("secrets.token_hex", lambda size=16: "3" * 2 * size)

    def build() -> tuple[bounds.Plan, Sums, Sums]:
        plan = plan_of(policy(LOUD), SITE, DAY)
        put(store, crowd())
        without = exact(store, plan)
        put(store, canary())
        return plan, without, exact(store, plan)

    return build


ROUNDS = [100, pytest.param(1500, marks=pytest.mark.audit)]


@pytest.mark.parametrize("rounds", ROUNDS)
def test_membership_of_the_worst_canary_is_hidden_in_all_cells_together(worlds: Any, rounds: int) -> None:
    plan, without, with_one = worlds()
    strength, error, out, inside = membership(plan, without, with_one, rounds)
    mu = math.sqrt(2 * plan.rho)
    assert strength - 3 * error <= mu
    proven = curve.epsilon_of(mu_low(out, inside), plan.promise.delta)
    assert proven <= plan.promise.epsilon
    # The canary is no weakling: it uses most of what one visitor may use, so that the audit sees something.
    assert strength > 0.4 * mu


def test_noise_that_is_drawn_again_at_each_read_is_noticed(worlds: Any) -> None:
    plan, without, with_one = worlds()

    def mean_of_reads(plan: bounds.Plan, sums: Sums) -> dict[str, dict[str, float]]:
        reads = [draw_all(plan, sums) for _ in range(16)]
        return {
            label: {key: math.fsum(r[label][key] for r in reads) / 16 for key in reads[0][label]} for label in reads[0]
        }

    strength, error, _, _ = membership(plan, without, with_one, 10, mean_of_reads)
    assert strength - 3 * error > math.sqrt(2 * plan.rho)


@pytest.mark.parametrize(("number", "rounds"), [(2, 80), (3, 80), (5, 400)])
def test_a_missing_bound_in_one_cube_is_noticed(
    worlds: Any, monkeypatch: pytest.MonkeyPatch, number: int, rounds: int
) -> None:
    """Visits, page views or bounces of the total cube alone go unclipped: the other cubes stay as they are.

    The canary bounces half as often as it visits, so that bounces need more releases.
    """
    honest = raw.RawPeriod._parameters

    def faulty(self: Any, cube: Any) -> Any:
        rows, parameters = honest(self, cube)
        self._faulty = cube.name == "total"
        return rows, parameters

    def unbounded(self: Any, asked: Any) -> dict[str, int]:
        return bounds_of(asked) | ({f"bound_{number}": 2**62} if self._faulty else {})

    bounds_of = raw.RawPeriod._bounds
    monkeypatch.setattr(raw.RawPeriod, "_parameters", faulty)
    monkeypatch.setattr(raw.RawPeriod, "_bounds", unbounded)
    plan, without, with_one = worlds()
    _, _, out, inside = membership(plan, without, with_one, rounds)
    assert curve.epsilon_of(mu_low(out, inside), plan.promise.delta) > plan.promise.epsilon


# Reconstruction: 60 visitors hold a secret each (mobile or desktop); everything else about them is known.

SECRETS = 60
CROSSED = """
[anonymity]
cubes = [
    {name = "device-by-hour", keys = ["device", "weekday-hour"], metrics = ["pageviews"]},
    {name = "device-by-channel", keys = ["device", "channel"], metrics = ["visitors"]},
    {name = "device-by-length", keys = ["device", "visit-length"], metrics = ["visits"]},
    {name = "device-by-path", keys = ["device", "path"], metrics = ["visitors"]},
]
[anonymity.shares]
day = 1.0
week = 0.0
month = 0.0
[capture]
routes = ["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7"]
"""
CHANNELS = ("Direct", "Email", "Referral", "Organic Search", "Paid Search", "AI Assistant")


def secret_rows(bits: list[int]) -> list[dict[str, Any]]:
    return [
        hit(500 + n, 3600 * (n % 24) + n, path=f"/{n % 8}", channel=CHANNELS[n % 6], device=("desktop", "mobile")[bit])
        for n, bit in enumerate(bits)
    ]


Equation = tuple[list[int], float, float]  # who is counted, the count as read, its sigma


def reconstruct(equations: list[Equation]) -> list[int]:
    """The likeliest bits in the box [0, 1]: weighted least squares by coordinate descent, then rounded.

    For Gaussian noise no linear program of the same equations does better.
    """
    guess = [0.5] * SECRETS
    of_bit: list[list[int]] = [[] for _ in range(SECRETS)]
    for number, (members, _, _) in enumerate(equations):
        for bit in members:
            of_bit[bit].append(number)
    residuals = [count - 0.5 * len(members) for members, count, _ in equations]
    for _ in range(200):
        for bit, numbers in enumerate(of_bit):
            weight = sum(1 / equations[k][2] ** 2 for k in numbers)
            if not weight:
                continue
            step = sum(residuals[k] / equations[k][2] ** 2 for k in numbers) / weight
            new = min(1.0, max(0.0, guess[bit] + step))
            for k in numbers:
                residuals[k] -= new - guess[bit]
            guess[bit] = new
    return [int(value >= 0.5) for value in guess]


def right(bits: list[int], guesses: list[int]) -> float:
    return sum(a == b for a, b in zip(bits, guesses, strict=True)) / SECRETS


@pytest.mark.parametrize("rounds", [6, pytest.param(60, marks=pytest.mark.audit)])
def test_60_secret_bits_are_not_reconstructed_from_every_released_cell(store: Any, rounds: int) -> None:
    plan = plan_of(policy(CROSSED), SITE, DAY)
    scores = []
    for number in range(rounds):
        bits = [random.Random(f"{number}/{n}").getrandbits(1) for n in range(SECRETS)]
        store.command("TRUNCATE TABLE events")
        put(store, secret_rows(bits))
        groups: dict[tuple[str, str], list[int]] = {}
        for n in range(SECRETS):
            weekday_hour = f"thu-{n % 24:02d}"
            for cube, other in (
                ("device-by-hour", weekday_hour), ("device-by-channel", CHANNELS[n % 6]),
                ("device-by-length", "0s"), ("device-by-path", f"/{n % 8}"),
            ):  # fmt: skip
                groups.setdefault((cube, f"mobile | {other}"), []).append(n)
        equations = [
            (groups[cell.cube, cell.key], cell.value, cell.sigma)
            for cell in measure(store, plan)
            if (cell.cube, cell.key) in groups
        ]
        assert len(equations) == len(groups)
        scores.append(right(bits, reconstruct(equations)))
    mean, error = mean_and_error(scores)
    mu = math.sqrt(2 * plan.rho)
    assert mean - 2 * error <= NormalDist().cdf(mu / 2) + 0.05


def test_the_same_attack_reads_everything_from_k_10_suppression_with_free_filters() -> None:
    rng = random.Random(4)
    bits = [rng.getrandbits(1) for _ in range(SECRETS)]
    equations: list[Equation] = []
    while len(equations) < 400:
        members = rng.sample(range(SECRETS), 40)
        count = sum(bits[n] for n in members)
        if count >= 10:  # what k = 10 lets through, exactly
            equations.append((members, float(count), 1.0))
    assert right(bits, reconstruct(equations)) == 1.0 > NormalDist().cdf(bounds.promise(1.0, 1e-6).mu / 2) + 0.05


def test_a_hidden_cell_of_a_small_table_follows_from_its_total_under_k_10() -> None:
    """Why there is no k-only mode: total minus the visible rows exposes groups under 10."""
    rng = random.Random(5)
    exposed = 0
    for _ in range(240):
        sizes = [0] * 8
        for _ in range(300):
            sizes[min(7, int(rng.expovariate(0.55)))] += 1
        hidden = [size for size in sizes if 0 < size < 10]
        exposed += len(hidden) == 1 or 0 < sum(hidden) < 10
    assert exposed > 24


@pytest.mark.parametrize("days", [8, pytest.param(60, marks=pytest.mark.audit)])
def test_an_outsider_with_60_days_and_90_percent_of_the_histories_stays_below_the_bound(store: Any, days: int) -> None:
    """Each day a coin decides whether each of the unknown visitors came; the outsider knows all the others' rows.

    One target a day is asked about: what is asked about several of one day shares that day's noise, and would count as
    many answers where there is one. Eight days are too few to tell a quarter of the noise (60 do):
    test_sealed_noise looks at that in each run.
    """
    text = policy(LOUD)
    out: list[float] = []
    inside: list[float] = []
    targets = list(range(10))
    plan = plan_of(text, SITE, DAY)
    rng = random.Random(days)
    others = [row for n in range(90) for row in habits(2000 + n, rng)]
    coins = [True, False] * (days // 2)
    rng.shuffle(coins)
    for number, here in enumerate(coins):
        target = targets[number % len(targets)]
        others_came = [other for other in targets if other != target and rng.random() < 0.5]
        store.command("TRUNCATE TABLE events")
        put(store, others)
        known = exact(store, plan)
        put(store, [row for one in [*others_came, *[target] * here] for row in canary_of(3000 + one)])
        read: dict[str, dict[str, int]] = {m.label: {} for m in plan.measurements}
        for cell in measure(store, plan):
            read[f"{cell.cube}/{cell.metric}"][cell.key] = round(cell.value * bounds.SCALE)
        # What the outsider does not know, the other targets, is worse than noise: we grant even that.
        base = shifted(known, target_sums(store, plan), len(others_came))
        score = matched_filter(plan, base, shifted(base, target_sums(store, plan), 1), read)
        (inside if here else out).append(score)
    (low, low_error), (high, high_error) = mean_and_error(out), mean_and_error(inside)
    spread = math.sqrt((low_error**2 + high_error**2) / 2 * len(out))
    if days < 60:  # so few do not know their own spread: it is what the plan's scales give
        one = target_sums(store, plan)
        spread = math.sqrt(sum((n / m.scale) ** 2 for m in plan.measurements for n in one[m.label].values()))
    # Four standard errors of a difference of two means: an honest release fails in one of 10,000 runs at most.
    assert (high - low) / spread - 4 * math.sqrt(2 / len(out)) <= math.sqrt(2 * plan.rho)


_TARGET: dict[int, Sums] = {}


def target_sums(store: Any, plan: bounds.Plan) -> Sums:
    """What one target adds: all targets have the same habits, measured alone through the real SQL."""
    if id(store) not in _TARGET:
        rows = store.query("SELECT count() FROM events")
        store.command("RENAME TABLE events TO events_aside")
        store.command("CREATE TABLE events AS events_aside")
        put(store, canary_of(3000))
        _TARGET[id(store)] = exact(store, plan)
        store.command("DROP TABLE events")
        store.command("RENAME TABLE events_aside TO events")
        assert store.query("SELECT count() FROM events") == rows
    return _TARGET[id(store)]


def shifted(sums: Sums, one: Sums, times: int) -> Sums:
    return {
        label: {key: cells.get(key, 0) + times * one[label].get(key, 0) for key in {*cells, *one[label]}}
        for label, cells in sums.items()
    }


def habits(visitor: int, rng: random.Random) -> list[dict[str, Any]]:
    return [
        hit(visitor, rng.uniform(0, 86_000), path=f"/{rng.choice('abc')}", device="desktop", channel="Direct")
        for _ in range(rng.randint(1, 12))
    ]


def canary_of(visitor: int) -> list[dict[str, Any]]:
    return [row | {"visitor": visitor} for row in canary(60)]


def test_the_plans_of_these_audits_keep_their_promise() -> None:
    for text in (LOUD, CROSSED):
        plan = plan_of(policy(text), SITE, DAY)
        assert msgspec.structs.astuple(plan.promise)[0] in (1.0, 6.0)
        assert curve.delta_of(math.sqrt(2 * plan.rho), plan.promise.epsilon) <= plan.promise.delta
