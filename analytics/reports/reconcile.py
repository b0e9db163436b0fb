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

# Below this many standard deviations of "seen", the retention ratio is noise and is not used.
ENOUGH = 10.0


def retention(kept: Noisy, seen: Noisy) -> Noisy | None:
    """The part that clipping kept, at most 1 (delta method); None when it can't be told from its noise."""
    if seen.value < ENOUGH * seen.sigma or kept.value <= 0:
        return None
    ratio = min(kept.value / seen.value, 1.0)
    return Noisy(ratio, (kept.variance + ratio**2 * seen.variance) / seen.value**2)


def unclipped(cell: Noisy, kept: Noisy) -> Noisy:
    """The estimate before clipping: value / ratio, with the ratio's own uncertainty (delta method)."""
    value = cell.value / kept.value
    return Noisy(value, cell.variance / kept.value**2 + value**2 * kept.variance / kept.value**2)


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
    """The cells of a cube whose parts make up `total`, corrected so that they add up to it."""
    drawn = added(list(cells.values()))
    result = {}
    for key, cell in cells.items():
        share = cell.variance / drawn.variance
        variance = cell.variance * (1 - share) + share**2 * total.variance
        result[key] = Noisy(cell.value + share * (total.value - drawn.value), variance)
    return result
