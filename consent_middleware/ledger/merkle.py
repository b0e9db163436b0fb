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


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def inclusion(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962: the sibling hashes from leaf `index` up to the root."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"no leaf {index} in a tree of {len(leaves)}")
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if index < k:
        return [*inclusion(index, leaves[:k]), root(leaves[k:])]
    return [*inclusion(index - k, leaves[k:]), root(leaves[:k])]


def consistency(old_size: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PROOF(m, D[n]) of RFC 6962: that the tree of `old_size` leaves is a prefix of this one."""
    if not 0 < old_size <= len(leaves):
        raise IndexError(f"a tree of {len(leaves)} has no earlier tree of {old_size}")

    def subproof(m: int, part: Sequence[bytes], whole: bool) -> list[bytes]:
        if m == len(part):
            return [] if whole else [root(part)]
        k = _split(len(part))
        if m <= k:
            return [*subproof(m, part[:k], whole), root(part[k:])]
        return [*subproof(m - k, part[k:], False), root(part[:k])]

    return subproof(old_size, leaves, True)
