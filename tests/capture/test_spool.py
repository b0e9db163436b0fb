"""The spool: what is acknowledged is on the disk, what is torn is cut, what does not fit is counted."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from pathlib import Path

import pytest

from analytics.ingest.segments import read_block, segments
from consent_middleware import open_segment
from consent_middleware.spool import Spool, SpoolFull
from consent_middleware.spool_values import SpoolLimits
from tests.ingest import rows as made
from tests.ingest.rows import QUICK, spool_rows


def row(number: int) -> bytes:
    return made.row(number, time_ms=1_800_000_000_000)


def believed(data_dir: Path) -> list[bytes]:
    blocks = [read_block(segment, block) for segment in segments(data_dir / "spool") for block in segment.blocks]
    return b"".join(block for block in blocks if block is not None).splitlines()


def crash(spool: Spool) -> None:
    """What is left when the process is killed: the lock goes, nothing is closed or synced."""
    spool._closing = True
    spool._owner.close()


def test_rows_come_back_as_they_went_in(tmp_path: Path) -> None:
    rows = [row(i) for i in range(500)]
    spool_rows(tmp_path, rows)
    assert believed(tmp_path) == rows
    assert all(segment.finished for segment in segments(tmp_path / "spool"))


def test_a_durable_row_is_in_a_checked_block_when_it_is_acknowledged(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", SpoolLimits(sync_seconds=60))
    asyncio.run(spool.append_durable(row(1)))
    assert believed(tmp_path) == [row(1)]
    spool.close()


def test_a_killed_worker_leaves_its_rows_and_a_torn_one_is_cut(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", SpoolLimits(sync_seconds=60))
    for number in range(10):
        assert spool.append(row(number))
    end = spool._segment.end
    spool._segment.map[end : end + 40] = row(10)[:40]
    crash(spool)
    [segment] = segments(tmp_path / "spool")
    assert believed(tmp_path) == [row(i) for i in range(10)]
    assert segment.torn == 40


def test_after_a_restart_of_the_machine_only_synced_rows_are_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool", SpoolLimits(sync_seconds=60))
    assert spool.append(row(0))
    spool.sync()
    assert spool.append(row(1))
    crash(spool)
    monkeypatch.setattr("analytics.ingest.segments.boot_id", lambda: "another boot")
    assert believed(tmp_path) == [row(0)]


def test_a_damaged_block_is_noticed(tmp_path: Path) -> None:
    spool_rows(tmp_path, [row(i) for i in range(3)])
    [path] = (tmp_path / "spool").rglob("*.rows")
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    path.write_bytes(content)
    assert believed(tmp_path) == []


def test_a_full_spool_keeps_the_oldest_and_counts_what_it_refuses(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", SpoolLimits(total_bytes=2000, sync_seconds=60))
    kept = [number for number in range(50) if spool.append(row(number))]
    assert kept == list(range(len(kept)))
    assert spool.dropped == 50 - len(kept) > 0
    with pytest.raises(SpoolFull):
        asyncio.run(spool.append_durable(row(99)))
    asyncio.run(spool.control("erase", 5, "t"))  # a right is no event
    spool.close()


def test_a_spool_whose_oldest_segment_is_too_old_takes_nothing_new(tmp_path: Path) -> None:
    spool_rows(tmp_path, [row(1)])
    later = Spool(tmp_path / "spool", SpoolLimits(oldest_seconds=100), now=lambda: time.time() + 200)
    assert not later.append(row(2))
    later.close()


def test_a_row_that_a_killed_worker_had_half_copied_is_cut_even_where_its_newline_came_first(tmp_path: Path) -> None:
    """Memory is copied in any order: the end of a row may be there before its middle."""
    spool = Spool(tmp_path / "spool", SpoolLimits(sync_seconds=60))
    assert spool.append(row(0))
    line, end = row(1) + b"\n", spool._segment.end
    spool._segment.map[end : end + 20] = line[:20]
    spool._segment.map[end + len(line) - 20 : end + len(line)] = line[-20:]
    crash(spool)
    assert believed(tmp_path) == [row(0)]


def test_a_full_disk_refuses_rows_while_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    spool = Spool(tmp_path / "spool", SpoolLimits(sync_seconds=60))
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", no_room)
        assert not spool.append(row(1))
    assert spool.append(row(2))
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", no_room)
        big = b"[" + b" " * open_segment.CHUNK_BYTES + b"]"
        assert not spool.append(big)
    assert spool.append(row(3))
    assert spool.append(big)
    spool.close()
    assert believed(tmp_path) == [row(2), row(3), big]
    assert spool.dropped == 0, "a closed spool begins again"


def test_the_last_room_of_a_disk_is_left_to_the_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = os.statvfs(tmp_path)
    nearly_full = os.statvfs_result((*disk[:3], 100, 100, *disk[5:]))
    monkeypatch.setattr(os, "statvfs", lambda folder: nearly_full)
    spool = Spool(tmp_path / "spool", SpoolLimits(sync_seconds=60))
    assert not spool.append(row(1))
    spool.close()


def test_a_segment_grows_while_it_is_written_and_ends_with_its_last_row(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", SpoolLimits(sync_seconds=60, block_bytes=2**30))
    rows = [row(number) for number in range(3 * open_segment.CHUNK_BYTES // len(row(0)))]
    assert all(spool.append(one) for one in rows)
    assert spool.appended == len(rows)
    spool.close()
    assert believed(tmp_path) == rows
    [path] = (tmp_path / "spool").rglob("*.rows")
    assert path.read_bytes() == b"".join(one + b"\n" for one in rows)


def test_a_forked_worker_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", QUICK)
    assert spool.append(row(1))
    child = os.fork()
    if child == 0:
        spool.append(row(2))
        spool.close()
        os._exit(0)
    os.waitpid(child, 0)
    spool.close()
    assert len([path for path in (tmp_path / "spool").iterdir() if path.is_dir()]) == 2
    assert sorted(believed(tmp_path)) == [row(1), row(2)]


def test_nothing_is_made_before_the_first_row(tmp_path: Path) -> None:
    Spool(tmp_path / "spool").close()
    assert list(tmp_path.iterdir()) == []
