"""The one door from the web into analytics: durable append-only segments on local disk.

Each worker has a folder of its own, made at its first append (so after any fork), and an flock on `owner.lock` that
tells the loader whether it lives. A segment is three files:

    00000001.rows      one JSON array a line, in the order of visit.SPOOL_COLUMNS: the engine reads it by itself;
                       while it is open, zeros follow the last line
    00000001.blocks    a header with boot id and time; a line per block: end offset, rows, CRC-32; "end" when closed
    00000001.control   JSON lines: erase, restrict, unrestrict, object, export, correct

A row is copied into the page cache before `append` returns (the file is mapped into memory), so it survives `kill -9`.
A thread syncs the data and then writes and syncs the block's line, at once when someone waits for it (group commit) and
every second otherwise. Where rows come in fast they go on in another segment meanwhile, which that thread keeps ready:
whoever writes into a page that is being synced may have to wait for the disk. What lies behind the last block is
believed up to its last newline as long as the machine did not restart in between.
Room on the disk is reserved before it is mapped: a full disk is an error, and no signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

import msgspec

from consent_middleware.open_segment import MAX_CHUNK_BYTES, OpenSegment, sync_folder, write_whole
from consent_middleware.spool_values import Control, Kind, SpoolLimits
from consent_middleware.waiters import SpoolFull as SpoolFull
from consent_middleware.waiters import Waiter, tell

log = logging.getLogger("consent_middleware")

BUSY_BYTES: Final = 256 * 1024  # that came since the last sync: the next ones go into another segment
# Where a file system copies on write, even reserved room can end: the last of the disk is not for us.
SPARE_BYTES: Final = 16 * 1024 * 1024
SPARE_SHARE: Final = 100  # a hundredth of a small disk


class Spool:
    """Rows in, segments out. One instance a process; safe to call from any thread.

    `append` never raises and never waits for the disk; `append_durable` returns after fsync or raises SpoolFull.
    """

    def __init__(
        self, folder: Path, limits: SpoolLimits | None = None, *, now: Callable[[], float] = time.time
    ) -> None:
        self.folder = Path(folder)
        self.limits = limits or SpoolLimits()
        self._block_bytes = min(self.limits.block_bytes, self.limits.segment_bytes)
        self._now = now
        self._reset()
        _spools.add(self)

    def _reset(self) -> None:
        """As if nothing was ever appended: also after a fork, in the child."""
        self._lock = threading.Lock()
        self._syncing = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._wake = threading.Event()
        self._segment: OpenSegment | None = None
        self._ready: OpenSegment | None = None  # the next one, with all its pages
        self._left: list[OpenSegment] = []  # not synced yet, but no row goes into them any more
        self._owner: IO[bytes] | None = None
        self._own: Path | None = None
        self._syncer: threading.Thread | None = None
        self._number = 0
        self._waiting: list[Waiter] = []
        self._room = self.limits.total_bytes  # bytes that may still go in, behind `counted` of the open segment
        self._closing = False
        self._rows = 0  # in the segments that were left
        self.dropped = 0

    @property
    def worker_folder(self) -> Path | None:
        """This worker's folder, once something was appended."""
        return self._own

    @property
    def appended(self) -> int:
        """How many rows were taken."""
        segment = self._segment
        return self._rows + (segment.rows if segment is not None else 0)

    def append(self, row: bytes) -> bool:
        """Write one encoded row (no newline) to the segment. False, and counted, when it could not be kept."""
        return self.append_line(row + b"\n")

    async def append_durable(self, row: bytes) -> None:
        """Append and wait until the row is fsynced. Raises SpoolFull."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if not self.append_line(row + b"\n", (loop, future)):
            raise SpoolFull
        self._wake.set()
        await future

    def append_line(self, line: bytes, waiter: Waiter | None = None) -> bool:
        """The same with the newline in place. A waiter hears of it when the row was synced."""
        with self._lock:
            segment = self._segment
            if segment is None or segment.end + len(line) > segment.limit:
                try:
                    segment = self._make_room(len(line))
                except (OSError, SpoolFull):
                    self.dropped += 1
                    return False
            end = segment.end + len(line)
            segment.map[segment.end : end] = line
            segment.end = end
            segment.rows += 1
            if waiter is not None:  # under the same lock: the sync that takes the row takes the waiter too
                self._waiting.append(waiter)
        return True

    def _make_room(self, size: int) -> OpenSegment:
        """The open segment, with room for a row. Raises SpoolFull, or OSError when the disk says so."""
        if self._room < size:
            raise SpoolFull
        segment = self._segment
        if segment is not None and self._ready is not None and size <= self._ready.mapped:
            self._leave(segment)
            self._wake.set()
            segment = None
        segment = segment or self._open_segment()
        if self._count(segment) < size:  # of the first row it is known only now
            raise SpoolFull
        if segment.end + size > segment.mapped:
            segment.extend(size)
        if segment.end + size - segment.synced >= self._block_bytes:
            self._wake.set()
        self._set_limit(segment, size)
        return segment

    def _count(self, segment: OpenSegment) -> int:
        """Take off the room what went into the open segment; what is left."""
        self._room -= segment.end - segment.counted
        segment.counted = segment.end
        return self._room

    def _set_limit(self, segment: OpenSegment, size: int = 0) -> None:
        """How far rows may go in before somebody has to look again: room, mapped pages, the end of a block."""
        block_end = max(segment.synced + self._block_bytes, segment.end + size)
        segment.limit = min(segment.end + self._room, segment.mapped, block_end)

    async def control(self, kind: Kind, visitor: int, ticket: str, text: str = "") -> None:
        """Ask the loader about one visitor; durable on return. Works when the spool is full: rights are no events."""
        record = Control(kind, visitor, ticket, int(self._now() * 1000), text)
        await asyncio.to_thread(self._control, msgspec.json.encode(record) + b"\n")

    def _control(self, line: bytes) -> None:
        self.sync()  # a copy holds every row that this worker took before it was asked for, however slow the disk is
        with self._lock:
            segment = self._segment or self._open_segment()
            segment.controls = True
            fd = os.open(segment.path.with_suffix(".control"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                size = os.fstat(fd).st_size
                try:
                    write_whole(fd, line)
                except OSError:  # the disk is full: half a record would spoil the next one
                    os.ftruncate(fd, size)
                    raise
                os.fsync(fd)
            finally:
                os.close(fd)
            sync_folder(segment.path.parent)

    def _open_segment(self) -> OpenSegment:
        if self._own is None:
            _spools.add(self)
            self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            self._take_stock(self._measure())
            self._own, self._owner = self._claim()
            self._syncer = threading.Thread(target=self._sync_for_ever, name="spool", daemon=True)
            self._syncer.start()
        segment, self._ready = self._ready, None
        if segment is None:
            self._number += 1
            segment = OpenSegment(self._own, self._number)
        segment.born = time.monotonic()
        self._set_limit(segment)
        self._segment = segment
        return segment

    def _claim(self) -> tuple[Path, IO[bytes]]:
        """A folder that has its name only once its lock is held: the loader never sees it without an owner."""
        own = self.folder / f"w{os.getpid()}-{secrets.token_hex(4)}"
        making = own.with_name(f".{own.name}")
        making.mkdir(mode=0o700)
        owner = (making / "owner.lock").open("wb")
        try:
            fcntl.flock(owner, fcntl.LOCK_EX)
            making.rename(own)
            if not os.path.samestat(os.fstat(owner.fileno()), (own / "owner.lock").stat()):
                raise FileNotFoundError(own)
            sync_folder(self.folder)
            sync_folder(self.folder.parent)
        except OSError:  # the loader took it for a leftover: the next row tries again
            owner.close()
            raise
        return own, owner

    def _sync_for_ever(self) -> None:
        measured = synced = time.monotonic()
        while not self._closing:
            self._wake.wait(self.limits.sync_seconds)
            self._wake.clear()
            try:
                due = time.monotonic() - synced >= self.limits.sync_seconds
                with self._syncing:
                    self._sync(due=due)
                if due:
                    synced = time.monotonic()
                if time.monotonic() - measured >= self.limits.sync_seconds:
                    room = self._measure()
                    with self._lock:
                        self._take_stock(room)
                    measured = time.monotonic()
            except Exception:  # this thread is the only one who makes rows durable
                log.exception("the spool could not be looked after; it is tried again")

    def sync(self) -> None:
        """Make all rows durable, write their block, close the segment when it is large or old, tell who waits."""
        with self._syncing:
            self._sync(due=True)

    def _sync(self, *, due: bool) -> None:
        """Make the rows of the segments that were left durable; those of the open one when it is due or awaited."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            segment = self._segment
            # A full block is due too, where no segment lay ready for its next rows.
            due = due or bool(waiting) or (segment is not None and segment.end - segment.synced >= self._block_bytes)
            if segment is not None and self._is_over(segment, due=due):
                self._leave(segment)
                if self._ready is not None and not self._closing:
                    self._open_segment()
            left, self._left = self._left, []
            segment = self._segment if due else None
            end, rows = (segment.end, segment.rows) if segment is not None else (0, 0)
        came = sum(gone.end - gone.synced for gone in left)
        error: Exception | None = None
        for gone in left:
            failure = gone.write_block(gone.end, gone.rows, last=True)
            error = error or failure
            with contextlib.suppress(OSError):  # the rows are safe, and the loader can do without an end
                gone.close(whole=failure is None)
        if segment is not None:
            came += end - segment.synced
            failure = segment.write_block(end, rows)
            error = error or failure
            if failure is not None:
                with self._lock:  # nothing more goes into a segment whose blocks are uncertain
                    if self._segment is segment:
                        self._leave(segment)
                    self._left.remove(segment)  # a later sync that succeeds would prove nothing
                    waiting += self._waiting  # of rows that came meanwhile: no later sync covers them
                    self._waiting = []
                with contextlib.suppress(OSError):
                    segment.close(whole=False)
        tell(waiting, error)
        self._prepare(came)

    def _is_over(self, segment: OpenSegment, *, due: bool) -> bool:
        return (
            segment.end >= self.limits.segment_bytes
            or time.monotonic() - segment.born >= self.limits.segment_seconds
            or self._closing
            or (due and self._ready is not None and segment.end - segment.synced >= BUSY_BYTES)
        )  # an empty one too: it would be the oldest one day, and stop all workers

    def _leave(self, segment: OpenSegment) -> None:
        """The next row goes into another segment. Under the lock."""
        self._count(segment)
        self._rows += segment.rows
        self._segment = None
        self._left.append(segment)

    def _prepare(self, came: int) -> None:
        """Make the pages that the next rows need, so that no row has to wait for it. `came`: bytes in the last sync."""
        segment, own = self._segment, self._own
        if self._ready is None and own is not None and not self._closing:
            with contextlib.suppress(OSError):  # a full disk: the row that does not fit says so
                if came >= BUSY_BYTES or self._ages(segment):
                    self._make_ready(own, min(2 * came, self._block_bytes))
                elif segment is not None and segment.mapped - segment.end < min(segment.mapped, MAX_CHUNK_BYTES) // 2:
                    segment.extend_ahead(self._lock)
        with self._lock:
            if self._segment is not None:
                self._count(self._segment)
                self._set_limit(self._segment)

    def _ages(self, segment: OpenSegment | None) -> bool:
        """The segment holds rows, and is going to be closed before long."""
        if segment is None or not segment.rows:
            return False
        return time.monotonic() - segment.born >= self.limits.segment_seconds - 2 * self.limits.sync_seconds

    def _make_ready(self, own: Path, size: int) -> None:
        """The next segment, with room for `size` bytes. Raises OSError."""
        with self._lock:
            self._number = number = self._number + 1
        segment = OpenSegment(own, number)
        unused = True
        try:
            segment.fill(size)
            with self._lock:
                if number == self._number:  # else a row could not wait, and this one would be out of order
                    self._ready, unused = segment, False
        finally:
            if unused:
                segment.close()

    def _measure(self) -> int:
        """How much room is left beside the open segment: from all workers' segments, the oldest one's age, the disk."""
        total, oldest = 0, self._now()
        ours = [segment.path.as_posix() for segment in (self._segment, self._ready) if segment is not None]
        for worker in _entries(self.folder):
            for entry in _entries(Path(worker.path)) if worker.is_dir() else ():
                if entry.name.endswith(".rows"):
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat()
                        if entry.path not in ours:
                            total += status.st_size
                        oldest = min(oldest, status.st_mtime)
        if self._now() - oldest > self.limits.oldest_seconds:
            return 0
        with contextlib.suppress(OSError):
            disk = os.statvfs(self.folder)
            if disk.f_bavail * disk.f_frsize < min(SPARE_BYTES, disk.f_blocks * disk.f_frsize // SPARE_SHARE):
                return 0
        return self.limits.total_bytes - total

    def _take_stock(self, room: int) -> None:
        """Believe a measurement, which left the open segment out."""
        segment = self._segment
        self._room = room
        if segment is not None:
            segment.counted = 0
            self._count(segment)
            self._set_limit(segment)

    def close(self) -> None:
        """Sync, close the segment, and give the folder to the loader."""
        self._closing = True
        self._wake.set()
        if self._syncer is not None:
            self._syncer.join()
        self.sync()
        with self._syncing, self._lock:
            if self._segment is not None:  # what came after the sync has no block: the loader looks for it
                self._segment.close(whole=not self._segment.end)
            if self._ready is not None:
                self._ready.close()
            tell(self._waiting, OSError("the spool was closed"))
            if self._owner is not None:
                self._owner.close()
            self._begin()
            _spools.discard(self)


_spools: set[Spool] = set()  # until they are closed


def _after_fork() -> None:
    """A child writes into a folder of its own, and holds neither the locks nor the threads of its parent."""
    for spool in _spools:
        spool._reset()


os.register_at_fork(after_in_child=_after_fork)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
