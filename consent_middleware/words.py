"""Words: sets of names, written as one string; a number with its noun."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """`words("a b")` is `frozenset({"a", "b"})`."""
    return frozenset(text.split())


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 chain", "2 chains"; `many` where an s is not enough."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
