"""The next segment lies ready: whoever dies or fails between two of them, no row is lost, doubled or out of order."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from analytics.ingest import segments as reading
from analytics.ingest.segments import Segment, read_block, segments
from consent_middleware.open_segment import CHUNK_BYTES, OpenSegment
from consent_middleware.spool import BUSY_BYTES, Spool
from consent_middleware.spool_values import SpoolLimits

BY_HAND = SpoolLimits(sync_seconds=3600, segment_seconds=36_000)
ROW = b'["%0999d"]'


def row(number: int) -> bytes:
    return ROW % number


def found(spool: Path) -> list[Segment]:
    return list(segments(spool))


def believed(spool: Path) -> list[bytes]:
    blocks = [read_block(segment, block) for segment in found(spool) for block in segment.blocks]
    assert None not in blocks
    return b"".join(block for block in blocks if block is not None).splitlines()


def rows_of(segment: OpenSegment) -> list[bytes]:
    return segment.path.read_bytes().rstrip(b"\0").splitlines()


class Busy:
    """A spool of which only the test syncs, and whose next segment lies ready."""

    def __init__(self, folder: Path, limits: SpoolLimits = BY_HAND) -> None:
        self.folder = folder
        self.spool = Spool(folder, limits)
        self.taken: list[bytes] = []
        self.append()
        assert self.spool._syncer is not None
        self.spool._closing = True
        self.spool._wake.set()
        self.spool._syncer.join()
        self.spool._closing = False
        for _ in range(3):  # the first one had not been made ready
            self.append(BUSY_BYTES // 1000 + 1)
            self.spool.sync()
        assert self.spool._ready is not None

    def append(self, rows: int = 1) -> None:
        for _ in range(rows):
            assert self.spool.append(row(len(self.taken)))
            self.taken.append(row(len(self.taken)))

    @property
    def open(self) -> OpenSegment:
        segment = self.spool._segment
        assert segment is not None
        return segment

    @property
    def ready(self) -> OpenSegment:
        segment = self.spool._ready
        assert segment is not None
        return segment

    def seen(self, segment: OpenSegment) -> Segment:
        """As the loader sees it."""
        return next(seen for seen in found(self.folder) if seen.path == segment.path)

    def die(self) -> None:
        """What is left when the process is killed: the lock goes, nothing is closed or synced."""
        assert self.spool._owner is not None
        self.spool._owner.close()


@pytest.fixture
def busy(tmp_path: Path) -> Busy:
    return Busy(tmp_path / "spool")


def test_a_slow_site_has_one_segment(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", BY_HAND)
    assert spool.append(row(1))
    spool.sync()
    assert spool._ready is None
    assert len(list(tmp_path.rglob("*.rows"))) == 1
    spool.close()


def test_rows_that_come_fast_go_on_in_another_segment_before_theirs_is_synced(
    busy: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = busy.open, busy.ready
    busy.append(BUSY_BYTES // 1000 + 1)
    synced: list[int] = []
    real = os.fdatasync

    def meanwhile(descriptor: int) -> None:
        if not synced:
            assert before.map.closed, "else each of its pages costs an interrupt"
            busy.append(3)
        synced.append(descriptor)
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", meanwhile)
        busy.spool.sync()
    assert busy.open is after
    assert synced[0] == before.rows_fd
    assert after.rows_fd not in synced, "its pages stay fit to be written to"
    assert rows_of(after) == busy.taken[-3:]
    busy.spool.close()
    assert believed(busy.folder) == busy.taken


def test_a_full_block_is_synced_at_once_where_no_segment_lies_ready(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", SpoolLimits(sync_seconds=3600, segment_seconds=36_000, block_bytes=BUSY_BYTES))
    rows = [row(number) for number in range(2 * BUSY_BYTES // 1000)]
    assert all(spool.append(one) for one in rows)
    end = time.monotonic() + 20
    while not (found(tmp_path / "spool")[0].blocks and spool._ready is not None) and time.monotonic() < end:
        time.sleep(0.01)
    assert found(tmp_path / "spool")[0].blocks
    assert spool._ready is not None, "the next rows come as fast"
    spool.close()
    assert believed(tmp_path / "spool") == rows


def test_a_full_block_sends_the_next_row_into_the_next_segment_without_waiting(tmp_path: Path) -> None:
    busy = Busy(tmp_path / "spool", SpoolLimits(sync_seconds=3600, segment_seconds=36_000, block_bytes=2 * BUSY_BYTES))
    before, after = busy.open, busy.ready
    while busy.open is before:
        busy.append()
    assert busy.open is after
    assert before.end - before.synced <= 2 * BUSY_BYTES
    assert busy.spool.appended == len(busy.taken)
    busy.spool.sync()
    assert busy.seen(before).finished
    assert not busy.seen(after).finished
    assert believed(busy.folder) == busy.taken
    busy.spool.close()


def test_the_open_segment_is_not_taken_for_a_finished_one_because_another_lies_ready(busy: Busy) -> None:
    busy.append(2)
    first, ready = busy.seen(busy.open), busy.seen(busy.ready)
    assert not first.finished
    assert first.unsynced
    assert not ready.finished
    assert not ready.unsynced
    assert believed(busy.folder) == busy.taken[:-2]
    busy.spool.close()


def test_a_segment_that_was_left_is_finished_with_all_its_rows(busy: Busy) -> None:
    """The loader may come before the worker has synced it: rows of the next one show that no more will follow."""
    busy.append(2)
    left = busy.open
    with busy.spool._lock:
        busy.spool._leave(left)
    assert not busy.seen(left).finished
    busy.append()
    assert busy.seen(left).finished
    assert not busy.seen(busy.open).finished
    assert believed(busy.folder) == busy.taken[:-1]
    busy.spool.close()
    assert believed(busy.folder) == busy.taken


def test_no_row_is_shown_without_those_before_it(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker goes on in the next segment, and syncs it, between two of the loader's looks."""
    busy.append(2)
    real = reading._read
    moved: list[Path] = []

    def meanwhile(path: Path, *, still_written: bool) -> Segment:
        segment = real(path, still_written=still_written)
        if not moved:
            moved.append(path)
            with busy.spool._lock:
                busy.spool._leave(busy.open)
            busy.append(2)
            busy.spool.sync()
        return segment

    with monkeypatch.context() as patch:
        patch.setattr(reading, "_read", meanwhile)
        shown = believed(busy.folder)
    assert moved
    assert shown == busy.taken[: len(shown)]
    assert believed(busy.folder) == busy.taken
    busy.spool.close()


