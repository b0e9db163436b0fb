"""The groups of an answer: what each rests on, and which are too small to show.

Of thousands of pages an answer shows the first few, and joining the sets of visitors of all of them is what such a
question costs. So the sizes of the sets are looked at first: a group has at least as many visitors as its largest day,
and at most as many as all its days together. Only groups that may be among the first, or too small, are joined. Which
groups are hidden and what is shown are the same as if all were.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any

import msgspec

from analytics.reports import running
from analytics.reports.internal import suppress
from analytics.reports.planner import MAX_GROUPS, Statement
from analytics.reports.query import Query
from analytics.reports.ties import place

Key = tuple[Any, ...]
Row = tuple[Any, ...]
Run = Callable[[Statement], list[Row]]

MOST_SHOWN = 1000  # whoever asks for more wants them all
MOST = 0.5  # from this share of the groups on, all are joined


class Cell(msgspec.Struct):
    """One group: its metrics by name, and how many visitors and rows without a key it rests on."""

    values: dict[str, Any]
    keyed: int = 0
    unkeyed: int = 0


class Ranked(msgspec.Struct, frozen=True):
    """Every group, and which are hidden; those after the first `shown` have a bound where their visitors should be."""

    cells: dict[Key, Cell]
    small: set[Key]
    few: set[Key]
    shown: int


def too_small(cells: dict[Key, Cell], minimum: int, width: int, ties: bytes) -> tuple[set[Key], set[Key]]:
    """Keys of cells that rest on too few, and of cells whose visitors with a key are too few (their views may stay).

    `ties` is the key of `ties.place`."""
    if minimum <= 1:
        return set(), set()
    names = [f"d{n}" for n in range(width)]

    def hidden(size: Callable[[Cell], int]) -> set[Key]:
        if not any(0 < size(cell) < minimum for cell in cells.values()):
            return set()
        # Of equal groups the first protects a third. In the order of the engine it would be another one each time, and
        # in an order that everybody knows it would say more of the third.
        keys = sorted(cells, key=partial(place, ties))
        rows = [dict(zip(names, key, strict=True)) | {"size": size(cells[key])} for key in keys]
        found = suppress(rows, minimum, size="size", dimensions=names)
        return {key for key, hide in zip(keys, found.hidden, strict=True) if hide}

    return hidden(lambda cell: cell.keyed + cell.unkeyed), hidden(lambda cell: cell.keyed)


def ranked(
    run: Run, parts: Sequence[Statement], query: Query, order: Sequence[tuple[str, str]], minimum: int, ties: bytes
) -> Ranked | None:
    """The groups of a question about the first few of many; None when all groups have to be counted."""
    shown = query.pagination.offset + query.pagination.limit
    by_visitors = order[0] == ("visitors", "desc") or "visitors" not in query.metrics
    if len(parts) != 1 or not parts[0].bounds or not by_visitors or shown > MOST_SHOWN:
        return None
    held = _Held(run, parts[0])
    if len(held.cells) > MAX_GROUPS:
        return None
    held.count(
        (key for key, cell in held.cells.items() if cell.keyed < minimum and minimum > 1),
        held.largest(shown) if "visitors" in query.metrics else (),
    )
    small, few = too_small(held.cells, minimum, 1, ties)
    while unsure := (small | few) & held.most.keys():
        # A group was hidden to protect another because its bound is the least. Those that may have fewer are joined.
        limit = max(held.most[key] + held.cells[key].unkeyed for key in unsure)
        held.count(key for key, cell in held.cells.items() if cell.keyed <= limit)
        small, few = too_small(held.cells, minimum, 1, ties)
    if "visitors" in query.metrics:
        held.count_first(shown, small | few)
    return Ranked(held.cells, small, few, shown)


class _Held:
    """Groups with bounds; `most` has those whose visitors are not known yet, with how many they may be."""

    def __init__(self, run: Run, part: Statement) -> None:
        self._run, self._part = run, part
        self.cells: dict[Key, Cell] = {}
        self.most: dict[Key, int] = {}
        self._missing: set[Key] = set()
        for *row, most, missing in run(msgspec.structs.replace(part, sql=part.bounds)):
            self._take(tuple(row))
            if most > row[-2]:
                self.most[row[0],] = most
                if missing:
                    self._missing.add((row[0],))

    def _take(self, row: Row) -> None:
        self.cells[row[:1]] = Cell(dict(zip(self._part.metrics, row[1:-2], strict=True)), row[-2], row[-1])

    def count(self, *wanted: Iterable[Key]) -> None:
        """Join the sets of these groups; of all when these are most of them."""
        keys = [key for key in dict.fromkeys(chain(*wanted)) if key in self.most]
        if not keys:
            return
        if len(keys) < len(self.cells) * MOST:
            self._join(self._part.some, [key for key in keys if key not in self._missing])
            self._join(self._part.rest, [key for key in keys if key in self._missing])
        else:
            keys = list(self.most)
            self._join(self._part.sql, keys)
        for key in keys:
            del self.most[key]

    def _join(self, sql: str, keys: Sequence[Key]) -> None:
        if not keys:
            return
        running.expect(1)
        names = {"keys": [str(key[0]) for key in keys]} if sql != self._part.sql else {}
        part = msgspec.structs.replace(self._part, sql=sql, parameters={**self._part.parameters, **names})
        for row in self._run(part):
            self._take(row)

    def largest(self, shown: int) -> list[Key]:
        """Those that may have the most visitors."""
        keys = sorted(self.cells, key=lambda key: self.most.get(key, self.cells[key].keyed), reverse=True)
        return keys[:shown]

    def count_first(self, shown: int, hidden: Collection[Key]) -> None:
        """Join until nothing that is not joined can be among the first: those are at least as many as the last of
        `shown` groups that are, and a group whose sum is less than that cannot be one of them."""
        keys = [key for key in self.largest(len(self.cells)) if key not in hidden]
        self.count(keys[:shown])
        least = min((self.cells[key].keyed for key in keys[:shown]), default=0) if len(keys) > shown else 0
        self.count(key for key in keys[shown:] if self.most.get(key, 0) >= least)
