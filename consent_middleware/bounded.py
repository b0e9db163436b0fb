"""A cache that forgets: bounded by count and by bytes, cheap to ask."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BoundedCache(dict[Key, "Value | None"], Generic[Key, Value]):
    """Two generations: what nobody asked for while a whole generation filled up is forgotten.

    `cache[key]` is what was kept, or None. A hit in the young generation is one dictionary lookup without a call,
    where an LRU list moves an entry each time; the dictionary itself holds that generation.
    At most twice `entries` values and twice `size` bytes (as the caller counts them) are held.
    """

    __slots__ = ("_bytes", "_entries", "_size", "old")

    def __init__(self, *, entries: int, size: int) -> None:
        super().__init__()
        self._entries = entries
        self._size = size
        self._bytes = 0
        self.old: dict[Key, Value | None] = {}

    def __missing__(self, key: Key) -> Value | None:
        return self.old.get(key)

    def put(self, key: Key, value: Value, size: int) -> None:
        """Keep a value that takes about `size` bytes together with its key. Larger ones are not kept."""
        if size > self._size:
            return
        if len(self) >= self._entries or self._bytes + size > self._size:
            self.old = dict(self)
            self.clear()
            self._bytes = 0
        self[key] = value
        self._bytes += size
