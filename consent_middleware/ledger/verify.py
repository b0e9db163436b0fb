"""`consent ledger verify`: recompute every hash, and name whatever was changed, removed, reordered or inserted.

Each entry is compared with the hash that follows from the one before, each chain with every signed head that covers it
(those in the ledger and those that were kept elsewhere), each notice with its own hash, each objection with the list.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable

import msgspec

from consent_middleware.keys import canonical, verify_signature
from consent_middleware.ledger import chain as chains
from consent_middleware.ledger import merkle
from consent_middleware.ledger.chain import Log
from consent_middleware.ledger.database import Database
from consent_middleware.ledger.heads import SignedHead, decode_head, joined_root, stored_chains
from consent_middleware.ledger.record import SUPPRESSION, decode_record, decode_refusal, record_key
from consent_middleware.ledger.tombstones import SignedTombstone, decode_tombstone

Progress = Callable[[int], None]


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it was written. `entry` names it (`consents/0#17`, `head 3`, `notice 2cf2…`)."""

    entry: str
    what: str

    def __str__(self) -> str:
        return f"{self.entry}: {self.what}"


class Report(msgspec.Struct, frozen=True):
    """What was verified, and what was found; a ledger without findings is as it was written."""

    entries: int
    chains: int
    heads: int
    ended: int
    unsealed: int
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        return not self.findings


