"""The segment that one worker writes into: three files, of which the one with the rows is mapped into memory."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import threading
import time
import zlib
from pathlib import Path
from typing import Final

CHUNK_BYTES: Final = 64 * 1024  # of a new segment, which doubles from there
MAX_CHUNK_BYTES: Final = 1024 * 1024
URGENT_BYTES: Final = 256 * 1024  # at once, when a row has to wait for it
STEP_BYTES: Final = 64 * 1024  # of work during which all other threads of the process may have to stand still
REST_S: Final = 0.0002  # between two steps: without it the thread that stood still may come too late to run
_POPULATE_WRITE: Final = 23  # MADV_POPULATE_WRITE: the faults of new pages happen now, and in one go
_ZEROS: Final = bytes(CHUNK_BYTES)
MAX_VECTORS: Final = 1024  # IOV_MAX of Linux and macOS
BOOT_ID_FILE: Final = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Changes when the machine restarts: only then may the page cache have been lost."""
    try:
        return BOOT_ID_FILE.read_text().strip()
    except OSError:
        return f"boot-{int(time.time() - time.monotonic()) // 60}"


class OpenSegment:
    """The open segment of one worker."""

    __slots__ = (
        *("blocks_fd", "born", "controls", "counted", "end", "flushed", "limit", "map", "mapped", "path", "reserved"),
        *("rows", "rows_fd", "synced", "synced_rows"),
    )

    def __init__(self, folder: Path, number: int) -> None:
        self.path = folder / f"{number:08d}.rows"
        self.born = time.monotonic()
        self.end = self.synced = self.counted = 0  # offsets: of the rows, of the blocks, of what was taken off the room
        self.rows = self.synced_rows = 0
        self.flushed = 0  # how long the map was at the last sync
        self.limit = 0  # up to this offset a row goes in without further thought
        self.mapped = self.reserved = CHUNK_BYTES  # rows go in up to the first; the map is as long as the second
        self.controls = False
        with contextlib.ExitStack() as undo:  # every row asks again as long as the disk is full: nothing stays behind
            self.blocks_fd = self._make(".blocks", undo)  # first: rows without blocks are seen by nobody
            self.rows_fd = self._make(".rows", undo)
            write_whole(self.blocks_fd, f"segment 1 {boot_id()} {time.time():.3f}\n".encode())
            reserve(self.rows_fd, 0, CHUNK_BYTES)
            self.map = mmap.mmap(self.rows_fd, CHUNK_BYTES)
            self._populate(0, CHUNK_BYTES)
            sync_folder(folder)
            undo.pop_all()

    def _make(self, suffix: str, undo: contextlib.ExitStack) -> int:
        path = self.path.with_suffix(suffix)
        append = os.O_APPEND if suffix == ".blocks" else 0
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_RDWR | append, 0o600)
        undo.callback(path.unlink)
        undo.callback(os.close, fd)
        return fd

    def extend(self, size: int) -> None:
        """Make room for `size` more bytes at once, for a row that waits. Raises OSError when the disk is full."""
        reserved = self._next(size, URGENT_BYTES)
        if reserved > self.reserved:
            reserve(self.rows_fd, self.reserved, reserved - self.reserved)
            self._lengthen(reserved)
        self._populate(self.mapped, self.reserved)
        self.mapped = self.reserved

    def extend_ahead(self, lock: threading.Lock) -> None:
        """The same before a row needs it, in small steps during which rows go on. Raises OSError.

        Of the threads of a process only one may do this at a time. `lock` is the one that rows are written under.
        """
        before, already, reserved = self.mapped, self.reserved, self._next(0, MAX_CHUNK_BYTES)
        if reserved > already:
            reserve(self.rows_fd, already, reserved - already)
        with lock:
            if reserved > self.reserved:  # else a row could not wait
                self._lengthen(reserved)
        for start in range(before, reserved, STEP_BYTES):
            time.sleep(REST_S)
            self._populate(start, min(start + STEP_BYTES, reserved))
        with lock:
            self.mapped = max(self.mapped, reserved)

    def fill(self, size: int) -> None:
        """Room for `size` bytes at least, with all its pages, in a segment that no row goes into yet. Raises OSError.

        Zeros that are written at once come in large pages, which are mapped in one go where the file system has them.
        """
        size = -(-size // CHUNK_BYTES) * CHUNK_BYTES
        if size <= self.reserved:
            return
        reserve(self.rows_fd, self.reserved, size - self.reserved)
        write_zeros(self.rows_fd, self.reserved, size)
        self._lengthen(size)
        for start in range(self.mapped, size, MAX_CHUNK_BYTES):
            time.sleep(REST_S)
            self._populate(start, min(start + MAX_CHUNK_BYTES, size))
        self.mapped = size

    def _next(self, size: int, most: int) -> int:
        """How long the map has to be for `size` more bytes; twice as long as it was, but at most by `most`."""
        size = max(size, min(self.mapped, most))
        return self.mapped + -(-size // CHUNK_BYTES) * CHUNK_BYTES

    def _lengthen(self, reserved: int) -> None:
        self.map.resize(reserved)
        self.reserved = reserved

    def _populate(self, start: int, end: int) -> None:
        try:
            self.map.madvise(_POPULATE_WRITE, start, end - start)
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) == errno.EFAULT:  # what is not there now would end the process later
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            # an older kernel: pages come one by one

    def checksum(self, start: int, end: int) -> int:
        """CRC-32 of the rows between two offsets, in small steps: rows go on behind them meanwhile."""
        checksum = 0
        for place in range(start, end, STEP_BYTES):
            checksum = zlib.crc32(self.map[place : min(place + STEP_BYTES, end)], checksum)
        return checksum

    def write_block(self, end: int, rows: int, *, last: bool = False) -> Exception | None:
        """Sync the rows up to `end`, which are `rows` in all, and then say so. What went wrong comes back.

        `last`: no row follows, and the map is given up.
        """
        if end <= self.synced:
            return None
        try:
            checksum = self._give_up(end) if last else self._let_go(end)
            os.fdatasync(self.rows_fd)
            write_whole(self.blocks_fd, b"%d %d %08x\n" % (end, rows - self.synced_rows, checksum))
            os.fdatasync(self.blocks_fd)
        except Exception as failure:  # whatever it is, nobody may wait for ever
            return failure
        self.synced, self.synced_rows = end, rows
        return None

    # The system forbids writing into each page while it goes to the disk, and of one that is mapped it tells every
    # processor that this process runs on: an interrupt a page. Pages that leave our memory together cost one in all.

    def _give_up(self, end: int) -> int:
        """Close the map; the checksum of the rows that are not synced. Other threads go on: nothing is copied."""
        with memoryview(self.map)[self.synced : end] as rows:
            checksum = zlib.crc32(rows)
        self.map.close()
        return checksum

    def _let_go(self, end: int) -> int:
        """The same while rows go on: the pages leave our memory, not the page cache, and come back when needed."""
        checksum = self.checksum(self.synced, end)
        start = self.synced // mmap.PAGESIZE * mmap.PAGESIZE
        # What was made ahead goes to the disk as well, the first time.
        stop = end if self.flushed == self.reserved else self.reserved
        self.flushed = self.reserved
        if stop - start > mmap.PAGESIZE:
            with contextlib.suppress(OSError, ValueError):
                self.map.madvise(mmap.MADV_DONTNEED, start, stop - start)
        return checksum

    def close(self, *, whole: bool = True) -> None:
        """`whole`: its blocks cover all of its rows. Without that it has no end, and the loader looks behind them."""
        try:
            self.map.close()
            if whole:
                os.ftruncate(self.rows_fd, self.end)
                write_whole(self.blocks_fd, b"end\n")
        finally:
            os.close(self.rows_fd)
            os.close(self.blocks_fd)


def reserve(fd: int, start: int, size: int) -> None:
    """Room on the disk, so that a write into mapped memory can't fail. Raises OSError when there is none."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, start, size)
    else:
        os.ftruncate(fd, start + size)


def write_zeros(fd: int, start: int, end: int) -> None:
    """Between two offsets, as many at once as the system takes. Raises OSError when the disk is full."""
    while start < end:
        whole, rest = divmod(end - start, CHUNK_BYTES)
        start += os.pwritev(fd, [_ZEROS] * min(whole, MAX_VECTORS) or [_ZEROS[:rest]], start)


def write_whole(fd: int, data: bytes) -> None:
    """Raises OSError when the disk took only a part."""
    if os.write(fd, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
