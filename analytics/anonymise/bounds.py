"""What one visitor can add to each cell vector, and the noise that covers it. Pure.

Counts are measured in sixteenths: SQL computes `floor(v * least(16, sqrt(bound_squared / sum of v^2)))`, so that a
clipped contribution is an integer and the sum of its squares over all keys is at most `bound_squared`, an integer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from analytics.anonymise import curve, domains
from analytics.anonymise.cubes import MAX_KEYS, PERIODS, Cube, Known, Thresholded
from analytics.anonymise.periods import Period

SCALE = 16
# The thresholds' part of delta. The Gaussian curve gets the rest: 10 % of delta costs 0.5 % of sigma.
THRESHOLD_PART = 0.1
# Discrete noise on a lattice of sixteenths differs from the continuous curve by less than this part of sigma.
LATTICE_MARGIN = 1.0005
# What clipping did, three numbers of each visitor: what it kept, what it took up to a first bound, and what it took
# beyond that up to a second. The last is zero for nearly everybody and needs much noise: it has noise of its own, so
# that readers can tell how much of it to believe.
KEPT, LOST, BEYOND = "kept", "lost", "beyond"
PARTS = (KEPT, LOST, BEYOND)
# How the retention's budget is divided. The noise of a sum is least when budgets are in proportion to bounds; what lies
# near gets more than that, because nearly all sites need that only. A cube of one cell says itself what was kept.
_RETENTION_PARTS = {KEPT: 0.1, LOST: 0.3, BEYOND: 0.6}
_RETENTION_PARTS_OF_A_TOTAL = {LOST: 0.6, BEYOND: 0.4}


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One noisy vector: a metric of a cube, or one number about what clipping did to it.

    `kind` is `known` (every key of `keys` is released), `threshold` (unknown keys, released at tau + 1), `selected`
    (the keys that the cube's threshold released), or `retention` (`METRIC-kept`, `METRIC-lost`, `METRIC-beyond`).
    All of `l2`, `linf`, `scale` and `tau` are in sixteenths; `sigma` is in counts.
    """

    cube: str
    metric: str
    kind: str
    keys: tuple[str, ...] = ()
    bound_squared: int
    l2: float
    linf: int
    scale: float
    sigma: float
    rho: float
    tau: int | None = None
    delta: float = 0.0

    @property
    def label(self) -> str:
        return f"{self.cube}/{self.metric}"


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """(epsilon, delta) for a visitor who comes on one day, as a Gaussian mu and the thresholds' delta."""

    epsilon: float
    delta: float
    mu: float
    threshold_delta: float

    @property
    def rho(self) -> float:
        return self.mu**2 / 2


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that a seal of one period will spend, known before any row is read."""

    site: str
    period: Period
    promise: Promise
    shares: dict[str, float]
    cubes: tuple[Cube, ...]
    measurements: tuple[Measurement, ...]

    @property
    def rho(self) -> float:
        return math.fsum(m.rho for m in self.measurements)

    @property
    def delta(self) -> float:
        return math.fsum(m.delta for m in self.measurements)

    @property
    def epsilon(self) -> float:
        """Of this release alone, at the promise's delta."""
        return curve.epsilon_of(math.sqrt(2 * self.rho), self.promise.delta - self.delta)


def integer_bound(clip: float) -> int:
    """The largest integer not above (16 * clip)^2, at least 1."""
    return max(1, math.floor(SCALE * SCALE * clip * clip + 1e-9))


def promise(epsilon: float, delta: float) -> Promise:
    """The budget that keeps (epsilon, delta), by the exact curve."""
    thresholds = delta * THRESHOLD_PART
    mu = curve.mu_for(epsilon, delta - thresholds) / LATTICE_MARGIN
    return Promise(epsilon=epsilon, delta=delta, mu=mu, threshold_delta=thresholds)


