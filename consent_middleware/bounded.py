"""A cache that forgets: bounded by count and by bytes, cheap to ask."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """Two generations: what nobody asked for while a whole generation filled up is forgotten.

    A hit in the young generation is one dictionary lookup, where an LRU list moves an entry each time.
    At most twice `entries` values and twice `size` bytes (as the caller counts them) are held.
    """

    __slots__ = ("_bytes", "_entries", "_old", "_size", "_young")

    def __init__(self, *, entries: int, size: int) -> None:
        self._entries = entries
        self._size = size
        self._young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}
        self._bytes = 0

    def get(self, key: Key) -> Value | None:
        """What was kept under the key, or None. An entry found in the old generation moves up at its next `put`."""
        value = self._young.get(key)
        return self._old.get(key) if value is None else value

    def put(self, key: Key, value: Value, size: int) -> None:
        """Keep a value that takes about `size` bytes together with its key. Larger ones are not kept."""
        if size > self._size:
            return
        if len(self._young) >= self._entries or self._bytes + size > self._size:
            self._old, self._young, self._bytes = self._young, {}, 0
        self._young[key] = value
        self._bytes += size

    def clear(self) -> None:
        self._young, self._old, self._bytes = {}, {}, 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
