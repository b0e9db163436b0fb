"""Room of a segment is made ahead while rows go on: whatever comes between, no row goes where no room is."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from consent_middleware import open_segment
from consent_middleware.open_segment import CHUNK_BYTES, STEP_BYTES, OpenSegment


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[OpenSegment]:
    made = OpenSegment(tmp_path, 1)
    yield made
    made.close()


def between(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Have something happen once, in the middle of making room ahead."""
    waiting = [happens]

    def sleep(seconds: float) -> None:
        if waiting:
            waiting.pop()()

    monkeypatch.setattr(open_segment.time, "sleep", sleep)


def test_room_is_shown_only_when_all_of_it_is_there(segment: OpenSegment, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    between(monkeypatch, lambda: seen.append(segment.mapped))
    segment.extend_ahead(threading.Lock())
    assert seen == [CHUNK_BYTES]
    assert segment.mapped == segment.reserved == len(segment.map) == 2 * CHUNK_BYTES


def test_the_lock_is_free_while_pages_are_made(segment: OpenSegment, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = threading.Lock()
    free: list[bool] = []
    between(monkeypatch, lambda: free.append(not lock.locked()))
    segment.extend_ahead(lock)
    assert free == [True]


@pytest.mark.parametrize("size", [10, 3 * CHUNK_BYTES])
def test_a_row_that_can_not_wait_makes_its_own_room(
    segment: OpenSegment, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    between(monkeypatch, lambda: segment.extend(size))
    segment.extend_ahead(threading.Lock())
    assert segment.mapped == segment.reserved == len(segment.map) == os.fstat(segment.rows_fd).st_size
    assert segment.mapped >= CHUNK_BYTES + size
    segment.map[segment.mapped - 1 : segment.mapped] = b"x"


class WithoutPages:
    """A map that gets no page any more."""

    def __init__(self, real: mmap.mmap) -> None:
        self.resize = real.resize

    def madvise(self, *arguments: int) -> None:
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))


@contextlib.contextmanager
def no_pages_left(segment: OpenSegment) -> Iterator[None]:
    real, segment.map = segment.map, cast("mmap.mmap", WithoutPages(segment.map))
    yield
    segment.map = real


def test_room_that_turns_out_to_be_none_is_not_shown(segment: OpenSegment) -> None:
    """Where a file system copies on write, room that was reserved may still be none."""
    with no_pages_left(segment):
        for extend in (lambda: segment.extend(10), lambda: segment.extend_ahead(threading.Lock())):
            with pytest.raises(OSError, match="No space left"):
                extend()
            assert segment.mapped == CHUNK_BYTES
    segment.extend(10)
    assert segment.mapped == segment.reserved == len(segment.map) == os.fstat(segment.rows_fd).st_size


def test_a_row_that_finds_no_room_stops_nothing(segment: OpenSegment, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        with no_pages_left(segment), pytest.raises(OSError, match="No space left"):
            segment.extend(3 * CHUNK_BYTES)

    between(monkeypatch, refused)
    segment.extend_ahead(threading.Lock())
    assert segment.mapped == 2 * CHUNK_BYTES
    assert segment.reserved == len(segment.map) == os.fstat(segment.rows_fd).st_size == 4 * CHUNK_BYTES


def test_a_row_that_came_before_the_lock_keeps_what_it_made(
    segment: OpenSegment, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = os.posix_fallocate

    def meanwhile(fd: int, start: int, size: int) -> None:
        monkeypatch.setattr(os, "posix_fallocate", reserve)
        reserve(fd, start, size)
        segment.extend(3 * CHUNK_BYTES)

    monkeypatch.setattr(os, "posix_fallocate", meanwhile)
    segment.extend_ahead(threading.Lock())
    assert segment.mapped == segment.reserved == len(segment.map) == 4 * CHUNK_BYTES
    assert os.fstat(segment.rows_fd).st_size == 4 * CHUNK_BYTES


def test_the_checksum_in_steps_is_the_checksum(segment: OpenSegment) -> None:
    segment.extend(3 * STEP_BYTES)
    data = os.urandom(2 * STEP_BYTES + 77)
    segment.map[5 : 5 + len(data)] = data
    assert segment.checksum(5, 5 + len(data)) == zlib.crc32(data)
    assert segment.checksum(5, 5) == 0


def test_rows_go_on_while_others_are_synced_and_their_pages_leave_memory(segment: OpenSegment) -> None:
    segment.extend(4 * CHUNK_BYTES)
    written = b""
    for number in range(6):
        more = os.urandom(CHUNK_BYTES // 2 - 11 * number) + b"\n"
        segment.map[segment.end : segment.end + len(more)] = more
        written += more
        segment.end += len(more)
        assert segment.write_block(segment.end - 3, number) is None  # the last three bytes came behind its back
        assert segment.map[: segment.end] == written
    assert segment.path.read_bytes().rstrip(b"\0") == written
    lines = segment.path.with_suffix(".blocks").read_bytes().splitlines()[1:]
    start = 0
    for line in lines:
        end, checksum = int(line.split()[0]), int(line.split()[2], 16)
        assert checksum == zlib.crc32(written[start:end])
        start = end
    assert start == segment.end - 3


def test_the_last_block_gives_the_map_up_and_holds_all_rows(segment: OpenSegment) -> None:
    segment.map[:9] = b"one\ntwo\n\0"
    segment.end = 4
    assert segment.write_block(4, 1) is None
    assert segment.write_block(8, 2, last=True) is None
    assert segment.map.closed
    assert segment.path.read_bytes()[:8] == b"one\ntwo\n"
    assert segment.path.with_suffix(".blocks").read_bytes().splitlines()[2] == b"8 1 %08x" % zlib.crc32(b"two\n")


def test_a_sync_that_fails_says_so_and_writes_no_block(segment: OpenSegment, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    segment.map[:4] = b"one\n"
    monkeypatch.setattr(os, "fdatasync", fail)
    assert isinstance(segment.write_block(4, 1), OSError)
    assert segment.synced == segment.synced_rows == 0
    assert segment.path.with_suffix(".blocks").read_bytes().count(b"\n") == 1


def test_a_segment_that_is_filled_has_all_its_pages_and_is_empty(segment: OpenSegment) -> None:
    segment.fill(5 * CHUNK_BYTES + 1)
    assert (
        segment.mapped == segment.reserved == len(segment.map) == os.fstat(segment.rows_fd).st_size == 6 * CHUNK_BYTES
    )
    assert segment.map[:] == bytes(6 * CHUNK_BYTES)
    segment.fill(CHUNK_BYTES)
    assert segment.mapped == 6 * CHUNK_BYTES


@pytest.mark.parametrize("call", ["posix_fallocate", "pwritev"])
def test_a_segment_that_can_not_be_filled_says_so(
    segment: OpenSegment, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def no_room(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, no_room)
        with pytest.raises(OSError, match="No space left"):
            segment.fill(3 * CHUNK_BYTES)
    assert segment.mapped == len(segment.map) == CHUNK_BYTES
    segment.extend(2 * CHUNK_BYTES)  # the room that a row makes for itself is there as before
    segment.map[segment.mapped - 1 : segment.mapped] = b"x"


def test_a_segment_whose_pages_can_not_be_had_is_not_filled(segment: OpenSegment) -> None:
    with no_pages_left(segment), pytest.raises(OSError, match="No space left"):
        segment.fill(3 * CHUNK_BYTES)
    assert segment.mapped == CHUNK_BYTES


def test_filling_goes_on_where_the_system_takes_less_than_all(
    segment: OpenSegment, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwritev
    taken: list[int] = []

    def less(fd: int, parts: list[bytes], offset: int) -> int:
        taken.append(real(fd, [parts[0][: CHUNK_BYTES - 7]], offset))
        return taken[-1]

    segment.map[:] = b"x" * CHUNK_BYTES
    monkeypatch.setattr(os, "pwritev", less)
    segment.fill(4 * CHUNK_BYTES)
    assert sum(taken) == 3 * CHUNK_BYTES
    assert segment.map[:] == b"x" * CHUNK_BYTES + bytes(3 * CHUNK_BYTES)
