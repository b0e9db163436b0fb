"""Released numbers made to agree: clipping undone, periods combined, parts and totals consistent. Pure post-processing.

All of it works on what was drawn, so it costs no privacy; weights are inverse variances, which are public.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec


class Noisy(msgspec.Struct, frozen=True):
    """An estimate and the variance of its noise."""

    value: float
    variance: float

    @property
    def sigma(self) -> float:
        return math.sqrt(self.variance)


Table = Mapping[str, Noisy]

Z95 = 1.959963984540054
# Below this many standard deviations of what was counted, a ratio is noise, and what is typical takes its place.
ENOUGH = 3.0
# What is expected of a site before anything is read, as parts of what was kept: clipping takes a tenth of page views by
# key, less of the rest, and 15 % of that again beyond its first bound. Half of all sites have less, and one in 40 more
# than 13 times that: wide enough that a number that says so clearly is believed.
TYPICAL = {"visitors": 0.05, "pageviews": 0.1}
TYPICAL_OF_A_TOTAL, TYPICAL_BEYOND = 0.02, 0.15
# What clipping kept, where a release can't tell: anything between two thirds and all.
TYPICAL_RETENTION = Noisy(0.95, 0.15**2)
_TAIL = 3
_SCALE = 1 / (2 ** (1 / (_TAIL - 1)) - 1)  # of which (1 + x / (_SCALE * typical))^-_TAIL has its median at `typical`
_GRID = 256
_REACH = 8.0  # standard deviations
# Clipping does not take the same from every page: from one that many visitors read it takes fewer visitors (also those
# come who read little, and lose nothing) and more page views (some read it again and again). Both go by the part of all
# visitors who read it, beside the mean of that; as parts of what was taken, from made-up traffic of five shapes.
LEAN = {"visitors": 1.2, "pageviews": -0.15}
# What remains between pages is part of every interval, also by how often a visitor counted again in the cell.
UNEVEN = {"visitors": 0.1, "pageviews": 0.05}
UNEVEN_REPEATED = 0.15


def taken(lost: Noisy, beyond: Noisy, *, typical: float, times: float) -> Noisy:
    """How much clipping took from everybody: near its bound, and beyond.

    `typical` is what half of all sites lose near the bound at most. Nobody loses anything beyond who has not lost all
    that there is near, so `beyond` is at most `times` (the second bound by the first) what was lost near. What lies
    beyond the second bound goes on as it began, where that can be told: each step holds the same part of the one before
    (made-up traffic: 0.4 to 1 times that), and all of it is part of the interval.
    """
    near = _likely(lost, typical, math.inf)
    far = _likely(beyond, TYPICAL_BEYOND * near.value, times * (near.value + 2 * near.sigma))
    rest = max(far.value - 2 * far.sigma, 0.0) ** 2 / near.value / times
    return added([near, far, Noisy(rest, rest**2)])


def _likely(measured: Noisy, typical: float, most: float) -> Noisy:
    """What a noisy number says about one between 0 and `most` of which half of all sites have less than `typical`.

    Mean and variance of (1 + x / scale)^-3 times the noise's likelihood: where the noise is large that says what is
    typical of sites, where it is small the number as measured, and between there is no step, at which a draw would be
    believed by mistake. What is typical is a part of the interval: over all that the noise of a small site allows it
    would reach from nothing to many times the number, and say less than anybody knows.
    """
    sigma = measured.sigma
    scale = max(typical, 1.0) * _SCALE
    high = min(most, max(measured.value, 0.0) + _REACH * sigma)
    low = min(max(measured.value - _REACH * sigma, 0.0), high)
    points = [low + (high - low) * (number + 0.5) / _GRID for number in range(_GRID)]
    logs = [-(((x - measured.value) / sigma) ** 2) / 2 - _TAIL * math.log1p(x / scale) for x in points]
    peak = max(logs)
    weights = [math.exp(exponent - peak) for exponent in logs]
    whole = math.fsum(weights)
    value = _dot(weights, points) / whole
    return Noisy(value, _dot(weights, [(x - value) ** 2 for x in points]) / whole)


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(left, right, strict=True))


def retention(kept: Noisy, lost: Noisy) -> Noisy | None:
    """The part that clipping kept, at most 1 (delta method); None when it can't be told from its noise."""
    if kept.value < ENOUGH * kept.sigma:
        return None
    seen = kept.value + lost.value
    variance = (lost.value**2 * kept.variance + kept.value**2 * lost.variance) / seen**4
    return Noisy(kept.value / seen, variance)


def retention_of(total: Noisy, lost: Noisy) -> Noisy | None:
    """The same where it is known how much there was before clipping."""
    if total.value < ENOUGH * total.sigma or lost.value > 0.8 * total.value:
        return None
    part = lost.value / total.value
    return Noisy(1 - part, (lost.variance + part**2 * total.variance) / total.value**2)


