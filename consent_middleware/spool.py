"""The one door from the web into analytics: durable append-only segments on local disk.

Each worker has a folder of its own, made at its first append (so after any fork), and an flock on `owner.lock` that
tells the loader whether it lives. A segment is three files:

    00000001.rows      one JSON array a line, in the order of visit.SPOOL_COLUMNS: the engine reads it by itself
    00000001.blocks    a header with boot id and time; a line per block: end offset, rows, CRC-32; "end" when closed
    00000001.control   JSON lines: erase, restrict, unrestrict, object, export, correct

A row is written to the page cache before `append` returns, so it survives `kill -9`. A thread syncs the data and then
writes and syncs the block's line, at once when someone waits for it (group commit) and every second otherwise. What
lies behind the last block is believed up to its last newline as long as the machine did not restart in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import secrets
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final, Literal

import msgspec

# Looked up once: each is asked for on every page view.
_getpid, _write, _crc32 = os.getpid, os.write, zlib.crc32
BOOT_ID_FILE: Final = Path("/proc/sys/kernel/random/boot_id")
Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]
Kind = Literal["erase", "restrict", "unrestrict", "object", "export", "correct"]


class SpoolFull(Exception):
    """The limits of the spool are reached; the oldest undelivered data is kept and new events are refused."""


class SpoolLimits(msgspec.Struct, frozen=True):
    """When to close a segment, and when to refuse new rows. Bytes and seconds."""

    total_bytes: int = 1024 * 1024 * 1024
    oldest_seconds: float = 14 * 86_400
    segment_bytes: int = 32 * 1024 * 1024
    segment_seconds: float = 30.0  # rows leave the spool soon after they were loaded, which erasure relies on
    block_bytes: int = 1024 * 1024
    sync_seconds: float = 1.0


class Control(msgspec.Struct, frozen=True):
    """What the loader is asked to do about one visitor. `visitor` is the visitor's key, never the cookie."""

    kind: Kind
    visitor: int
    ticket: str
    time: int  # ms; an erasure covers rows up to this time
    text: str = ""


def boot_id() -> str:
    """Changes when the machine restarts: only then may the page cache have been lost."""
    try:
        return BOOT_ID_FILE.read_text().strip()
    except OSError:
        return f"boot-{int(time.time() - time.monotonic()) // 60}"


class _Segment:
    """The open segment of one worker."""

    __slots__ = ("blocks_fd", "born", "checksum", "controls", "end", "path", "rows", "rows_fd", "synced")

    def __init__(self, folder: Path, number: int) -> None:
        self.path = folder / f"{number:08d}.rows"
        self.born = time.monotonic()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self.rows_fd = os.open(self.path, flags, 0o600)
        try:
            self.blocks_fd = os.open(self.path.with_suffix(".blocks"), flags, 0o600)
            try:
                _write_whole(self.blocks_fd, f"segment 1 {boot_id()} {time.time():.3f}\n".encode())
            except OSError:
                os.close(self.blocks_fd)
                raise
        except OSError:  # every row asks again as long as the disk is full: nothing may be left behind
            os.close(self.rows_fd)
            for suffix in (".rows", ".blocks"):
                self.path.with_suffix(suffix).unlink(missing_ok=True)
            raise
        self.end = self.synced = 0
        self.rows = self.checksum = 0  # of the block that is being filled
        self.controls = False
        folder_fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(folder_fd)
        finally:
            os.close(folder_fd)

    def close(self) -> None:
        os.write(self.blocks_fd, b"end\n")
        os.close(self.rows_fd)
        os.close(self.blocks_fd)


