"""What the audits share: visits put into a store, a policy, and statistics that the standard library lacks."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import Any

from analytics.anonymise.bounds import SCALE, Measurement, Plan
from analytics.anonymise.periods import Period
from consent_middleware.policy import PrivacyPolicy

SITE = "example.org"
DAY = Period.parse("day:2026-11-19")
NOW = dt.datetime(2026, 12, 20, tzinfo=dt.UTC)
ALPHA = 1e-3

POLICY = """
revision = 1
updated = 2026-11-01
[controller]
name = "Example"
[site]
hosts = ["example.org"]
[[purpose]]
id = "analytics"
"""

COLUMNS = (
    "site", "time", "kind", "name", "path", "source", "channel", "utm_campaign", "country", "language", "browser", "os",
    "device", "visitor", "basis", "bot",
)  # fmt: skip


def policy(extra: str = "") -> PrivacyPolicy:
    return PrivacyPolicy.parse(POLICY + extra)


def hit(visitor: int, at: float = 36_000.0, *, day: dt.date = DAY.first, **values: Any) -> dict[str, Any]:
    """One row of `events`: a page view with consent, unless `values` say otherwise; `at` is seconds of the day."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    row |= {"site": SITE, "kind": "view", "name": "pageview", "path": "/", "basis": "consent", "visitor": visitor}
    row["time"] = (dt.datetime.combine(day, dt.time()) + dt.timedelta(seconds=at)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return row | values


def put(store: Any, rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows by the engine's own JSON format."""
    import msgspec

    structure = ", ".join(f"{name} {'UInt64' if name == 'visitor' else 'String'}" for name in COLUMNS)
    store.load(
        f"events ({', '.join(COLUMNS)})", structure, "JSONEachRow", [msgspec.json.encode(row) + b"\n" for row in rows]
    )


def empty(store: Any) -> None:
    for table in ("events", "restricted", "objected"):
        store.command(f"TRUNCATE TABLE {table}")


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), 1e-300)
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 / (1 + step * d or 1e-300)
            c = 1 + step / c or 1e-300
            value *= c * d
        if abs(c * d - 1) < 1e-13:
            break
    return front * value


def clopper_pearson_low(successes: int, trials: int, alpha: float = ALPHA) -> float:
    """The one-sided lower confidence limit of a probability."""
    if successes == 0:
        return 0.0
    low, high = 0.0, successes / trials
    for _ in range(80):
        middle = (low + high) / 2
        tail = beta_cdf(middle, successes, trials - successes + 1)
        low, high = (middle, high) if tail < alpha else (low, middle)
    return low


def mu_low(without: Sequence[float], with_one: Sequence[float]) -> float:
    """A lower confidence limit of mu from the area under the curve of independent pairs: AUC = Phi(mu / sqrt 2)."""
    wins = sum(2 * (b > a) + (b == a) for a, b in zip(without, with_one, strict=True)) // 2
    auc = clopper_pearson_low(wins, len(without))
    return math.sqrt(2) * NormalDist().inv_cdf(auc) if auc > 0.5 else 0.0


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and its standard error."""
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(variance / len(values))


def one_measurement(plan: Plan, measurement: Measurement) -> Plan:
    """A plan that spends all of its budget on one measurement."""
    import msgspec

    return msgspec.structs.replace(plan, measurements=(measurement,))


def in_sixteenths(value: float) -> int:
    return round(value * SCALE)