def plan(
    site: str, period: Period, cubes: tuple[Cube, ...], shares: dict[str, float], *, epsilon: float, delta: float
) -> Plan:
    """Divide the promise over the measurements of one period. Raises ValueError when the period has no share."""
    whole = promise(epsilon, delta)
    share = shares[period.kind]
    present = tuple(cube for cube in cubes if period.kind in cube.periods)
    if share <= 0 or not present:
        raise ValueError(f"{period}: this tier releases nothing by {period.kind} (anonymity.tier, anonymity.shares)")
    thresholds = sum(isinstance(cube.keys, Thresholded) for cube in present)
    delta_each = whole.threshold_delta * share / thresholds if thresholds else 0.0
    # Cubes that this period leaves out give their share to the others; a file that uses less than 1 spends less.
    scale = sum(cube.share for cube in cubes) / sum(cube.share for cube in present)
    measurements: list[Measurement] = []
    for cube in present:
        measurements += _measure(cube, period, whole.mu * math.sqrt(share * cube.share * scale), delta_each)
    return Plan(
        site=site, period=period, promise=whole, shares=dict(shares), cubes=present, measurements=tuple(measurements)
    )


def _measure(cube: Cube, period: Period, mu: float, delta: float) -> list[Measurement]:
    known = isinstance(cube.keys, Known)
    keys = cube.keys.keys if isinstance(cube.keys, Known) else ()
    if cube.columns == ("weekday-hour",) and period.kind == "day":
        keys = domains.hours_of(period.days)
    measurements = []
    left = 1 - math.fsum(cube.retention.values())
    metrics = [(metric, part * left) for metric, part in cube.metrics.items()]
    for number, (metric, part) in enumerate(metrics):
        squared = integer_bound(cube.clip[metric][PERIODS.index(period.kind)])
        linf = min(SCALE, math.isqrt(squared)) if metric == "visitors" else math.isqrt(squared)
        kind = "known" if known else "threshold" if number == 0 else "selected"
        measurements.append(_noise(cube, metric, kind, keys, squared, linf, mu * math.sqrt(part), delta))
    for name, cap, part in _retention(cube, PERIODS.index(period.kind)):
        measurements.append(_noise(cube, name, "retention", ("",), cap * cap, cap, mu * math.sqrt(part), delta))
    return measurements


def _retention(cube: Cube, number: int) -> Iterator[tuple[str, int, float]]:
    """Name of the measurement, bound of one visitor in sixteenths, and part of the cube's budget."""
    parts = _RETENTION_PARTS if cube.columns else _RETENTION_PARTS_OF_A_TOTAL
    for metric, budget in cube.retention.items():
        near, far = cube.losses[metric][number]
        # Cauchy and Schwarz: at most MAX_KEYS numbers whose squares sum to the bound.
        kept = math.isqrt(integer_bound(cube.clip[metric][number]) * MAX_KEYS)
        caps = {KEPT: kept, LOST: math.floor(SCALE * near), BEYOND: math.floor(SCALE * far)}
        for part, share in parts.items():
            yield f"{metric}-{part}", caps[part], budget * share


def _noise(
    cube: Cube, metric: str, kind: str, keys: tuple[str, ...], squared: int, linf: int, mu: float, delta: float
) -> Measurement:
    l2 = math.nextafter(math.sqrt(squared), math.inf)
    scale = l2 / mu
    tau = linf + math.ceil(scale * curve.upper_quantile(delta / MAX_KEYS)) if kind == "threshold" else None
    return Measurement(
        cube=cube.name,
        metric=metric,
        kind=kind,
        keys=keys,
        bound_squared=squared,
        l2=l2,
        linf=linf,
        scale=scale,
        sigma=scale / SCALE,
        rho=mu * mu / 2,
        tau=tau,
        # P(discrete noise >= x) <= P(continuous noise >= x - 1) (Canonne, Kamath and Steinke 2020): hence tau + 1.
        delta=MAX_KEYS * curve.upper_tail((tau - linf) / scale) if tau is not None else 0.0,
    )
