"""Merkle trees after RFC 6962, section 2.1: roots, inclusion proofs and consistency proofs. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf(body: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + body).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the perfect subtrees of a growing tree, largest first: enough to append to it and to tell its root.

    A tombstone keeps a frontier in place of the entries it ends, so that the tree still has its root.
    """

    def __init__(self, size: int = 0, subtrees: Sequence[bytes] = ()) -> None:
        if len(subtrees) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} perfect subtrees, not {len(subtrees)}")
        self.size = size
        self.subtrees = list(subtrees)

    def append(self, leaf_hash: bytes) -> None:
        size, subtrees = self.size, self.subtrees
        while size & 1:
            leaf_hash = node(subtrees.pop(), leaf_hash)
            size >>= 1
        subtrees.append(leaf_hash)
        self.size += 1

    def root(self) -> bytes:
        if not self.subtrees:
            return EMPTY_ROOT
        root = self.subtrees[-1]
        for subtree in reversed(self.subtrees[:-1]):
            root = node(subtree, root)
        return root


def root(leaves: Sequence[bytes]) -> bytes:
    frontier = Frontier()
    for leaf_hash in leaves:
        frontier.append(leaf_hash)
    return frontier.root()


class Ended(LookupError):
    """A proof would need leaves that ended under a tombstone."""


class Tree:
    """A whole tree in memory, for proofs: the leaf hashes, after those that `ended` stands for."""

    def __init__(self, leaves: Sequence[bytes], ended: Frontier | None = None) -> None:
        self._ended: dict[tuple[int, int], bytes] = {}
        start = 0
        if ended is not None:
            for subtree in ended.subtrees:
                size = 1 << (ended.size - start).bit_length() - 1
                self._ended[start, start + size] = subtree
                start += size
        self._start = start
        self._leaves = leaves
        self.size = start + len(leaves)

    def root(self, low: int, high: int) -> bytes:
        """MTH(D[low:high]) of a range that is a node of the tree. Raises Ended."""
        if low >= self._start:
            return root(self._leaves[low - self._start : high - self._start])
        known = self._ended.get((low, high))
        if known is not None:
            return known
        if high <= self._start and (high - low).bit_count() == 1:
            raise Ended(f"entries {low} to {high - 1} ended under a tombstone")
        middle = low + _split(high - low)
        return node(self.root(low, middle), self.root(middle, high))

    def inclusion(self, index: int) -> list[bytes]:
        """PATH(m, D[n]) of RFC 6962, 2.1.1: the sibling hashes from leaf `index` up to the root."""
        if not 0 <= index < self.size:
            raise IndexError(f"no leaf {index} in a tree of {self.size}")
        path: list[bytes] = []
        low, high = 0, self.size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                path.append(self.root(middle, high))
                high = middle
            else:
                path.append(self.root(low, middle))
                low = middle
        return path[::-1]

    def consistency(self, old_size: int) -> list[bytes]:
        """PROOF(m, D[n]) of RFC 6962, 2.1.2: that the tree of `old_size` leaves is a prefix of this one."""
        if not 0 < old_size <= self.size:
            raise IndexError(f"a tree of {self.size} has no earlier tree of {old_size}")
        path: list[bytes] = []
        low, high, whole = 0, self.size, True
        while old_size != high:
            middle = low + _split(high - low)
            if old_size <= middle:
                path.append(self.root(middle, high))
                high = middle
            else:
                path.append(self.root(low, middle))
                low, whole = middle, False
        if not whole:
            path.append(self.root(low, high))
        return path[::-1]


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
