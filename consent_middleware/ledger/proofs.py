"""Proofs that leave the house: that an entry is in a signed head, that a later head continues an earlier one.

They are JSON documents, checked by `verify/check.py` without this package. Formulas: RFC 6962, 2.1.1 and 2.1.2.
"""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from consent_middleware.ledger import chain as chains
from consent_middleware.ledger import merkle
from consent_middleware.ledger.database import Database
from consent_middleware.ledger.heads import ChainHead, SignedHead, heads
from consent_middleware.ledger.ledger import Ledger
from consent_middleware.ledger.record import WHERE_IDS_STAND, decode_record, record_key
from consent_middleware.ledger.tombstones import decode_tombstone


class NothingToProve(Exception):
    """The ledger has no head, or no such record; the message says which."""


def inclusion_proof(ledger: Ledger, record_id: str) -> dict[str, Any]:
    """Every entry of a record with its path to the root of the last head. Raises NothingToProve."""
    try:
        key = record_key(record_id)
    except ValueError as error:
        raise NothingToProve(f"{error}; {WHERE_IDS_STAND}") from None
    last = _heads(ledger)[-1]
    parts = {part.chain: part for part in last.head.chains}
    entries = []
    for place, stored, _ in ledger.reader.query("entries_of_record", {"record": key}):
        body = bytes(stored)
        chain, sequence = chains.split(place)
        part = parts.get(chain)
        if decode_record(body).record_id != record_id:
            continue
        if part is None or sequence >= part.size:
            raise NothingToProve(f"{chains.name(chain, sequence)} is younger than the last head: `consent ledger seal`")
        path = ledger.reader.use(functools.partial(_tree, part=part)).inclusion(sequence)
        entries.append(
            {"chain": chain, "sequence": sequence, "body": body.decode(), "path": [step.hex() for step in path]}
        )
    if not entries:
        raise NothingToProve(f"{record_id}: no such record; {WHERE_IDS_STAND}")
    return {"kind": "inclusion", "record": record_id, "entries": entries, "head": msgspec.to_builtins(last)}


def consistency_proof(ledger: Ledger, since: int) -> dict[str, Any]:
    """For every chain of head `since`, that the last head's tree begins with it. Raises NothingToProve."""
    known = _heads(ledger)
    old = next((signed for signed in known if signed.head.number == since), None)
    if old is None:
        raise NothingToProve(f"there is no head {since}: the last one is {known[-1].head.number}")
    new = known[-1]
    parts = {part.chain: part for part in new.head.chains}
    proofs = []
    for part in old.head.chains:
        tree = ledger.reader.use(functools.partial(_tree, part=parts[part.chain]))
        try:
            path = tree.consistency(part.size)
        except merkle.Ended as error:
            raise NothingToProve(f"head {since} is older than the retention: {error}") from None
        proofs.append({"chain": part.chain, "path": [step.hex() for step in path]})
    return {
        "kind": "consistency",
        "chains": proofs,
        "old": msgspec.to_builtins(old),
        "new": msgspec.to_builtins(new),
    }


def _tree(database: Database, part: ChainHead) -> merkle.Tree:
    """The tree of a chain as a head saw it, from what is stored now."""
    ended = None
    for chain, _, raw in database.query("tombstones", {}):
        if chain == part.chain:
            tombstone = decode_tombstone(raw).tombstone
            ended = merkle.Frontier(tombstone.size, [bytes.fromhex(subtree) for subtree in tombstone.subtrees])
    start = ended.size if ended else 0
    span = {"first": chains.position(part.chain, start), "beyond": chains.position(part.chain, part.size)}
    return merkle.Tree([merkle.leaf(bytes(row[3])) for row in database.stream("chain_entries", span)], ended)


def _heads(ledger: Ledger) -> list[SignedHead]:
    known = ledger.reader.use(heads)
    if not known:
        raise NothingToProve("there is no head yet: `consent ledger seal`")
    return known