class _Verification:
    def __init__(self, database: Database, known_keys: Iterable[str], progress: Progress | None) -> None:
        self.database = database
        self.known_keys = frozenset(known_keys)
        self.progress = progress
        self.findings: list[Finding] = []
        self.entries = self.ended = self.unsealed = 0
        self.named_notices: dict[str, str] = {}
        self.named_objections: dict[str, str] = {}

    def find(self, entry: str, what: str) -> None:
        self.findings.append(Finding(entry, what))

    def heads(self, kept: Iterable[SignedHead]) -> list[SignedHead]:
        """The stored heads that are genuine, checked one against the other, and those kept in a second place."""
        stored: list[SignedHead] = []
        previous = ""
        for number, (raw,) in enumerate(self.database.query("heads", {}), 1):
            name = f"head {number}"
            try:
                signed = decode_head(_bytes(raw))
            except msgspec.DecodeError:
                self.find(name, "is not a head")
                previous = ""
                continue
            if signed.head.number != number:
                self.find(name, f"is missing: number {signed.head.number} stands in its place")
            elif previous and signed.head.previous != previous:
                self.find(name, "does not follow the head before it")
            if self._genuine(name, signed):
                stored.append(signed)
            previous = signed.digest
        digests = {signed.head.number: signed.digest for signed in stored}
        for signed in kept:
            name = f"kept head {signed.head.number}"
            if not self._genuine(name, signed):
                continue
            if digests.get(signed.head.number) != signed.digest:
                self.find(name, "is not the one in the ledger: it was removed or replaced there")
            stored.append(signed)
        return stored

    def _genuine(self, name: str, signed: SignedHead) -> bool:
        if signed.key not in self.known_keys:
            self.find(name, f"is signed by a key that is not known here: {signed.key[:16]} (name it with --public-key)")
        elif not signed.genuine(self.known_keys):
            self.find(name, "has a signature that is not its own")
        elif joined_root(signed.head.chains) != signed.head.root:
            self.find(name, "has a root that is not that of its chains")
        else:
            return True
        return False

    def tombstones(self) -> dict[int, SignedTombstone]:
        """The last genuine tombstone of each chain."""
        last: dict[int, SignedTombstone] = {}
        for chain, size, raw in self.database.query("tombstones", {}):
            name = f"tombstone {chains.name(chain, size)}"
            try:
                signed = decode_tombstone(_bytes(raw))
            except msgspec.DecodeError:
                self.find(name, "is not a tombstone")
                continue
            if signed.key not in self.known_keys or not verify_signature(
                signed.key, signed.signature, canonical(signed.tombstone)
            ):
                self.find(name, "is not signed by a key known here: entries were removed, not ended")
            elif (signed.tombstone.chain, signed.tombstone.size) != (chain, size):
                self.find(name, "belongs elsewhere")
            else:
                last[chain] = signed
        return last

    def chain(self, chain: int, heads: dict[int, list[tuple[str, str, str]]], ended: SignedTombstone | None) -> None:
        """One chain from its first entry (or tombstone) to its last. `heads`: size -> (name, root, hash) of heads."""
        expected, previous, frontier = 0, chains.genesis(chain), merkle.Frontier()
        if ended is not None:
            expected, previous = ended.tombstone.size, bytes.fromhex(ended.tombstone.hash)
            frontier = merkle.Frontier(expected, [bytes.fromhex(part) for part in ended.tombstone.subtrees])
            self.ended += expected
        log = chains.log_of(chain)
        whole = True
        self._compare(chain, heads, expected, frontier, previous)
        span = {"first": chains.position(chain, 0), "beyond": chains.position(chain + 1, 0)}
        sequence = expected - 1
        link, leaf, append = chains.link, merkle.leaf, frontier.append
        for place, record, revokes, stored_body, stored_hash in self.database.stream("chain_entries", span):
            sequence = chains.split(place)[1]
            body, stored = _bytes(stored_body), _bytes(stored_hash)
            self.entries += 1
            if self.progress is not None and self.entries % 10_000 == 0:
                self.progress(10_000)
            if sequence != expected:
                whole = False
                self._misnumbered(chain, expected, sequence)
            if link(previous, body) != stored:
                whole = False
                before = f"#{sequence - 1}" if sequence else "the chain's beginning"
                self.find(
                    chains.name(chain, sequence),
                    f"does not follow {before}: one of the two was changed, removed, reordered or inserted",
                )
            self._columns(chain, sequence, log, body, record, revokes)
            previous = stored
            append(leaf(body))
            expected = sequence + 1
            if whole and expected in heads:
                whole = self._compare(chain, heads, expected, frontier, previous)
        last_sealed = max(heads, default=0)
        self.unsealed += max(0, expected - last_sealed)
        if last_sealed > expected:
            name, _, _ = heads[last_sealed][0]
            self.find(
                chains.name(chain, expected),
                f"and everything up to #{last_sealed - 1} was removed: {name} has {last_sealed} entries in this chain",
            )

    def _compare(
        self,
        chain: int,
        heads: dict[int, list[tuple[str, str, str]]],
        size: int,
        frontier: merkle.Frontier,
        last: bytes,
    ) -> bool:
        """The tree of `size` entries against every head of that size; False when one differs."""
        for name, root, link in heads.get(size, ()):
            if frontier.root().hex() != root or last.hex() != link:
                before = max((other for other in heads if other < size), default=0)
                self.find(
                    chains.name(chain, before),
                    f"and others up to #{size - 1}: rewritten with all their hashes, since {name} says otherwise",
                )
                return False
        return True

    def _misnumbered(self, chain: int, expected: int, sequence: int) -> None:
        if sequence < expected:
            self.find(chains.name(chain, sequence), "stands before the end of a tombstone: it was inserted")
        else:
            last = f" to #{sequence - 1}" if sequence - 1 > expected else ""
            self.find(chains.name(chain, expected), f"was removed{last and ','}{last}")

    def _columns(self, chain: int, sequence: int, log: Log, body: bytes, record: int | None, revokes: int) -> None:
        """What the indexes say of an entry against what the entry says."""
        try:
            if log is Log.CONSENTS:
                content = decode_record(body)
                self.named_notices.setdefault(content.notice, chains.name(chain, sequence))
                if content.event == "objected" and content.reason.startswith(SUPPRESSION):
                    digest = content.reason.removeprefix(SUPPRESSION)
                    self.named_objections.setdefault(digest, chains.name(chain, sequence))
                wanted: tuple[int | None, bool] = (record_key(content.record_id), content.revokes)
            else:
                if log is Log.REFUSALS:
                    notice = decode_refusal(body).notice
                    self.named_notices.setdefault(notice, chains.name(chain, sequence))
                wanted = (None, False)
        except (msgspec.DecodeError, ValueError):
            self.find(chains.name(chain, sequence), "is not an entry of this log")
            return
        if (record, bool(revokes)) != wanted:
            self.find(chains.name(chain, sequence), "is indexed as another record: its row was changed")

    def notices(self) -> None:
        present = set()
        for digest, _, _, text in self.database.query("notices", {}):
            present.add(digest)
            if hashlib.sha256(_bytes(text)).hexdigest() != digest:
                self.find(f"notice {digest[:16]}", "is not the text that was shown: its hash differs")
        for digest, entry in self.named_notices.items():
            if digest and digest not in present:
                self.find(f"notice {digest[:16]}", f"was removed: {entry} names it")

    def objections(self) -> None:
        """Every objection of the chain still stands in the list that imports are held against."""
        listed = {_bytes(address).hex() for address, objected in self.database.query("objections", {}) if objected}
        for digest, entry in self.named_objections.items():
            if digest not in listed:
                self.find(entry, "its objection was removed from the suppression list")


def _bytes(value: object) -> bytes:
    """A stored value as bytes. An intruder may have stored text or nothing where bytes belong; that must be found."""
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else str(value).encode()


def verify(
    database: Database,
    known_keys: Iterable[str],
    *,
    kept_heads: Iterable[SignedHead] = (),
    progress: Progress | None = None,
) -> Report:
    """Check a whole ledger. `known_keys` are raw Ed25519 public keys in hex; `kept_heads` come from a second place.

    `progress` is told the number of entries done since it was last told. Raises DatabaseError.
    """
    work = _Verification(database, known_keys, progress)
    heads = work.heads(kept_heads)
    by_chain: dict[int, dict[int, list[tuple[str, str, str]]]] = defaultdict(lambda: defaultdict(list))
    for signed in heads:
        for part in signed.head.chains:
            by_chain[part.chain][part.size].append((f"head {signed.head.number}", part.root, part.hash))
    tombstones = work.tombstones()
    found = sorted({*stored_chains(database), *by_chain})
    for chain in found:
        work.chain(chain, dict(by_chain[chain]), tombstones.get(chain))
    work.notices()
    work.objections()
    known = {signed.digest for signed in heads}
    return Report(work.entries, len(found), len(known), work.ended, work.unsealed, tuple(work.findings))
