"""Access log -> store: parsed by the engine, in pieces, so that an import resumes where it stopped and never doubles.

The lines, with their addresses, exist in memory only: they reach the engine through an anonymous file.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, Literal

import msgspec

from analytics.ingest import checkpoint, enrich
from analytics.ingest.checkpoint import ImportState
from analytics.ingest.enrich import Explained
from analytics.ingest.logfile import Damage, LogFile
from analytics.ingest.pieces import Piece, Slot
from analytics.ingest.reading import FIRST_LINE, LANES, Reading
from analytics.store import ONE_BLOCK, Store, open_store
from consent_middleware.lazy import UserError

Format = Literal["combined", "nginx-json", "caddy-json"]
PIECE_BYTES: Final = 48 * 1024 * 1024  # each piece has its price; three of them are held in memory
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
    piece_bytes: int = PIECE_BYTES,
    ahead: Reading | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> ImportSummary:
    """Import what is new in a log. `on_progress` gets the bytes read of the file on disk. Raises UserError.

    A log is known again by its text, whatever its name and compression; what was imported of it is skipped, and
    `again` lets another site have it too. Of a log that is damaged, the whole lines before the damage are imported, and
    `damage` says what is wrong. `ahead`: the log, where its reading began before; who began it closes it.
    """
    if not store.embedded:
        raise UserError("an import needs the embedded engine on this machine; import here, then move the rows")
    first = ahead.first_line if ahead else b""
    if not first.strip():
        ahead = None
        with LogFile(path) as look:
            first = look.first_line(FIRST_LINE)
            if not first.strip():
                return ImportSummary(format_ or "combined", site, damage=look.damage, nothing="there is no line in it")
    chosen = format_ or detect(first)
    folder = Path(data_dir) / "imports"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    checkpoint.destroy_old_salts(data_dir)
    known = checkpoint.resume(folder, path, ImportState(checkpoint.identity(first), site), again=again)
    state = known.state
    summary = ImportSummary(chosen, site, resumed_at=state.offset, nothing=known.nothing)
    if known.nothing:
        known.log.close()
        return summary
    state.salt, state.salted = state.salt or (secrets.randbits(64), secrets.randbits(64)), state.salted or time.time()
    task = _Task(chosen, site, basis, allowed, state.salt, state.identity)
    if ahead is None or state.offset or state.sending:  # it goes on where an earlier import stopped
        reading = Reading(known.log, known.marks, piece_bytes, [length for length, _ in state.sending])
    else:
        known.log.close()
        reading = ahead
    log = reading.log
    explained = [Explained(store, lane, site, allowed) for lane in range(LANES)]
    try:
        with (
            _merging_later(store),
            open_store(f"chdb://{store.folder}", data_dir, migrate=False) as second,
            ThreadPoolExecutor(LANES + 1) as threads,
        ):
            threads.submit(enrich.warm)
            lanes = list(zip((store, second), explained, strict=True))
            run = _Run(lanes, threads, folder, state, summary, task)
            while (piece := reading.next()) is not None:
                if len(run.sent) == LANES:
                    reading.give_back(run.settle())
                    on_progress(log.position)
                run.send(piece)
            while run.sent:
                run.settle()
    finally:
        reading.close()
        for one in explained:
            one.forget(store)
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


class _Run:
    """Pieces on their way into the store, the oldest first."""

    def __init__(
        self,
        lanes: Sequence[tuple[Store, Explained]],
        threads: ThreadPoolExecutor,
        folder: Path,
        state: ImportState,
        summary: ImportSummary,
        task: _Task,
    ) -> None:
        self.sent: deque[tuple[Piece, Future[dict[str, tuple[int, str]]]]] = deque()
        self._lanes, self._threads, self._folder = lanes, threads, folder
        self._state, self._summary, self._task = state, summary, task

    def send(self, piece: Piece) -> None:
        """Record a piece, so that a repetition sends the same bytes even when the log grew, and start on it."""
        number = self._state.pieces + len(self.sent)
        if len(self.sent) == len(self._state.sending):  # otherwise it was recorded by the import that goes on here
            self._state.sending.append((piece.length, piece.checksum))
            checkpoint.write(self._folder, self._state)
        store, explained = self._lanes[number % LANES]
        if number >= MERGE_AFTER:
            store.command("SYSTEM START MERGES events")
        future = self._threads.submit(_import_piece, store, piece.slot.path, number, self._task, explained)
        self.sent.append((piece, future))

    def settle(self) -> Slot:
        """Wait for the oldest piece and record that it is in the store."""
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


@contextlib.contextmanager
def _merging_later(store: Store) -> Iterator[None]:
    """What an import writes is merged once, behind it, by whoever has the store open then, and not again and again.

    Not in a service: an erasure waits until the engine merges.
    """
    if not store.alone:
        yield
        return
    store.command("SYSTEM STOP MERGES events")
    try:
        yield
    finally:
        store.command("SYSTEM START MERGES events")


def _import_piece(
    store: Store, path: str, number: int, task: _Task, explained: Explained
) -> dict[str, tuple[int, str]]:
    """Parse, explain and insert one piece; lines, with an example, by the reason for their rejection, "" for none."""
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
