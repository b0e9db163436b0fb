"""The Ledger: append, read, count; on whatever database it was opened."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from consent_middleware.ledger import chain as chains
from consent_middleware.ledger.chain import Log
from consent_middleware.ledger.database import Database
from consent_middleware.ledger.reader import Reader
from consent_middleware.ledger.record import (
    ConsentRecord,
    Refusal,
    decode_disclosure,
    decode_record,
    encode,
    encode_disclosure,
    record_key,
)
from consent_middleware.ledger.subject_keys import (
    SubjectKey,
    find_key,
    forget_key,
    index_key,
    keyed_hash,
    new_key,
    seal,
    unseal,
)
from consent_middleware.ledger.writer import CountKey, Entry, LedgerUnavailable, Stored, Write, Writer

LEDGER_FILE = Path("ledger/ledger.sqlite3")
KEYS_FILE = Path("ledger-keys/subject-keys.sqlite3")
ANSWER_SECONDS = 10.0

Cursor = Mapping[int, int]


class Count(msgspec.Struct, frozen=True):
    """One counter: how often `what` happened on a day (`YYYY-MM-DD`) in a language."""

    day: str
    what: str
    language: str
    n: int


def open_ledger(data_dir: Path, url: str | None = None, *, read_only: bool = False) -> Ledger:
    """The ledger of a data folder: SQLite inside it, or PostgreSQL at `url`. Nothing is opened before it is needed.

    Raises LedgerUnavailable for another kind of URL, or without the driver.
    """
    if url:
        if not url.startswith(("postgresql://", "postgres://")):
            raise LedgerUnavailable(f"a ledger lies at postgresql://..., or nowhere for SQLite, not at {url[:12]}...")
        try:
            from consent_middleware.ledger.postgres import PostgresDatabase
        except ImportError as error:
            raise LedgerUnavailable(
                f"PostgreSQL needs psycopg: `pip install consent-middleware[postgres]` ({error})"
            ) from None

        return Ledger(
            data_dir, lambda: PostgresDatabase(url, "postgres"), lambda: PostgresDatabase(url, "keys_postgres")
        )
    from consent_middleware.ledger.sqlite import SqliteDatabase

    return Ledger(
        data_dir,
        lambda: SqliteDatabase(data_dir / LEDGER_FILE, "sqlite", read_only=read_only),
        lambda: SqliteDatabase(data_dir / KEYS_FILE, "keys_sqlite", read_only=read_only),
    )


class Ledger:
    """Append-only proof of what people decided. Coroutines append; other threads read on connections of their own."""

    def __init__(self, data_dir: Path, connect: Callable[[], Database], connect_keys: Callable[[], Database]) -> None:
        self.data_dir = data_dir
        self.connect = connect
        self.connect_keys = connect_keys
        self._writer = Writer(connect, connect_keys)
        self._known_notices: set[str] = set()
        self._new_notices: dict[str, Mapping[str, object]] = {}
        self.reader = Reader(connect)
        self.keys = Reader(connect_keys)

    # Appending

    async def append(self, entry: ConsentRecord | Refusal, *, key: SubjectKey | None = None) -> Stored:
        """Durable (fsynced) when it returns. Raises LedgerUnavailable: then no consent cookie may be issued."""
        return (await self.append_all((entry,), keys=(key,) if key else ()))[0]

    async def append_all(
        self,
        entries: Sequence[ConsentRecord | Refusal],
        *,
        keys: Sequence[SubjectKey] = (),
        counts: Sequence[CountKey] = (),
        owed: Sequence[tuple[int, str]] = (),
        suppressions: Sequence[Mapping[str, object]] = (),
    ) -> list[Stored]:
        """Several entries in one transaction: all of them durable, or none. Raises LedgerUnavailable.

        `counts` are counters to raise by one, `owed` erasures that the entries cause: (visitor's key, ticket),
        `suppressions` rows of the suppression list.
        """
        rows = self._rows_of_notices(entries)
        rows += tuple(("owe_erasure", {"visitor": str(visitor), "ticket": ticket}) for visitor, ticket in owed)
        rows += tuple(("add_suppression", suppression) for suppression in suppressions)
        return await self._write(Write(tuple(_entry(entry) for entry in entries), tuple(keys), rows, tuple(counts)))

    def owed_erasures(self) -> list[tuple[int, str]]:
        """Erasures not yet handed to the spool: (visitor's key, ticket)."""
        return [(int(str(visitor)), str(ticket)) for visitor, ticket in self.reader.query("owed_erasures", {})]

    async def erasure_sent(self, ticket: str) -> None:
        await self._write(Write(rows=(("erasure_sent", {"ticket": ticket}),)))

    async def _write(self, write: Write) -> list[Stored]:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                stored = await self._writer.write(write)
        except TimeoutError:
            raise LedgerUnavailable(f"the ledger gave no answer within {ANSWER_SECONDS:g} s") from None
        for name, row in write.rows:
            if name == "add_notice":
                self._known_notices.add(str(row["hash"]))
                self._new_notices.pop(str(row["hash"]), None)
        return stored

    async def notice(self, text: bytes, language: str, revision: int) -> str:
        """The SHA-256 (hex) under which the exact text that was shown can be read again.

        The text becomes durable in the same transaction as the first entry that names it.
        """
        digest = hashlib.sha256(text).hexdigest()
        if digest not in self._known_notices and digest not in self._new_notices:
            self._new_notices[digest] = {"hash": digest, "language": language, "revision": revision, "text": text}
        return digest

    async def store_notice(self, text: bytes, language: str, revision: int) -> str:
        """The same, durable on return: for a text whose entry comes later, or never. Raises LedgerUnavailable."""
        digest = await self.notice(text, language, revision)
        if digest in self._new_notices:
            await self._write(Write(rows=(("add_notice", self._new_notices[digest]),)))
        return digest

    def _rows_of_notices(
        self, entries: Iterable[ConsentRecord | Refusal]
    ) -> tuple[tuple[str, Mapping[str, object]], ...]:
        named = {entry.notice for entry in entries}
        new = sorted(digest for digest in named if digest in self._new_notices)
        return tuple(("add_notice", self._new_notices[digest]) for digest in new)

    def append_disclosure(self, disclosure: Mapping[str, object]) -> Stored:
        """Log what was handed to a recipient; blocks until it is durable. Raises LedgerUnavailable."""
        return self.write_now(Write((Entry(Log.DISCLOSURES, encode_disclosure(disclosure)),)))[0]

    def write_now(self, write: Write) -> list[Stored]:
        """Blocks until it is durable: for heads, retention and whoever has no event loop. Raises LedgerUnavailable."""
        return self._writer.write_now(write)

    def count(self, what: str, language: str, day: str | None = None, n: int = 1) -> None:
        """Add to a counter of a day (today, UTC); never blocks, and a crash may lose the last second of it."""
        self._writer.count((day or dt.datetime.now(dt.UTC).date().isoformat(), what, language), n)

    # Reading

    async def read(self, record_id: str) -> list[ConsentRecord]:
        """Every entry of one record, oldest first; [] when there is none. Raises LedgerUnavailable."""
        return await asyncio.to_thread(self.read_now, record_id)

    def read_now(self, record_id: str) -> list[ConsentRecord]:
        try:
            key = record_key(record_id)
        except ValueError:
            return []
        rows = self.reader.query("entries_of_record", {"record": key})
        records = [decode_record(row[1]) for row in rows]
        return sorted((record for record in records if record.record_id == record_id), key=lambda record: record.at)

    async def text_of_notice(self, digest: str) -> bytes | None:
        """The exact text that was shown, by its SHA-256 (hex)."""
        rows = await asyncio.to_thread(self.reader.query, "notice", {"hash": digest})
        if rows:
            return bytes(rows[0][0])
        waiting = self._new_notices.get(digest)
        return bytes(waiting["text"]) if waiting and isinstance(waiting["text"], bytes) else None

    async def texts_in(self, language: str) -> list[tuple[str, int, bytes]]:
        """Hash, revision and text of everything kept under a language tag, oldest revision first."""
        rows = await asyncio.to_thread(self.reader.query, "texts_in_language", {"language": language})
        return [(str(digest), int(revision), bytes(text)) for digest, revision, text in rows]

    def revoked_since(self, cursor: Cursor | None = None) -> tuple[list[ConsentRecord], Cursor]:
        """The entries that revoke a record since `cursor` (None: since the beginning), and the next cursor.

        A cursor is one number for each chain: within a chain numbers follow the order of commits, on any store.
        """
        seen = dict(cursor or {})
        revoked: list[ConsentRecord] = []
        for (chain,) in self.reader.query("chains", {}):
            if chains.log_of(chain) is not Log.CONSENTS:
                continue
            start = seen.get(chain, 0)
            span = {"first": chains.position(chain, start), "beyond": chains.position(chain + 1, 0)}
            for place, body in self.reader.query("revoked", span):
                revoked.append(decode_record(body))
                seen[chain] = chains.split(place)[1] + 1
        return revoked, seen

    def disclosures(self) -> Iterator[dict[str, object]]:
        """What was handed to whom, oldest first within each writer."""
        for (chain,) in self.reader.query("chains", {}):
            if chains.log_of(chain) is Log.DISCLOSURES:
                span = {"first": chains.position(chain, 0), "beyond": chains.position(chain + 1, 0)}
                for row in self.reader.query("chain_entries", span):
                    yield decode_disclosure(row[3])

    def rates(self, first: dt.date, last: dt.date) -> list[Count]:
        """The counters of the days from `first` to `last`, both included."""
        rows = self.reader.query("counts", {"first": first.isoformat(), "last": last.isoformat()})
        return [Count(*row) for row in rows]

    # Subjects

    async def sealed_subject(
        self, record_id: str, subject: str, *, new: bool, index: bytes | None = None, purpose: str = ""
    ) -> tuple[str, SubjectKey | None]:
        """`subject` encrypted under the key of the record; and that key, when it has still to be stored."""
        key = None if new else await asyncio.to_thread(self.key_of, record_id)
        if key is not None:
            return seal(SubjectKey(record_id, key), subject), None
        fresh = new_key(record_id, subject=index, purpose=purpose)
        return seal(fresh, subject), fresh

    def subject_of(self, record: ConsentRecord) -> str | None:
        """Who a record is about; None when it says nobody, or when the subject was erased."""
        key = self.key_of(record.record_id) if record.subject else None
        return unseal(key, record.record_id, record.subject) if key is not None else None

    def records_of(self, subject: str) -> dict[str, str]:
        """The record id by purpose, of the site's own subject."""
        rows = self.keys.query("records_of_subject", {"subject": self.index(subject)})
        return {purpose: record_id for record_id, purpose in rows}

    def index(self, subject: str) -> bytes:
        return keyed_hash(self.index_key(), "subject", subject)

    def index_key(self) -> bytes:
        """The key of keyed hashes: `keys/index.key` of the data folder, made at first use."""
        try:
            return index_key(self.data_dir)
        except OSError as error:
            raise LedgerUnavailable(f"{error.filename}: {error.strerror}") from error

    def forget(self, record_id: str) -> bool:
        """Delete the key of a record: its subject can't be read any more. True when there was one."""
        return self.keys.use(lambda keys: forget_key(keys, record_id))

    def key_of(self, record_id: str) -> bytes | None:
        return self.keys.use(lambda keys: find_key(keys, record_id))

    def close(self) -> None:
        """Write what is waiting and close every connection."""
        self._writer.close()
        self.reader.close()
        self.keys.close()


def _entry(entry: ConsentRecord | Refusal) -> Entry:
    if isinstance(entry, Refusal):
        return Entry(Log.REFUSALS, encode(entry))
    return Entry(Log.CONSENTS, encode(entry), record_key(entry.record_id), entry.revokes)
