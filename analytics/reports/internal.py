"""The internal lane's small cells: a minimum size and secondary suppression. Aggregate, not anonymous; staff only.

Within one answer no hidden cell follows from the totals: neither from one line of the table (total minus what is shown)
nor from several lines together. Differences between answers are logged by the caller, not prevented.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

# Elimination is done modulo a prime: exact, and no fraction grows.
_PRIME = (1 << 61) - 1
# With more hidden cells than this no line decides any of them alone in practice, and elimination would be slow.
_MOST_ELIMINATED = 300


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
    columns: with two or more, every value of each column is protected as if its total were shown.
    `total` is the exact total that is shown beside the rows; rows that were cut off (a page of a longer answer)
    count as a remainder there, and a remainder below `minimum` hides a further row.
    """
    sizes = [_number(row.get(size)) for row in rows]
    hidden = [0 < value < minimum for value in sizes]
    primary = sum(hidden)
    remainder = max(total - sum(sizes), 0.0) if total is not None else 0.0
    lines: list[list[int]] = [list(range(len(rows)))]
    rests: list[list[int]] = []
    for dimension in dimensions if len(dimensions) > 1 else ():
        by_value: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            by_value.setdefault(str(row.get(dimension)), []).append(number)
        lines += by_value.values()
        # The total of a line that is a small group itself is shown nowhere; that of all such lines follows.
        rests.append([i for line in by_value.values() if sum(sizes[i] for i in line) < minimum for i in line])
    sums = [line for line in lines if sum(sizes[i] for i in line) >= minimum] + [rest for rest in rests if rest]
    while _widen(lines, sizes, hidden, remainder, minimum) or _break_ties(lines, sums, sizes, hidden, remainder):
        pass
    return Suppressed(tuple(hidden), primary, sum(hidden) - primary)


def _widen(
    lines: Sequence[Sequence[int]], sizes: Sequence[float], hidden: list[bool], remainder: float, minimum: int
) -> bool:
    """Hide the smallest shown row of each line whose hidden part is one cell, or less than the minimum."""
    changed = False
    for position, line in enumerate(lines):
        rest = remainder if position == 0 else 0.0
        if _tells([sizes[i] for i in line if hidden[i]], rest, minimum):
            changed = _hide_smallest(line, sizes, hidden) or changed
    return changed


def _break_ties(
    lines: Sequence[Sequence[int]],
    sums: Sequence[Sequence[int]],
    sizes: Sequence[float],
    hidden: list[bool],
    remainder: float,
) -> bool:
    """Hide one more row beside a cell that several lines together decide."""
    unknown = [i for i, flag in enumerate(hidden) if flag]
    if not unknown or len(unknown) > _MOST_ELIMINATED:
        return False
    extra = [-1] if remainder > 0 else []
    equations = [
        [i for i in line if hidden[i]] + (extra if position == 0 else []) for position, line in enumerate(lines)
    ]
    parts = [[i for i in line if hidden[i]] for line in sums]
    known = [(part, sum(sizes[i] for i in part)) for part in parts if part]
    for cell in [*determined(equations), *pinned(known)]:
        for line in lines:
            if cell in line and _hide_smallest(line, sizes, hidden):
                return True
    return False


def pinned(known: Sequence[tuple[Sequence[int], float]]) -> set[int]:
    """The unknowns that can have one value only, since no group is empty: sums squeeze them between their neighbours.

    `known` are sets of unknowns with their sums. Bounds are tightened line by line until nothing moves.
    """
    low = {unknown: 1.0 for members, _ in known for unknown in members}
    high = {unknown: min(total for members, total in known if unknown in members) for unknown in low}
    moved = True
    while moved:
        moved = False
        for members, total in known:
            least, most = sum(low[i] for i in members), sum(high[i] for i in members)
            for i in members:
                up, down = total - (least - low[i]), total - (most - high[i])
                if up < high[i] or down > low[i]:
                    moved = True
                    least, most = least + max(low[i], down) - low[i], most + min(high[i], up) - high[i]
                    low[i], high[i] = max(low[i], down), min(high[i], up)
    return {i for i in low if low[i] >= high[i]}


def determined(equations: Iterable[Sequence[int]]) -> set[int]:
    """The unknowns that follow from sums over these sets of unknowns (reduced row echelon form)."""
    reduced: dict[int, dict[int, int]] = {}  # pivot -> its row, without other pivots
    for equation in equations:
        row = dict.fromkeys(equation, 1)
        for pivot in [unknown for unknown in row if unknown in reduced]:
            _subtract(row, reduced[pivot], row[pivot])
        if not row:
            continue
        pivot = next(iter(row))
        inverse = pow(row[pivot], -1, _PRIME)
        row = {unknown: value * inverse % _PRIME for unknown, value in row.items()}
        for other in reduced.values():
            if pivot in other:
                _subtract(other, row, other[pivot])
        reduced[pivot] = row
    return {pivot for pivot, row in reduced.items() if len(row) == 1 and pivot >= 0}


def _subtract(row: dict[int, int], other: Mapping[int, int], factor: int) -> None:
    for unknown, value in other.items():
        left = (row.get(unknown, 0) - factor * value) % _PRIME
        if left:
            row[unknown] = left
        else:
            row.pop(unknown, None)


def _hide_smallest(line: Iterable[int], sizes: Sequence[float], hidden: list[bool]) -> bool:
    shown = [i for i in line if not hidden[i] and sizes[i] > 0]
    if not shown:
        return False
    hidden[min(shown, key=lambda i: sizes[i])] = True
    return True


def _tells(hidden: Sequence[float], rest: float, minimum: int) -> bool:
    """Whether total minus shown rows tells about a group below the minimum: one hidden part, or a small sum of them."""
    parts = [*hidden, rest] if rest > 0 else list(hidden)
    if len(parts) == 1:
        return bool(hidden) or rest < minimum
    return bool(parts) and sum(parts) < minimum


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
