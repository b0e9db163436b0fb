"""Merkle trees: equal to RFC 6962's own recursive definitions, for every size and index."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_middleware.ledger import merkle


def mth(leaves: list[bytes]) -> bytes:
    """MTH(D[n]) as 2.1 writes it."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = max(2**i for i in range(20) if 2**i < len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH(m, D[n]) as 2.1.1 writes it."""
    if len(leaves) == 1:
        return []
    k = max(2**i for i in range(20) if 2**i < len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b) as 2.1.2 writes it."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = max(2**i for i in range(20) if 2**i < len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def some_leaves(n: int) -> list[bytes]:
    return [merkle.leaf(b"entry %d" % number) for number in range(n)]


def test_the_known_answers_of_rfc_6962_implementations() -> None:
    # From the test data of Certificate Transparency: leaves "", 0x00, 0x10, 0x20 0x21.
    leaves = [merkle.leaf(data) for data in (b"", b"\x00", b"\x10", b"\x20\x21")]
    assert merkle.root(leaves[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle.root(leaves[:2]).hex() == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    assert merkle.root(leaves[:4]).hex() == "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"


@pytest.mark.parametrize("n", range(1, 34))
def test_roots_and_every_proof_are_as_the_rfc_defines_them(n: int) -> None:
    leaves = some_leaves(n)
    tree = merkle.Tree(leaves)
    assert merkle.root(leaves) == mth(leaves)
    assert [tree.inclusion(m) for m in range(n)] == [path(m, leaves) for m in range(n)]
    assert [tree.consistency(m) for m in range(1, n + 1)] == [subproof(m, leaves, True) for m in range(1, n + 1)]


@settings(deadline=None)
@given(st.integers(1, 90), st.data())
def test_a_tree_whose_beginning_ended_still_proves_the_rest(n: int, data: st.DataObject) -> None:
    ended = data.draw(st.integers(0, n - 1))
    leaves = some_leaves(n)
    frontier = merkle.Frontier()
    for leaf in leaves[:ended]:
        frontier.append(leaf)
    tree = merkle.Tree(leaves[ended:], frontier)
    m = data.draw(st.integers(ended, n - 1))
    assert tree.root(0, n) == mth(leaves)
    assert tree.inclusion(m) == path(m, leaves)
    if ended:
        assert tree.consistency(ended) == subproof(ended, leaves, True)


def test_a_frontier_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="has 2 perfect subtrees, not 1"):
        merkle.Frontier(3, [b"x"])