@pytest.mark.parametrize("leaves", [False, True])
def test_a_killed_worker_leaves_the_rows_of_both(busy: Busy, leaves: bool) -> None:
    busy.append(2)
    if leaves:
        with busy.spool._lock:
            busy.spool._leave(busy.open)
        busy.append(2)
    busy.die()
    assert all(segment.finished for segment in found(busy.folder))
    assert believed(busy.folder) == busy.taken


def test_a_next_segment_that_comes_too_late_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it was made a row had to open one itself, whose number is higher: the loader goes by the numbers."""
    files = len(os.listdir("/proc/self/fd"))
    busy = Busy(tmp_path / "spool")
    with busy.spool._lock:
        busy.spool._leave(busy.open)
    busy.append(BUSY_BYTES // 1000 + 1)  # the ready one is in use now
    real = os.posix_fallocate
    filled: list[int] = []

    def meanwhile(descriptor: int, start: int, size: int) -> None:
        real(descriptor, start, size)
        if start == CHUNK_BYTES and not filled:
            filled.append(size)
            if busy.spool._segment is not None:
                with busy.spool._lock:
                    busy.spool._leave(busy.open)
            busy.append(2)

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", meanwhile)
        busy.spool.sync()
    assert filled
    assert busy.spool._ready is None
    names = [segment.path.stem for segment in found(busy.folder) if segment.end or segment.unsynced]
    assert busy.open.path.stem == max(names)
    busy.append(2)
    busy.spool.close()
    assert believed(busy.folder) == busy.taken
    assert len(os.listdir("/proc/self/fd")) == files


def test_who_waits_for_a_segment_that_was_left_hears_that_its_sync_failed(
    busy: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = 0

    def fail(descriptor: int) -> None:
        nonlocal syncs
        syncs += 1
        raise OSError(errno.EIO, "EIO")

    async def wait() -> BaseException | None:
        loop = asyncio.get_running_loop()
        waiting = loop.create_future()
        assert busy.spool.append_line(row(len(busy.taken)) + b"\n", (loop, waiting))
        busy.taken.append(row(len(busy.taken)))
        with busy.spool._lock:
            busy.spool._leave(busy.open)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fail)
            await asyncio.to_thread(busy.spool.sync)
        await asyncio.wait([waiting], timeout=20)
        return waiting.exception() if waiting.done() else None

    assert asyncio.run(wait()) is not None
    busy.append()
    busy.spool.sync()
    assert syncs == 1, "a second sync that succeeds would prove nothing"
    busy.spool.close()
    assert believed(busy.folder) == busy.taken, "the process lived on, and so did the page cache"


def test_a_sync_that_failed_is_not_heard_of_again(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "EIO")

    busy.append()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        busy.spool.sync()

    async def wait() -> BaseException | None:
        loop = asyncio.get_running_loop()
        waiting = loop.create_future()
        assert busy.spool.append_line(row(len(busy.taken)) + b"\n", (loop, waiting))
        busy.taken.append(row(len(busy.taken)))
        await asyncio.to_thread(busy.spool.sync)
        await asyncio.wait([waiting], timeout=20)
        assert waiting.done()
        return waiting.exception()

    assert asyncio.run(wait()) is None
    busy.spool.close()
    assert believed(busy.folder) == busy.taken


def test_rows_are_synced_a_second_time_where_the_segment_was_left_meanwhile(
    busy: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync began while the segment was open, and more rows came before it was left."""
    real = os.fdatasync

    def meanwhile(descriptor: int) -> None:
        monkeypatch.setattr(os, "fdatasync", real)
        busy.append(2)
        with busy.spool._lock:
            busy.spool._leave(busy.open)
        real(descriptor)

    busy.append(2)
    left = busy.open
    monkeypatch.setattr(os, "fdatasync", meanwhile)
    busy.spool.sync()
    busy.spool.sync()
    first = busy.seen(left)
    assert first.finished
    assert all(block.checksum is not None for block in first.blocks)
    assert believed(busy.folder) == busy.taken
    busy.spool.close()