def unclipped(cell: Noisy, kept: Noisy, *, lean: float = 0.0, uneven: float = 0.0) -> Noisy:
    """The estimate before clipping: value / ratio, with the ratio's own uncertainty (delta method).

    `lean` is by how much this cell keeps more than others, `uneven` how well that is known: parts of what was taken.
    """
    ratio = min(kept.value * (1 + lean * (1 - kept.value)), 1.0)
    value = cell.value / ratio
    between = (uneven * (1 - kept.value) * value) ** 2
    return Noisy(value, (cell.variance + value**2 * kept.variance) / ratio**2 + between)


def unclipped_all(metric: str, cells: Table, kept: Noisy, visitors: Table, everybody: Noisy | None) -> dict[str, Noisy]:
    """`unclipped` for the cells of a cube; `visitors` are its cells of that metric, `everybody` the total of it."""
    shares: dict[str, float] = {}
    if everybody and everybody.value > ENOUGH * everybody.sigma:
        shares = {key: min(max(cell.value / everybody.value, 0.0), 1.0) for key, cell in visitors.items()}
    whole = math.fsum(max(cell.value, 0.0) for cell in cells.values()) or 1.0
    mean = math.fsum(shares.get(key, 0.0) * max(cell.value, 0.0) for key, cell in cells.items()) / whole
    result = {}
    for key, cell in cells.items():
        again = 0.0 if metric == "visitors" else _repeats(cell, visitors.get(key))
        lean = LEAN[metric] * (shares[key] - mean) if key in shares else 0.0
        uneven = UNEVEN[metric] + UNEVEN_REPEATED * again
        result[key] = unclipped(cell, kept, lean=lean, uneven=uneven)
    return result


def _repeats(views: Noisy, visitors: Noisy | None) -> float:
    """How often a visitor counted again in a cell, at most once; unknown: as much as is thought of."""
    if visitors is None:
        return 1.0
    return min(max(views.value / visitors.value - 1, 0.0), 1.0) if visitors.value > visitors.sigma else 0.0


def halfway(cell: Noisy, kept: Noisy) -> Noisy:
    """A cell of which clipping kept between the ratio `kept` and all: in the middle, and wide enough for both ends."""
    middle = (1 + kept.value) / 2
    value = cell.value / middle
    half = (1 - kept.value) / 2 + kept.sigma
    between = (value * half / middle / Z95) ** 2
    return Noisy(value, cell.variance / middle**2 + between)


def weighted(estimates: Sequence[Noisy]) -> Noisy:
    """Independent estimates of one number: the inverse-variance mean."""
    weights = [1 / estimate.variance for estimate in estimates]
    total = math.fsum(weights)
    value = math.fsum(w * estimate.value for w, estimate in zip(weights, estimates, strict=True)) / total
    return Noisy(value, 1 / total)


def added(parts: Sequence[Noisy]) -> Noisy:
    return Noisy(math.fsum(part.value for part in parts), math.fsum(part.variance for part in parts))


def whole_of(own: Noisy, parts: Sequence[Noisy]) -> Noisy:
    """A period measured apart and as the sum of its days."""
    return weighted([own, added(parts)])


def part_of(parts: Sequence[Noisy], number: int, own: Noisy) -> Noisy:
    """One day, corrected by what its week (`own`) says about the sum of its days: the generalised least squares."""
    total = added(parts)
    gain = parts[number].variance / (total.variance + own.variance)
    return Noisy(
        parts[number].value + gain * (own.value - total.value),
        parts[number].variance * (1 - gain),
    )


def summing_to(cells: Table, total: Noisy) -> dict[str, Noisy]:
    """The cells of a cube whose parts make up `total`, corrected so that they add up to it.

    In proportion, which undoes the cube's own clipping as well; by equal variance where the parts are mostly noise.
    """
    drawn = added(list(cells.values()))
    if drawn.value < ENOUGH * drawn.sigma:
        return _shifted_to(cells, drawn, total)
    scale = total.value / drawn.value
    result = {}
    for key, cell in cells.items():
        share = cell.value / drawn.value
        variance = cell.variance * (1 - 2 * share) + share**2 * drawn.variance
        result[key] = Noisy(cell.value * scale, max(scale**2 * variance, 0.0) + share**2 * total.variance)
    return result


def _shifted_to(cells: Table, drawn: Noisy, total: Noisy) -> dict[str, Noisy]:
    result = {}
    for key, cell in cells.items():
        share = cell.variance / drawn.variance
        variance = cell.variance * (1 - share) + share**2 * total.variance
        result[key] = Noisy(cell.value + share * (total.value - drawn.value), variance)
    return result
