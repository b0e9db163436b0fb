"""Property: whatever visitors do, what SQL lets each of them add is within the declared bounds."""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from typing import Any

import pytest

from analytics.anonymise import bounds, raw
from analytics.anonymise.cubes import MAX_KEYS, METRICS, built_in, cubes_of, period_shares
from analytics.anonymise.periods import Period
from analytics.anonymise.release import plan_of
from consent_middleware.policy import PrivacyPolicy
from tests.anonymise.audit_tools import DAY, SITE, hit, policy, put

EVERY_METRIC = '["visitors", "visits", "pageviews", "events", "bounces"]'
OWN_CUBES = [
    f'{{name = "path-by-device", keys = ["path", "device"], metrics = {EVERY_METRIC}}}',
    '{name = "source-by-country", keys = ["source", "country"], metrics = ["visitors", "visits", "bounces"]}',
    '{name = "length-by-device", keys = ["visit-length", "device"], metrics = ["visits"]}',
]


def all_cubes() -> PrivacyPolicy:
    """Every built-in cube and three of the owner's."""
    return policy(f"[anonymity]\ncubes = [{', '.join([*(json.dumps(name) for name in built_in()), *OWN_CUBES])}]\n")


def wild_rows(rng: random.Random, visitors: int, first: int = 1) -> list[dict[str, Any]]:
    """Visitors of every habit: one page, one page a thousand times, hundreds of pages, many countries, night owls."""
    rows = []
    for visitor in range(first, first + visitors):
        style = rng.choice(["one", "few", "many-paths", "hammer", "shifting", "events"])
        count = {"one": 1, "few": rng.randint(2, 9), "many-paths": rng.randint(80, 260), "hammer": 400}.get(style, 60)
        paths = {"hammer": 1, "few": 5, "many-paths": 300}.get(style, 30)
        for _ in range(count):
            shifting = style == "shifting"
            rows.append(
                hit(
                    visitor,
                    rng.uniform(0, 86_399),
                    kind=rng.choice(["view", "event"]) if style == "events" else "view",
                    name=f"event-{rng.randint(1, 150)}" if style == "events" else "pageview",
                    path=f"/{rng.randint(1, paths)}",
                    source=rng.choice(["", "Google", f"s{rng.randint(1, 200)}.example"]) if shifting else "Google",
                    channel=rng.choice(["Referral", "Direct", "nonsense"]) if shifting else "Organic Search",
                    utm_campaign=f"c{rng.randint(1, 150)}" if shifting else "",
                    country=rng.choice(["GB", "DE", "", "??"]) if shifting else "GB",
                    language=rng.choice(["en-GB", "de", "tlh"]) if shifting else "en",
                    browser="Firefox",
                    os="Linux",
                    device=rng.choice(["desktop", "mobile", "fridge"]) if shifting else "desktop",
                )
            )
    return rows


def contributions(store: Any, plan: bounds.Plan) -> dict[str, dict[int, list[int]]]:
    """Label -> visitor -> amounts in sixteenths, straight from the real template."""
    period = raw.RawPeriod(store, plan)
    found: dict[str, dict[int, list[int]]] = defaultdict(dict)
    try:
        period._make("profiles", {})
        period.lay_out()
        for cube in plan.cubes:
            rows, parameters = period._parameters(cube)
            asked = [m for m in plan.measurements if m.cube == cube.name]
            parameters |= period._bounds(asked)
            kinds = {m.metric: m for m in asked}
            statement = raw._statement("contributions", rows, kinds, pair=len(cube.columns) == 2)
            metrics = {metric: f"c{n}" for n, metric in enumerate(METRICS, 1) if metric in kinds}
            columns = ", ".join(metrics.values())
            for visitor, *amounts in store.query(f"SELECT visitor, {columns} FROM ({statement})", parameters):
                for metric, values in zip(metrics, amounts, strict=True):
                    found[f"{cube.name}/{metric}"][visitor] = [int(value) for value in values]
    finally:
        for name in period._tables:
            period._drop(name)
    return found


def assert_bounded(plan: bounds.Plan, found: dict[str, dict[int, list[int]]]) -> None:
    by_label = {m.label: m for m in plan.measurements}
    for label, visitors in found.items():
        m = by_label[label]
        for amounts in visitors.values():
            assert len(amounts) <= MAX_KEYS, f"{label}: L0 {len(amounts)}"
            assert sum(a * a for a in amounts) <= m.bound_squared, f"{label}: L2 {math.hypot(*amounts)} > {m.l2}"
            assert max(amounts, default=0) <= m.linf, f"{label}: Linf {max(amounts)} > {m.linf}"
            assert min(amounts, default=0) >= 0, label


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.audit) for n in range(1, 20))])
def test_no_visitor_adds_more_than_declared_in_any_cube(store: Any, seed: int) -> None:
    rng = random.Random(seed)
    put(store, wild_rows(rng, 60))
    plan = plan_of(all_cubes(), SITE, DAY)
    found = contributions(store, plan)
    assert {label.partition("/")[0] for label in found} == {cube.name for cube in plan.cubes}
    assert_bounded(plan, found)