def test_nothing_lies_open_or_ready_for_long_where_no_row_comes(busy: Busy) -> None:
    """An empty file would be the oldest one day, and stop all workers."""
    for _ in range(2):
        busy.open.born -= 40_000
        busy.spool.sync()
    assert busy.spool._segment is busy.spool._ready is None
    assert all(segment.finished for segment in found(busy.folder))
    busy.append()
    busy.spool.close()
    assert believed(busy.folder) == busy.taken


def test_a_segment_that_is_soon_too_old_has_a_next_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", SpoolLimits(sync_seconds=0.1, segment_seconds=0.4))
    made: list[str] = []
    main = threading.get_ident()
    real = os.open

    def open_(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if threading.get_ident() == main and str(path).endswith(".rows"):
            made.append(Path(path).stem)
        return real(path, flags, *more, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", open_)
        end = time.monotonic() + 1.5
        rows = 0
        while time.monotonic() < end:
            assert spool.append(row(rows))
            rows += 1
            time.sleep(0.005)
        spool.close()
    assert len(list(tmp_path.rglob("*.rows"))) >= 3
    assert made == ["00000001"], "no row had to wait for files to be made"
    assert believed(tmp_path / "spool") == [row(number) for number in range(rows)]


def test_a_disk_without_room_for_a_next_segment_takes_rows_as_long_as_it_can(
    busy: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    files = len(os.listdir("/proc/self/fd"))
    busy.append(BUSY_BYTES // 1000 + 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", no_room)
        busy.spool.sync()
        busy.append(BUSY_BYTES // 1000 + 1)
        busy.spool.sync()
        assert busy.spool._ready is None
        busy.append(CHUNK_BYTES // 1000 // 2)
    assert len(os.listdir("/proc/self/fd")) <= files
    busy.spool.close()
    assert believed(busy.folder) == busy.taken


def test_the_limit_holds_across_segments(tmp_path: Path) -> None:
    limits = SpoolLimits(sync_seconds=3600, block_bytes=BUSY_BYTES, total_bytes=4 * BUSY_BYTES, segment_seconds=36_000)
    busy = Busy(tmp_path / "spool", limits)
    while busy.spool.append(row(len(busy.taken))):
        busy.taken.append(row(len(busy.taken)))
        if len(busy.taken) % 50 == 0:
            busy.spool.sync()
    assert 3 * BUSY_BYTES < sum(map(len, busy.taken)) <= 4 * BUSY_BYTES
    busy.spool.close()
    assert believed(busy.folder) == busy.taken


def test_a_segment_is_not_larger_than_the_policy_says_where_that_is_less_than_a_block(tmp_path: Path) -> None:
    limits = SpoolLimits(sync_seconds=3600, segment_seconds=36_000, segment_bytes=2 * BUSY_BYTES)
    busy = Busy(tmp_path / "spool", limits)
    first = busy.open
    busy.append(8 * BUSY_BYTES // 1000)
    assert busy.open is not first
    assert first.end <= 2 * BUSY_BYTES + 1000 + first.synced
    busy.spool.close()
    assert believed(busy.folder) == busy.taken
