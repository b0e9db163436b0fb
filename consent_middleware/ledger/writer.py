"""The one writer thread of a process: takes what coroutines append, commits it in groups, says when it is durable.

While one group is being fsynced the next one gathers, so that the number of decisions a second is not the number of
fsyncs a second. After any failure the connection is dropped and the chains' ends are read again, since a commit whose
answer was lost may have happened.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from consent_middleware.ledger import chain as chains
from consent_middleware.ledger.chain import Log
from consent_middleware.ledger.database import Conflict, Database, DatabaseError, Parameters
from consent_middleware.ledger.subject_keys import SubjectKey

GROUP = 512
COUNTS_EVERY_SECONDS = 1.0


CountKey = tuple[str, str, str]  # day, what, language
T = TypeVar("T")


class LedgerUnavailable(Exception):
    """The ledger can't be written, so nothing was decided: no consent cookie may be issued. The message says why."""


class Entry(msgspec.Struct, frozen=True):
    """One entry on its way into a chain."""

    log: Log
    body: bytes
    record: int | None = None
    revokes: bool = False


class Write(msgspec.Struct, frozen=True):
    """What is committed together or not at all: entries, and rows of the tables beside them by statement name."""

    entries: tuple[Entry, ...] = ()
    keys: tuple[SubjectKey, ...] = ()
    rows: tuple[tuple[str, Parameters], ...] = ()
    counts: tuple[CountKey, ...] = ()


class Stored(msgspec.Struct, frozen=True):
    """Where an entry went: chain, number within it, and its hash (hex)."""

    chain: int
    sequence: int
    hash: str


Result = list[Stored]