class Spool:
    """Rows in, segments out. One instance a process; safe to call from any thread.

    `append` never raises and never waits for the disk; `append_durable` returns after fsync or raises SpoolFull.
    """

    def __init__(
        self, folder: Path, limits: SpoolLimits | None = None, *, now: Callable[[], float] = time.time
    ) -> None:
        self.folder = Path(folder)
        self.limits = limits or SpoolLimits()
        self._block_bytes = self.limits.block_bytes
        self.dropped = 0
        self.appended = 0
        self._now = now
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._segment: _Segment | None = None
        self._owner: IO[bytes] | None = None
        self._own: Path | None = None
        self._thread: threading.Thread | None = None
        self._number = 0
        self._waiting: list[Waiter] = []
        self._room = self.limits.total_bytes
        self._closing = False
        self.dropped = self.appended = 0

    @property
    def worker_folder(self) -> Path | None:
        """This worker's folder, once something was appended."""
        return self._own

    @property
    def full(self) -> bool:
        return self._room <= 0

    def append(self, row: bytes) -> bool:
        """Write one encoded row (no newline) to the segment. False, and counted, when it could not be kept."""
        return self._append(row + b"\n", None)

    async def append_durable(self, row: bytes) -> None:
        """Append and wait until the row is fsynced. Raises SpoolFull."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if not self._append(row + b"\n", (loop, future)):
            raise SpoolFull
        self._wake.set()
        await future

    def _append(self, line: bytes, waiter: Waiter | None) -> bool:
        if _getpid() != self._pid:
            self._reset()
        size = len(line)
        with self._lock:
            try:
                if self._room < size:
                    raise SpoolFull
                segment = self._segment or self._open_segment()
                if self._room < size:  # known only now, when this is the first row
                    raise SpoolFull
                written = _write(segment.rows_fd, line)
                if written != size:  # the disk is full: take the half line back
                    os.ftruncate(segment.rows_fd, segment.end)
                    raise SpoolFull
            except (OSError, SpoolFull):
                self.dropped += 1
                return False
            segment.checksum = _crc32(line, segment.checksum)
            segment.end = end = segment.end + size
            segment.rows += 1
            self._room -= size
            self.appended += 1
            if waiter is not None:  # under the same lock: the sync that takes the row takes the waiter too
                self._waiting.append(waiter)
            if end - segment.synced >= self._block_bytes:
                self._wake.set()
        return True

    async def control(self, kind: Kind, visitor: int, ticket: str, text: str = "") -> None:
        """Ask the loader about one visitor; durable on return. Works when the spool is full: rights are no events."""
        record = Control(kind, visitor, ticket, int(self._now() * 1000), text)
        await asyncio.to_thread(self._control, msgspec.json.encode(record) + b"\n")

    def _control(self, line: bytes) -> None:
        if os.getpid() != self._pid:
            self._reset()
        with self._lock:
            segment = self._segment or self._open_segment()
            segment.controls = True
            fd = os.open(segment.path.with_suffix(".control"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                size = os.fstat(fd).st_size
                try:
                    _write_whole(fd, line)
                except OSError:  # the disk is full: half a record would spoil the next one
                    os.ftruncate(fd, size)
                    raise
                os.fsync(fd)
            finally:
                os.close(fd)
            _sync_folder(segment.path.parent)

    def _open_segment(self) -> _Segment:
        if self._own is None:
            self._measure()
            own = self.folder / f"w{os.getpid()}-{secrets.token_hex(4)}"
            own.mkdir(parents=True, mode=0o700)
            self._owner = (own / "owner.lock").open("wb")
            fcntl.flock(self._owner, fcntl.LOCK_EX)
            self._own = own
            self._thread = threading.Thread(target=self._sync_for_ever, name="spool", daemon=True)
            self._thread.start()
        self._number += 1
        self._segment = _Segment(self._own, self._number)
        return self._segment

    def _sync_for_ever(self) -> None:
        measured = time.monotonic()
        while not self._closing:
            self._wake.wait(self.limits.sync_seconds)
            self._wake.clear()
            self.sync()
            if time.monotonic() - measured >= self.limits.sync_seconds:
                self._measure()
                measured = time.monotonic()

    def sync(self) -> None:
        """Make all rows durable, write their block, close the segment when it is large or old, tell who waits."""
        with self._lock:
            segment = self._segment
            waiting, self._waiting = self._waiting, []
            if segment is None:
                return
            end, rows, checksum = segment.end, segment.rows, segment.checksum
            if rows:
                segment.rows = segment.checksum = 0
            closing = (bool(end) or segment.controls) and (
                end >= self.limits.segment_bytes
                or time.monotonic() - segment.born >= self.limits.segment_seconds
                or self._closing
            )
            if closing:
                self._segment = None
        error: OSError | None = None
        try:
            if rows:
                os.fdatasync(segment.rows_fd)
                _write_whole(segment.blocks_fd, b"%d %d %08x\n" % (end, rows, checksum))
                os.fdatasync(segment.blocks_fd)
                segment.synced = end
            if closing:
                segment.close()
        except OSError as failure:
            error = failure
            with self._lock:  # nothing more goes into a segment whose blocks are uncertain
                if self._segment is segment:
                    self._segment = None
        by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for loop, future in waiting:
            by_loop.setdefault(loop, []).append(future)
        for loop, futures in by_loop.items():
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, futures, error)

    def _measure(self) -> None:
        """How much room is left: bytes of all workers' segments against the limit, and the oldest one's age."""
        total, oldest = 0, self._now()
        for worker in _entries(self.folder):
            for entry in _entries(Path(worker.path)) if worker.is_dir() else ():
                if entry.name.endswith(".rows"):
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat()
                        total += status.st_size
                        oldest = min(oldest, status.st_mtime)
        too_old = self._now() - oldest > self.limits.oldest_seconds
        self._room = 0 if too_old else self.limits.total_bytes - total

    def close(self) -> None:
        """Sync, close the segment, and give the folder to the loader."""
        if os.getpid() != self._pid:
            return
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self.sync()
        with self._lock:
            if self._segment is not None:
                self._segment.close()
                self._segment = None
        if self._owner is not None:
            self._owner.close()
        self._reset()


def _settle(futures: list[asyncio.Future[None]], error: OSError | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(SpoolFull(str(error)))


def _write_whole(fd: int, data: bytes) -> None:
    """Raises OSError when the disk took only a part."""
    if os.write(fd, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
