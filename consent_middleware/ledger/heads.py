"""Tree heads: once a day, the Merkle root of every chain, joined under one root and signed with Ed25519.

A head holds each chain's size, root, last hash and frontier (the roots of its perfect subtrees), so that the next head
reads only what came since. A head kept in a second place is what makes a cut tail visible; a copy of each is written to
`ledger-heads/` in the data folder for that.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from consent_middleware.keys import SigningKey, canonical, signing_key, verify_signature
from consent_middleware.ledger import chain as chains
from consent_middleware.ledger import merkle
from consent_middleware.ledger.database import Database
from consent_middleware.ledger.ledger import Ledger
from consent_middleware.ledger.writer import LedgerUnavailable, Write, chain_end

LEDGER = "consent-ledger/1"
HEADS_FOLDER = "ledger-heads"
SLICE = 2_000


class ChainHead(msgspec.Struct, frozen=True):
    """One chain as a head saw it: hashes in hex, `subtrees` largest first."""

    chain: int
    size: int
    root: str
    hash: str
    subtrees: tuple[str, ...]

    def frontier(self) -> merkle.Frontier:
        return merkle.Frontier(self.size, [bytes.fromhex(subtree) for subtree in self.subtrees])


class Head(msgspec.Struct, frozen=True):
    """What is signed. `previous` is the SHA-256 of the head before, "" for the first."""

    ledger: str
    number: int
    at: int
    chains: tuple[ChainHead, ...]
    root: str
    previous: str

    @property
    def day(self) -> dt.date:
        return dt.datetime.fromtimestamp(self.at, dt.UTC).date()


class SignedHead(msgspec.Struct, frozen=True):
    """A head, the public key (hex) that signed it, and the signature (hex) over its canonical bytes."""

    head: Head
    key: str
    signature: str

    def genuine(self, known_keys: Iterable[str]) -> bool:
        return self.key in known_keys and verify_signature(self.key, self.signature, canonical(self.head))

    @property
    def digest(self) -> str:
        return hashlib.sha256(canonical(self)).hexdigest()


decode_head = msgspec.json.Decoder(SignedHead).decode


def joined_root(parts: Iterable[ChainHead]) -> str:
    """The root over all chains: leaf n is the canonical JSON of [chain, size, root]."""
    return merkle.root([merkle.leaf(canonical([part.chain, part.size, part.root])) for part in parts]).hex()


def stored_chains(database: Database) -> list[int]:
    """Every chain that has an entry or a tombstone, whatever the table of chains says."""
    found = {int(chain) for (chain,) in database.query("chains", {})}
    found |= {int(row[0]) for row in database.query("tombstones", {})}
    first = 0
    while rows := database.query("next_entry", {"first": first}):
        chain, _ = chains.split(rows[0][0])
        found.add(chain)
        first = chains.position(chain + 1, 0)
    return sorted(found)


def heads(database: Database) -> list[SignedHead]:
    """Every stored head, oldest first. Raises msgspec.DecodeError for one that is not a head."""
    return [decode_head(row[0]) for row in database.query("heads", {})]


def seal(ledger: Ledger, *, now: float | None = None, pause: float = 0.0) -> SignedHead:
    """Make, sign and store a head over everything that is in the ledger now. Raises LedgerUnavailable, OSError.

    `pause` seconds are slept after every few thousand entries, for callers that share a process with requests.
    """
    key = signing_key(ledger.data_dir)
    last = ledger.reader.use(_last_head)
    known = {part.chain: part for part in last.head.chains} if last else {}
    parts = []
    for chain in ledger.reader.use(stored_chains):
        part = _chain_head(ledger, chain, known.get(chain), pause)
        if part.size:
            parts.append(part)
    head = Head(
        ledger=LEDGER,
        number=last.head.number + 1 if last else 1,
        at=int(time.time() if now is None else now),
        chains=tuple(parts),
        root=joined_root(parts),
        previous=last.digest if last else "",
    )
    signed = _signed(head, key)
    row = {"number": head.number, "at": head.at, "head": canonical(signed)}
    ledger.write_now(Write(rows=(("add_head", row),)))
    _keep_copy(ledger, signed)
    return signed


def seal_if_due(ledger: Ledger, *, now: float | None = None, pause: float = 0.0) -> SignedHead | None:
    """A head when the last one is of an earlier day (UTC) and something was appended since; None otherwise.

    Several workers may try at once: the number of a head is unique, so one of them succeeds.
    """
    now = time.time() if now is None else now
    last = ledger.reader.use(_last_head)
    if last is not None and last.head.day >= dt.datetime.fromtimestamp(now, dt.UTC).date():
        return None
    sizes = {part.chain: part.size for part in last.head.chains} if last else {}
    ends = {chain: ledger.reader.use(_end_of(chain))[0] for chain in ledger.reader.use(stored_chains)}
    if all(sizes.get(chain, 0) == size for chain, size in ends.items()):
        return None
    with contextlib.suppress(LedgerUnavailable):
        return seal(ledger, now=now, pause=pause)
    return None


def _last_head(database: Database) -> SignedHead | None:
    rows = database.query("last_head", {})
    return decode_head(rows[0][2]) if rows else None


def _end_of(chain: int) -> Callable[[Database], tuple[int, bytes]]:
    return lambda database: chain_end(database, chain)


def _chain_head(ledger: Ledger, chain: int, known: ChainHead | None, pause: float) -> ChainHead:
    """The chain's head now, from the one before and the entries since."""
    frontier = known.frontier() if known else merkle.Frontier()
    last = bytes.fromhex(known.hash) if known else chains.genesis(chain)
    for entries in _slices(ledger, chain, frontier.size):
        for body, link in entries:
            frontier.append(merkle.leaf(body))
            last = link
        time.sleep(pause)
    return ChainHead(
        chain=chain,
        size=frontier.size,
        root=frontier.root().hex(),
        hash=last.hex(),
        subtrees=tuple(subtree.hex() for subtree in frontier.subtrees),
    )


def _slices(ledger: Ledger, chain: int, start: int) -> Iterator[list[tuple[bytes, bytes]]]:
    while True:
        first = chains.position(chain, start)
        rows = ledger.reader.query("chain_slice", {"first": first, "beyond": first + SLICE})
        if not rows:
            return
        yield [(bytes(row[0]), bytes(row[1])) for row in rows]
        start += len(rows)


def _signed(head: Head, key: SigningKey) -> SignedHead:
    return SignedHead(head, key.public, key.sign(canonical(head)))


def head_file(data_dir: Path, number: int) -> Path:
    """Where the copy of a head lies until somebody takes it to a second place."""
    return data_dir / HEADS_FOLDER / f"head-{number:06d}.json"


def _keep_copy(ledger: Ledger, signed: SignedHead) -> None:
    path = head_file(ledger.data_dir, signed.head.number)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".part")
    with open(fresh, "wb") as file:
        file.write(canonical(signed))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
