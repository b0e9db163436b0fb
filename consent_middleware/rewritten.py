"""Whole pages that were rewritten before: most sites send the same bytes to many visitors who chose the same."""

from __future__ import annotations

from typing import Final

import msgspec

from consent_middleware.bounded import BoundedCache

REMEMBERED_PAGES: Final = 1024
REMEMBERED_BYTES: Final = 8_000_000  # of one generation, of which there are two
SEEN_ONCE: Final = 8192
MOST_HOSTS: Final = 100
ENTRY_BYTES: Final = 600

Key = tuple[object, ...]  # the page's bytes, and everything else that its rewriting depends on


class Rewritten(msgspec.Struct, frozen=True, gc=False):
    """A page as it left, and what else its rewriting did."""

    page: bytes
    language: str  # of the banner
    undeclared: tuple[str, ...]  # third parties that the policy does not know, as often as they were met
    has_banner: bool


class RewrittenPages:
    """What rewriting gave, for pages that came at least twice: one with a token of its own each time is not kept.

    The whole page is a part of the key and compared byte for byte, so nobody gets a page that was made of another.
    """

    def __init__(self) -> None:
        self._pages: BoundedCache[Key, Rewritten] = BoundedCache(entries=REMEMBERED_PAGES, size=REMEMBERED_BYTES)
        self._seen: set[int] = set()

    def get(self, key: Key) -> Rewritten | None:
        return self._pages[key]

    def put(self, key: Key, size: int, made: Rewritten) -> None:
        """`size` is that of the page as it came, in bytes."""
        mark = hash(key)
        if mark in self._seen:
            if len(made.undeclared) <= MOST_HOSTS:
                self._pages.put(key, made, size + len(made.page) + ENTRY_BYTES)
        else:
            if len(self._seen) >= SEEN_ONCE:
                self._seen.clear()
            self._seen.add(mark)