class _Pending:
    __slots__ = ("future", "loop", "write")

    def __init__(
        self,
        write: Write,
        future: asyncio.Future[Result] | concurrent.futures.Future[Result],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.write = write
        self.future = future
        self.loop = loop


class Writer:
    """Owns the writing connections; opens them in its thread, at the first write, hence after any fork."""

    def __init__(
        self, connect: Callable[[], Database], connect_keys: Callable[[], Database], limit: int = 20_000
    ) -> None:
        self._connect = connect
        self._connect_keys = connect_keys
        self._limit = limit
        self._queue: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._counts: collections.Counter[CountKey] = collections.Counter()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid: int | None = None
        self._closed = False
        self._database: Database | None = None
        self._keys: Database | None = None
        self._writer = 0
        self._ends: dict[int, tuple[int, bytes]] = {}
        self._key_commits = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="consent-ledger-keys")

    async def write(self, write: Write) -> Result:
        """Durable when it returns. Raises LedgerUnavailable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._submit(_Pending(write, future, loop))
        return await future

    def write_now(self, write: Write, timeout: float = 30.0) -> Result:
        """The same for code without an event loop: blocks the calling thread."""
        future: concurrent.futures.Future[Result] = concurrent.futures.Future()
        self._submit(_Pending(write, future, None))
        try:
            return future.result(timeout)
        except TimeoutError:
            raise LedgerUnavailable(f"the ledger gave no answer within {timeout:g} s") from None

    def count(self, count: CountKey, n: int) -> None:
        """Add to a counter; never blocks. Written within about a second, or with the next group."""
        with self._lock:
            self._counts[count] += n
        if not self._closed:
            self._start()

    def close(self) -> None:
        """Write what is waiting, then let go of the connections."""
        self._closed = True
        if self._thread is not None:
            if self._pid == os.getpid():
                self._queue.put(None)
                self._thread.join()
            self._thread = None

    def _submit(self, pending: _Pending) -> None:
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        if self._pid not in (None, os.getpid()):
            # The thread stayed in the parent, and so did its chain.
            raise LedgerUnavailable("this process was forked after the ledger was first used: open one after the fork")
        if self._queue.qsize() >= self._limit:
            raise LedgerUnavailable(f"{self._limit} decisions wait to be written already")
        self._queue.put(pending)
        self._start()

    def _start(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._pid = os.getpid()
                    self._thread = threading.Thread(target=self._run, name="consent-ledger", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        stop = False
        while not stop:
            group: list[_Pending] = []
            try:
                first = self._queue.get(timeout=COUNTS_EVERY_SECONDS)
                while True:
                    if first is None:
                        stop = True
                        break
                    group.append(first)
                    if len(group) >= GROUP:
                        break
                    first = self._queue.get_nowait()
            except queue.Empty:
                pass
            self._commit(group)
        self._disconnect()
        self._key_commits.shutdown()

    def _commit(self, group: list[_Pending]) -> None:
        with self._lock:
            counts, self._counts = self._counts, collections.Counter()
        if not group and not counts:
            return
        try:
            results = self._transaction([pending.write for pending in group], counts)
        except (DatabaseError, OSError) as error:
            with self._lock:
                self._counts.update(counts)
            self._disconnect()
            if isinstance(error, Conflict) and len(group) > 1:
                # One of them can't be stored, as a second head of a day can't; its neighbours can.
                for pending in group:
                    self._commit([pending])
            else:
                _fail(group, error)
        except BaseException as error:
            self._disconnect()
            _fail(group, error)
            raise
        else:
            _resolve(group, results)

    def _transaction(self, writes: Sequence[Write], counts: collections.Counter[CountKey]) -> list[Result]:
        keys = [key for write in writes for key in write.keys]
        if keys:
            if self._keys is None:
                self._keys = self._connect_keys()
            self._keys.begin()
            self._keys.execute("add_key", [msgspec.structs.asdict(key) for key in keys])
        if self._database is None:
            self._database = self._connect()
            self._writer = self._database.claim_writer()
        database = self._database
        database.begin()
        results: list[Result] = []
        ends = dict(self._ends)
        rows: list[Parameters] = []
        beside: dict[str, list[Parameters]] = {}
        counts = collections.Counter(counts)
        for write in writes:
            counts.update(write.counts)
            result: Result = []
            for entry in write.entries:
                chain = chains.chain_of(self._writer, entry.log)
                if chain not in ends:
                    ends[chain] = chain_end(database, chain)
                    beside.setdefault("add_chain", []).append({"chain": chain, "started": int(time.time())})
                size, previous = ends[chain]
                link = chains.link(previous, entry.body)
                ends[chain] = (size + 1, link)
                rows.append(
                    {
                        "position": chains.position(chain, size),
                        "record": entry.record,
                        "revokes": int(entry.revokes),
                        "body": entry.body,
                        "hash": link,
                    }
                )
                result.append(Stored(chain, size, link.hex()))
            for name, row in write.rows:
                beside.setdefault(name, []).append(row)
            results.append(result)
        # Rows that several writers share, texts and counts, are locked in one order: else two of them wait for each
        # other, and the server refuses one.
        beside.get("add_notice", []).sort(key=lambda notice: str(notice["hash"]))
        for name, more in beside.items():
            database.execute(name, more)
        database.execute("append_entry", rows)
        counted = sorted(counts.items())
        database.execute(
            "add_count",
            [{"day": day, "what": what, "language": language, "n": n} for (day, what, language), n in counted],
        )
        # Both files are fsynced at the same time, and nobody is told before both are: an entry without its key would be
        # a proof that can't be led back to anybody.
        key_commit = self._key_commits.submit(self._keys.commit) if keys and self._keys else None
        try:
            database.commit()
        finally:
            if key_commit is not None:
                key_commit.result()
        self._ends = ends
        return results

    def _disconnect(self) -> None:
        self._ends = {}
        for database in (self._database, self._keys):
            if database is not None:
                try:
                    database.rollback()
                except DatabaseError:
                    pass
                finally:
                    database.close()
        self._database = self._keys = None


def chain_end(database: Database, chain: int) -> tuple[int, bytes]:
    """(number of entries, hash of the last) of a chain as it is stored; tombstones count."""
    first, beyond = chains.position(chain, 0), chains.position(chain + 1, 0)
    last = database.query("chain_end", {"first": first, "beyond": beyond})
    if last:
        return chains.split(last[0][0])[1] + 1, bytes(last[0][1])
    ended = database.query("last_tombstone", {"chain": chain})
    if ended:
        return int(ended[0][0]), bytes.fromhex(msgspec.json.decode(ended[0][1])["tombstone"]["hash"])
    return 0, chains.genesis(chain)


def _resolve(group: list[_Pending], results: list[Result]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Result], Result]]] = {}
    for pending, result in zip(group, results, strict=True):
        if isinstance(pending.future, concurrent.futures.Future):
            pending.future.set_result(result)
        elif pending.loop is not None:
            by_loop.setdefault(pending.loop, []).append((pending.future, result))
    for loop, answers in by_loop.items():
        _call(loop, _set_results, answers)


def _fail(group: list[_Pending], error: BaseException) -> None:
    for pending in group:
        unavailable = LedgerUnavailable(str(error))
        if isinstance(pending.future, concurrent.futures.Future):
            pending.future.set_exception(unavailable)
        elif pending.loop is not None:
            _call(pending.loop, _set_exception, (pending.future, unavailable))


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[T], None], argument: T) -> None:
    try:
        loop.call_soon_threadsafe(function, argument)
    except RuntimeError:
        # The loop was closed while its answer was under way: nobody waits for it any more.
        return


def _set_results(answers: list[tuple[asyncio.Future[Result], Result]]) -> None:
    for future, result in answers:
        if not future.done():
            future.set_result(result)


def _set_exception(answer: tuple[asyncio.Future[Result], LedgerUnavailable]) -> None:
    if not answer[0].done():
        answer[0].set_exception(answer[1])
