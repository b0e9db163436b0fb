"""A Cookie header as it was read: its segments, and what follows from their names alone; pure.

Browsers send the same names in the same order again and again, with values that differ. So the names are worked out
once for all headers that have them in common (a `Shape`), and each header is only cut into pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final

from consent_middleware.declared import Declared, KeptCookies

WSP: Final = b" \t"
NOTHING: Final = Declared(b"", "", None)  # stands for a segment of a Cookie header that holds no cookie
REMEMBERED_PLANS: Final = 16

Named = tuple[bytes, Declared | None]  # a cookie's name and its declaration
# What stays of the segments (None: nothing), undeclared names, names that were not granted.
Plan = tuple[Callable[[list[bytes]], Any] | None, tuple[bytes, ...], tuple[bytes, ...]]


class Shape:
    """The names of a Cookie header, in their order."""

    __slots__ = ("_places", "_plans", "named")

    def __init__(self, named: list[Named]) -> None:
        self.named = named
        self._places: dict[bytes, list[int]] = {}
        for place, (name, declared) in enumerate(named):
            if declared is not None and declared.own:
                self._places.setdefault(name, []).append(place)
        self._plans: dict[frozenset[str], Plan] = {}

    def places(self, rule: Declared) -> list[int]:
        """Where a cookie stands. Browsers send the most specific path first."""
        if rule.own:
            return self._places.get(rule.name, _NOWHERE)
        return [place for place, (_, declared) in enumerate(self.named) if declared == rule]

    def plan(self, allowed: frozenset[str]) -> Plan:
        """What stays under these purposes, and what does not. Duplicates of a name share its fate."""
        plan = self._plans.get(allowed)
        if plan is None:
            plan = self._plan(allowed)
            if len(self._plans) < REMEMBERED_PLANS:
                self._plans[allowed] = plan
        return plan

    def _plan(self, allowed: frozenset[str]) -> Plan:
        kept: list[int] = []
        undeclared: list[bytes] = []
        not_granted: list[bytes] = []
        for place, (name, declared) in enumerate(self.named):
            if declared is None:
                undeclared.append(name)
            elif declared.purpose in allowed:
                kept.append(place)
            elif declared is not NOTHING:
                not_granted.append(name)
        pick: Callable[[list[bytes]], Any] | None = None
        if len(kept) > 1:
            pick = itemgetter(*kept)
        elif kept:
            pick = itemgetter(slice(kept[0], kept[0] + 1))
        return pick, tuple(undeclared), tuple(not_granted)


class RequestCookies:
    """A Cookie header that was read by CookieRules."""

    __slots__ = ("_segments", "_shape", "header")

    def __init__(self, header: bytes, segments: list[bytes], shape: Shape) -> None:
        self.header = header
        self._segments = segments
        self._shape = shape

    @property
    def named(self) -> list[Named]:
        return self._shape.named

    def values(self, rule: Declared) -> list[bytes]:
        """The values of one cookie, in order."""
        segments, places = self._segments, self._shape.places(rule)
        if len(places) == 1:  # as mostly
            return [segments[places[0]].partition(b"=")[2].strip(WSP)]
        return [segments[place].partition(b"=")[2].strip(WSP) for place in places]

    def filtered(self, allowed: frozenset[str]) -> KeptCookies:
        """Take out what is not declared, and what no allowed purpose covers."""
        pick, undeclared, not_granted = self._shape.plan(allowed)
        if not undeclared and not not_granted:
            return KeptCookies(self.header)
        value = None if pick is None else b";".join(pick(self._segments)).lstrip(WSP)
        return KeptCookies(value, undeclared, not_granted)


_NOWHERE: Final[list[int]] = []
