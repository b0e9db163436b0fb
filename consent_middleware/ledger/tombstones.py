"""Retention: entries end by whole sealed periods, and a signed tombstone keeps what the chain and the tree need.

A period lies between two heads. It ends when its records' retention has passed since the last day on which one of them
could hold. A consent at a form that still stands is carried over first: the same entry is appended again, with a note
from where.
"""

from __future__ import annotations

import time

import msgspec

from consent_middleware.keys import canonical, signing_key
from consent_middleware.ledger import chain as chains
from consent_middleware.ledger.chain import Log
from consent_middleware.ledger.heads import ChainHead, heads
from consent_middleware.ledger.ledger import Ledger
from consent_middleware.ledger.record import ConsentRecord, decode_record, encode, record_key
from consent_middleware.ledger.writer import Entry, Write

YEAR_SECONDS = 31_557_600


class Tombstone(msgspec.Struct, frozen=True):
    """The entries [0, size) of a chain have ended. `hash` is the last one's, `subtrees` the frontier of their tree."""

    ledger: str
    chain: int
    size: int
    hash: str
    subtrees: tuple[str, ...]
    head: int
    at: int
    reason: str


class SignedTombstone(msgspec.Struct, frozen=True):
    tombstone: Tombstone
    key: str
    signature: str


decode_tombstone = msgspec.json.Decoder(SignedTombstone).decode


class Ended(msgspec.Struct, frozen=True):
    """What a run of retention did in one chain."""

    chain: int
    entries: int
    carried_over: int


def end_old_entries(
    ledger: Ledger,
    *,
    record_years: int,
    disclosure_years: int,
    lifetime_days: int,
    now: float | None = None,
) -> list[Ended]:
    """End every sealed period whose retention has passed. Raises LedgerUnavailable."""
    now = time.time() if now is None else now
    signed = ledger.reader.use(heads)
    before = {int(chain): int(size) for chain, size, _ in ledger.reader.query("tombstones", {})}
    done = []
    for chain in sorted({part.chain for head in signed for part in head.head.chains}):
        if chains.log_of(chain) is Log.DISCLOSURES:
            limit, reason = now - disclosure_years * YEAR_SECONDS, f"retention of {disclosure_years} years"
        else:
            limit = now - record_years * YEAR_SECONDS - lifetime_days * 86_400
            reason = f"retention of {record_years} years"
        # The head's own time bounds the time of everything before it.
        due = [
            (head.head.number, part)
            for head in signed
            if head.head.at < limit
            for part in head.head.chains
            if part.chain == chain and part.size > before.get(chain, 0)
        ]
        if due:
            number, part = due[-1]
            done.append(_end(ledger, part, number, before.get(chain, 0), reason, now))
    return done


def _end(ledger: Ledger, part: ChainHead, head: int, start: int, reason: str, now: float) -> Ended:
    key = signing_key(ledger.data_dir)
    tombstone = Tombstone(
        ledger="consent-ledger/1",
        chain=part.chain,
        size=part.size,
        hash=part.hash,
        subtrees=part.subtrees,
        head=head,
        at=int(now),
        reason=reason,
    )
    signed = SignedTombstone(tombstone, key.public, key.sign(canonical(tombstone)))
    first, beyond = chains.position(part.chain, start), chains.position(part.chain, part.size)
    carried: list[Entry] = []
    forgotten: list[str] = []
    if chains.log_of(part.chain) is Log.CONSENTS:
        carried, forgotten = _standing(ledger, part.chain, start, part.size)
    ledger.write_now(
        Write(
            entries=tuple(carried),
            rows=(
                ("add_tombstone", {"chain": part.chain, "size": part.size, "tombstone": canonical(signed)}),
                ("end_entries", {"first": first, "beyond": beyond}),
            ),
        )
    )
    for record_id in forgotten:
        ledger.forget(record_id)
    return Ended(part.chain, part.size - start, len(carried))


def _standing(ledger: Ledger, chain: int, start: int, size: int) -> tuple[list[Entry], list[str]]:
    """Entries to carry over: those without an end that nothing later replaced; and records that end altogether."""
    carried: list[Entry] = []
    ending: set[str] = set()
    span = {"first": chains.position(chain, start), "beyond": chains.position(chain, size)}
    for row in ledger.reader.query("chain_entries", span):
        record = decode_record(row[3])
        history = ledger.reader.query("entries_of_record", {"record": record_key(record.record_id)})
        later = [place for place, *_ in history if not span["first"] <= place < span["beyond"]]
        last = max(history, key=lambda entry: (decode_record(entry[1]).at, entry[0]))[0] == row[0]
        if last and record.until == 0 and record.granted and not record.revokes:
            carried.append(_carried_over(record, chain, chains.split(row[0])[1]))
        elif not later:
            ending.add(record.record_id)
    kept = {entry.record for entry in carried}
    return carried, sorted(record_id for record_id in ending if record_key(record_id) not in kept)


def _carried_over(record: ConsentRecord, chain: int, sequence: int) -> Entry:
    note = f"carried over from {chains.name(chain, sequence)}"
    again = msgspec.structs.replace(record, method="retention", reason=note)
    return Entry(Log.CONSENTS, encode(again), record_key(record.record_id), record.revokes)
