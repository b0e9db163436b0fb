"""Access log -> store: parsed by the engine, in pieces, so that an import resumes where it stopped and never doubles.

The lines, with their addresses, exist in memory only: they reach the engine through an anonymous file.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final, Literal

import msgspec

from analytics.ingest import checkpoint, enrich
from analytics.ingest.checkpoint import ImportState
from analytics.ingest.enrich import Explained
from analytics.ingest.logfile import Damage, LogFile
from analytics.ingest.pieces import Piece, Slot
from analytics.ingest.reading import FIRST_LINE, LANES, Reading
from analytics.store import ONE_BLOCK, Store, StoreUnavailable, open_store
from consent_middleware.lazy import UserError

Format = Literal["combined", "nginx-json", "caddy-json"]
PIECE_BYTES: Final = 56 * 1024 * 1024  # each piece has its price; three of them are held in memory
SHARED_PIECE_BYTES: Final = 8 * 1024 * 1024  # in a service, whose engine has less memory and answers questions, too
FULL: Final = 241  # the engine's code when its memory is taken by other statements
PATIENCE: Final = 60  # times that a piece waits a second for memory
MERGE_AFTER: Final = 200  # pieces: the engine slows inserts down when a month has a thousand parts
STAGED: Final = (
    "time DateTime64(3, 'UTC'), page UInt8, visitor UInt64, network UInt64, method LowCardinality(String), "
    "path LowCardinality(String), link LowCardinality(String), agent LowCardinality(String), "
    "protocol LowCardinality(String), status UInt16, bytes UInt64, duration_ms UInt32, host LowCardinality(String), "
    "language LowCardinality(String), reason LowCardinality(String), sample String"
)


class ImportSummary(msgspec.Struct):
    """What one run of an import did. `examples`: the beginning of one rejected line for each reason. `nothing`: why
    nothing was imported, "" when something was or was rejected."""

    format: str
    site: str
    lines: int = 0
    resumed_at: int = 0
    rejected: dict[str, int] = {}
    examples: dict[str, str] = {}
    damage: Damage | None = None
    nothing: str = ""


class _Wish(msgspec.Struct, frozen=True):
    """What is asked of an import."""

    site: str
    basis: str
    allowed: frozenset[str]
    format: Format | None
    again: bool
    piece_bytes: int


class _Task(msgspec.Struct, frozen=True):
    """What is to be done with each piece of a log."""

    format: Format
    site: str
    basis: str
    allowed: frozenset[str]
    salt: tuple[int, int]
    identity: str


def detect(first_line: bytes) -> Format:
    """The format of a log, by its first line."""
    if not first_line.lstrip().startswith(b"{"):
        return "combined"
    try:
        found = msgspec.json.decode(first_line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "nginx-json"
    return "caddy-json" if isinstance(found.get("request"), dict) else "nginx-json"


def import_log(
    store: Store,
    data_dir: Path,
    path: Path,
    *,
    site: str,
    basis: str,
    allowed: frozenset[str],
    format_: Format | None = None,
    again: bool = False,
    piece_bytes: int | None = None,
    ahead: Reading | None = None,
    prepare: Callable[[], None] = lambda: None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> ImportSummary:
    """Import what is new in a log. `on_progress` gets the bytes read of the file on disk. Raises UserError.

    A log is known again by its text, whatever its name and compression; what was imported of it is skipped, and
    `again` lets another site have it too. Of a log that is damaged, the whole lines before the damage are imported, and
    `damage` says what is wrong. `ahead`: the log, where its reading began before; who began it closes it. `prepare`
    makes the store ready while the first lines are parsed; before it is done nothing is recorded and no row is
    inserted, and what it raises is raised here.
    """
    if not store.embedded:
        raise UserError("an import needs the embedded engine on this machine; import here, then move the rows")
    alone = store.alone  # asked before each lane opens it once more
    size = piece_bytes or (PIECE_BYTES if alone else SHARED_PIECE_BYTES)
    wish = _Wish(site, basis, allowed, format_, again, size)

    def prepared() -> None:
        prepare()
        if alone:
            # What an import writes is merged once, behind it, by whoever has the store open then, and not again and
            # again. Not in a service: an erasure waits until the engine merges.
            store.command("SYSTEM STOP MERGES events")

    with ThreadPoolExecutor(LANES + 2) as threads:
        preparing = threads.submit(prepared)
        try:
            return _import(store, data_dir, path, wish, ahead, on_progress, threads, preparing)
        finally:
            preparing.result()  # what is wrong here is said first, whatever else went wrong
            if alone:
                store.command("SYSTEM START MERGES events")


def _import(
    store: Store,
    data_dir: Path,
    path: Path,
    wish: _Wish,
    ahead: Reading | None,
    on_progress: Callable[[int], None],
    threads: ThreadPoolExecutor,
    preparing: Future[None],
) -> ImportSummary:
    first = ahead.first_line if ahead else b""
    if not first.strip():
        ahead = None
        with LogFile(path) as look:
            first = look.first_line(FIRST_LINE)
            if not first.strip():
                nothing = "there is no line in it"
                return ImportSummary(wish.format or "combined", wish.site, damage=look.damage, nothing=nothing)
    chosen = wish.format or detect(first)
    folder = Path(data_dir) / "imports"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    checkpoint.destroy_old_salts(data_dir)
    known = checkpoint.resume(folder, path, ImportState(checkpoint.identity(first), wish.site), again=wish.again)
    state = known.state
    summary = ImportSummary(chosen, wish.site, resumed_at=state.offset, nothing=known.nothing)
    if known.nothing:
        known.log.close()
        return summary
    state.salt, state.salted = state.salt or (secrets.randbits(64), secrets.randbits(64)), state.salted or time.time()
    task = _Task(chosen, wish.site, wish.basis, wish.allowed, state.salt, state.identity)
    if ahead is None or state.offset or state.sending:  # it goes on where an earlier import stopped
        reading = Reading(known.log, known.marks, wish.piece_bytes, [length for length, _ in state.sending])
    else:
        known.log.close()
        reading = ahead
    log = reading.log
    try:
        with _lanes(store, data_dir, task) as lanes:
            threads.submit(enrich.warm)
            with _Run(lanes, threads, preparing, folder, state, summary, task) as run:
                while (piece := reading.next()) is not None:
                    if len(run.sent) == LANES:
                        reading.give_back(run.settle())
                        on_progress(log.position)
                    run.send(piece)
                while run.sent:
                    run.settle()
    finally:
        reading.close()
    summary.damage = log.damage
    if not log.damage:
        state.salt = None  # from here on nobody can compute a key from an address
        checkpoint.write(folder, state)
    if not summary.lines and not summary.rejected and not log.damage:
        summary.nothing = (
            f"all of it was imported before: {state.lines:,} lines"
            if summary.resumed_at
            else "it has no whole line yet"
        )
    return summary


@contextlib.contextmanager
def _lanes(store: Store, data_dir: Path, task: _Task) -> Iterator[list[tuple[Store, Explained]]]:
    """Two ways into the store, and what is known of the values on each."""
    with contextlib.ExitStack() as stack:
        lanes = []
        for number in range(LANES):
            lane = stack.enter_context(open_store(f"chdb://{store.folder}", data_dir, migrate=False))
            explained = Explained(lane, number, task.site, task.allowed)
            stack.callback(explained.forget, lane)
            lanes.append((lane, explained))
        yield lanes


class _Run:
    """Pieces on their way into the store, the oldest first. Who leaves it early lets none of them in any more."""

    def __init__(
        self,
        lanes: Sequence[tuple[Store, Explained]],
        threads: ThreadPoolExecutor,
        preparing: Future[None],
        folder: Path,
        state: ImportState,
        summary: ImportSummary,
        task: _Task,
    ) -> None:
        self.sent: deque[tuple[Piece, Future[dict[str, tuple[int, str]]]]] = deque()
        self._waiting: deque[Future[None]] = deque()  # of pieces that may not be inserted before they are recorded
        self._lanes, self._threads, self._preparing, self._folder = lanes, threads, preparing, folder
        self._state, self._summary, self._task = state, summary, task

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *exception: object) -> None:
        for recorded in self._waiting:
            recorded.cancel()
        wait([future for _, future in self.sent])

    def send(self, piece: Piece) -> None:
        """Start on a piece."""
        number = self._state.pieces + len(self.sent)
        store, explained = self._lanes[number % LANES]
        if number >= MERGE_AFTER:
            store.command("SYSTEM START MERGES events")
        recorded: Future[None] = Future()
        self._waiting.append(recorded)
        future = self._threads.submit(_import_piece, store, piece.slot.path, number, self._task, explained, recorded)
        self.sent.append((piece, future))
        if len(self.sent) == LANES or self._preparing.done():
            self._record()

    def _record(self) -> None:
        """Record the pieces that wait for it, so that a repetition sends the same bytes even when the log grew."""
        self._preparing.result()
        state = self._state
        new = [(piece.length, piece.checksum) for piece, _ in list(self.sent)[len(state.sending) :]]
        if new:  # the others were recorded by the import that goes on here
            state.sending.extend(new)
            checkpoint.write(self._folder, state)
        while self._waiting:
            self._waiting.popleft().set_result(None)

    def settle(self) -> Slot:
        """Wait for the oldest piece and record that it is in the store."""
        self._record()
        piece, future = self.sent.popleft()
        state, summary = self._state, self._summary
        for reason, (count, sample) in future.result().items():
            if reason:
                state.rejected[reason] = state.rejected.get(reason, 0) + count
                summary.rejected[reason] = summary.rejected.get(reason, 0) + count
                summary.examples.setdefault(reason, sample)
            else:
                state.lines += count
                summary.lines += count
        state.offset += piece.length
        state.checksum = piece.checksum
        state.every, state.marks = piece.every, piece.marks
        state.sending.pop(0)
        state.pieces += 1
        checkpoint.write(self._folder, state)
        return piece.slot


def _import_piece(
    store: Store, path: str, number: int, task: _Task, explained: Explained, recorded: Future[None]
) -> dict[str, tuple[int, str]]:
    """Insert one piece; lines, with an example, by the reason for their rejection, "" for none.

    It begins again when the engine has no memory left, because questions have it: its token keeps it from doubling.
    """
    for _ in range(PATIENCE):
        try:
            return _insert(store, path, number, task, explained, recorded)
        except StoreUnavailable as error:
            if error.code != FULL:
                raise
            time.sleep(1)
    return _insert(store, path, number, task, explained, recorded)


def _insert(
    store: Store, path: str, number: int, task: _Task, explained: Explained, recorded: Future[None]
) -> dict[str, tuple[int, str]]:
    # Only a query with an allowed parameter is looked at; all others are one value, the empty one.
    wanted = [f"{name}=" for name in sorted(task.allowed)] or ["\0"]
    store.command(f"CREATE OR REPLACE TABLE {explained.staged} ({STAGED}) ENGINE = Memory")
    store.command(
        store.sql("stage_lines").replace("${parse}", store.sql(f"parse_{task.format.replace('-', '_')}")),
        {
            "staged": explained.staged,
            "log": path,
            "salt_a": task.salt[0],
            "salt_b": task.salt[1],
            "wanted": wanted,
        },
        max_threads=1,  # another piece has the other core; threads of one query copy the text once more,
        input_format_parallel_parsing=0,  # and so does a thread that looks for the ends of its lines
    )
    reasons = explained.learn(store)
    recorded.result()
    if "" not in reasons:
        return reasons
    store.command(
        store.sql("insert_imported"),
        {
            "staged": explained.staged,
            "agents": explained.dictionaries["agent"].name,
            "sources": explained.dictionaries["link"].name,
            "countries": explained.dictionaries["network"].name,
            "site": task.site,
            "basis": task.basis,
        },
        insert_deduplication_token=f"import:{task.identity}:{number}",
        **ONE_BLOCK,
        max_threads=1,
    )
    return reasons
