"""The exact Gaussian privacy curve: what a noise level promises, and what noise a promise needs. Pure.

`mu` is the L2 sensitivity of everything released together, divided by its standard deviation; a Gaussian mechanism
with that mu has rho = mu^2 / 2 under zero-concentrated differential privacy, and mus of releases add in squares.
"""

from __future__ import annotations

import math
from statistics import NormalDist

_NORMAL = NormalDist()
_PRECISION = 1e-12


def upper_tail(x: float) -> float:
    """P(N(0, 1) >= x), accurate far out in the tail."""
    return 0.5 * math.erfc(x / math.sqrt(2.0))


def upper_quantile(probability: float) -> float:
    """The x with P(N(0, 1) >= x) = probability."""
    return -_NORMAL.inv_cdf(probability)


def _log_tail(x: float) -> float:
    """log P(N(0, 1) >= x); the asymptotic series where erfc runs out of digits."""
    if x < 30:
        return math.log(upper_tail(x))
    return -x * x / 2 - math.log(x * math.sqrt(2 * math.pi)) + math.log1p(-1 / (x * x))


def delta_of(mu: float, epsilon: float) -> float:
    """The exact delta of a Gaussian mechanism (Balle and Wang 2018, theorem 8; Dong, Roth and Su 2022, corollary 1)."""
    if mu <= 0:
        return 0.0
    first = upper_tail(epsilon / mu - mu / 2)
    second = math.exp(min(epsilon + _log_tail(epsilon / mu + mu / 2), 0.0))
    return max(first - second, 0.0)


def epsilon_of(mu: float, delta: float) -> float:
    """The smallest epsilon that a Gaussian mechanism with `mu` keeps at `delta`, rounded up by at most 1e-9."""
    if delta <= 0:
        return math.inf
    if mu <= 0 or delta_of(mu, 0.0) <= delta:
        return 0.0
    low, high = 0.0, 1.0
    while delta_of(mu, high) > delta:
        low, high = high, high * 2
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if delta_of(mu, middle) > delta else (low, middle)
    return high


def mu_for(epsilon: float, delta: float) -> float:
    """The largest mu that keeps (epsilon, delta); 1 / mu is the optimal sigma for sensitivity 1."""
    low, high = 0.0, 1.0
    while delta_of(high, epsilon) <= delta:
        low, high = high, high * 2
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        low, high = (middle, high) if delta_of(middle, epsilon) <= delta else (low, middle)
    return low
