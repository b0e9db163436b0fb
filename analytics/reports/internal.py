"""The internal lane's small cells: a minimum size and secondary suppression. Aggregate, not anonymous; staff only.

Within one answer no hidden cell follows from the shown totals: where a group of rows with a shown total would hide
exactly one cell, a second one is hidden too. Differences between answers are logged by the caller, not prevented.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import msgspec

Row = TypeVar("Row", bound=Mapping[str, object])


class Suppressed(msgspec.Struct, frozen=True):
    """`hidden[i]` says whether row i may not be shown; its keys may, its metrics may not."""

    hidden: tuple[bool, ...]
    primary: int
    secondary: int


def suppress(
    rows: Sequence[Mapping[str, object]],
    minimum: int,
    *,
    size: str = "visitors",
    dimensions: Sequence[str] = (),
    total: float | None = None,
) -> Suppressed:
    """Which rows of one answer to hide.

    `size` is the metric that `minimum` counts (a row below it, but above zero, is too small). `dimensions` are the key
    columns: with two of them each margin (every value of either column) is protected as if its total were shown.
    `total` is the exact total that is shown beside the rows; rows that were cut off (a page of a longer answer)
    count as a remainder there, and a remainder below `minimum` hides a further row.
    """
    sizes = [_number(row.get(size)) for row in rows]
    hidden = [0 < value < minimum for value in sizes]
    primary = sum(hidden)
    remainder = max(total - sum(sizes), 0.0) if total is not None else 0.0
    groups: list[list[int]] = [list(range(len(rows)))]
    for dimension in dimensions if len(dimensions) > 1 else ():
        by_value: dict[Hashable, list[int]] = {}
        for number, row in enumerate(rows):
            by_value.setdefault(str(row.get(dimension)), []).append(number)
        groups += by_value.values()
    changed = True
    while changed:
        changed = False
        for position, group in enumerate(groups):
            rest = remainder if position == 0 else 0.0
            if _discloses([sizes[i] for i in group if hidden[i]], rest, minimum):
                open_rows = [i for i in group if not hidden[i] and sizes[i] > 0]
                if open_rows:
                    hidden[min(open_rows, key=lambda i: sizes[i])] = True
                    changed = True
    return Suppressed(tuple(hidden), primary, sum(hidden) - primary)


def _discloses(hidden: Sequence[float], rest: float, minimum: int) -> bool:
    """Whether total minus shown rows tells about a group below the minimum: one hidden part, or a small sum of them."""
    parts = [*hidden, rest] if rest > 0 else list(hidden)
    if len(parts) == 1:
        return bool(hidden) or rest < minimum
    return bool(parts) and sum(parts) < minimum


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