@pytest.mark.parametrize(
    ("declared", "planted"),
    [
        ("least(16., sqrt({bound_3:UInt64}", "greatest(16., sqrt({bound_3:UInt64}"),  # page views unbounded
        ("length(keys) <= {max_keys:UInt32}", "toUInt8(1)"),  # every key counts
        ("sqrt({bound_1:UInt64} / length(key))", "sqrt({bound_1:UInt64})"),  # visitors bounded per key, not together
        ("least(16., sqrt({bound_5:UInt64}", "(16. + sqrt({bound_5:UInt64}"),  # one metric of one cube forgotten
    ],
    ids=["no L2 clipping", "no limit of keys", "clipped per key", "one metric unbounded"],
)
def test_the_property_notices_a_missing_bound(
    store: Any, monkeypatch: pytest.MonkeyPatch, declared: str, planted: str
) -> None:
    honest = raw._sql

    def faulty(name: str) -> str:
        text = honest(name)
        if name == "contributions":
            assert declared in text
        return text.replace(declared, planted)

    monkeypatch.setattr(raw, "_sql", faulty)
    put(store, wild_rows(random.Random(1), 60))
    plan = plan_of(all_cubes(), SITE, DAY)
    with pytest.raises(AssertionError, match=r"L0|L2|Linf"):
        assert_bounded(plan, contributions(store, plan))


def difference(left: dict[str, dict[str, int]], right: dict[str, dict[str, int]]) -> dict[str, list[int]]:
    return {
        label: [left[label].get(key, 0) - right[label].get(key, 0) for key in {*left[label], *right[label]}]
        for label in left
    }


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.audit) for n in range(1, 10))])
def test_adding_one_visitor_moves_each_cell_vector_by_at_most_its_bound(
    store: Any, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda size=16: f"{seed:0{2 * size}x}")  # the same salt for both
    rng = random.Random(seed)
    plan = plan_of(all_cubes(), SITE, DAY)
    put(store, wild_rows(rng, 20))
    before = raw.RawPeriod(store, plan).sums()
    for visitor in range(1001, 1003):
        put(store, wild_rows(rng, 1, first=visitor))
        after = raw.RawPeriod(store, plan).sums()
        moved, before = difference(after, before), after
        for m in plan.measurements:
            assert sum(amount * amount for amount in moved[m.label]) <= m.bound_squared, m.label
        # All cells together: what the whole release can tell about one visitor.
        mu_squared = sum(sum(a * a for a in moved[m.label]) / m.scale**2 for m in plan.measurements)
        assert mu_squared <= 2 * plan.rho


def heavy_sums(store: Any) -> tuple[bounds.Plan, dict[str, dict[str, int]]]:
    """One visitor who reads one page 400 times: whatever a measurement holds is theirs."""
    put(store, [hit(1, 36_000 + n) for n in range(400)])
    plan = plan_of(all_cubes(), SITE, DAY)
    return plan, raw.RawPeriod(store, plan).sums()


def test_what_clipping_took_from_one_visitor_is_bounded_too(store: Any) -> None:
    plan, sums = heavy_sums(store)
    retained = {m.label: m for m in plan.measurements if m.kind == "retention"}
    assert {"path/pageviews-kept", "path/visitors-lost", "total/pageviews-beyond"} <= set(retained)
    assert sums["path/pageviews-lost"] == {"": retained["path/pageviews-lost"].linf}, "this visitor meets the bounds"
    assert sums["path/pageviews-beyond"] == {"": retained["path/pageviews-beyond"].linf}
    for label, m in retained.items():
        assert sum(amount * amount for amount in sums[label].values()) <= m.bound_squared, label


@pytest.mark.parametrize(
    ("label", "declared", "planted"),
    [
        ("path/pageviews-lost", "least(lost_3, {lost_3:UInt64})", "lost_3"),
        ("path/pageviews-beyond", "least(greatest(lost_3 - {lost_3:UInt64}, 0), {beyond_3:UInt64})", "lost_3"),
        ("path/pageviews-kept", "least(arraySum(c3), {kept_3:UInt64})", "arraySum(v3) * 16"),
    ],
)
def test_a_missing_bound_of_what_clipping_took_is_noticed(
    store: Any, monkeypatch: pytest.MonkeyPatch, label: str, declared: str, planted: str
) -> None:
    honest = raw._sql
    assert declared in honest("cube_retention")
    monkeypatch.setattr(raw, "_sql", lambda name: honest(name).replace(declared, planted))
    plan, sums = heavy_sums(store)
    (m,) = [m for m in plan.measurements if m.label == label]
    assert sum(amount * amount for amount in sums[label].values()) > m.bound_squared


def test_buckets_of_visitors_give_the_same_sums(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda size=16: "5" * 2 * size)
    put(store, wild_rows(random.Random(3), 40))
    plan = plan_of(all_cubes(), SITE, DAY)
    whole = raw.RawPeriod(store, plan).sums()
    assert raw.RawPeriod(store, plan, rows_in_a_bucket=1500).sums() == whole
    assert whole["total/visitors"][""] > 0


def test_a_month_bounds_each_visitor_once_over_all_of_its_days(store: Any) -> None:
    month = Period.parse("month:2026-11")
    rows = [hit(7, 36_000, day=day, path=f"/{n % 5}") for day in month.days for n in range(20)]
    put(store, rows)
    text = policy()
    plan = bounds.plan(SITE, month, cubes_of(text), period_shares(text), epsilon=1, delta=1e-6)
    sums = raw.RawPeriod(store, plan).sums()
    assert sums["total/visitors"][""] == bounds.SCALE, "30 days of one visitor are one visitor of the month"
    for m in plan.measurements:
        assert sum(a * a for a in sums[m.label].values()) <= m.bound_squared
