"""What the spool promises while something fails: nothing acknowledged is lost, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import time
from pathlib import Path

import pytest

from analytics.ingest.segments import segments
from consent_middleware.spool import Spool
from consent_middleware.spool_values import SpoolLimits

NO_SYNC = SpoolLimits(sync_seconds=3600)


def row(number: int) -> bytes:
    return b'{"number":%d}' % number


def believed(spool: Path) -> int:
    """How many rows a loader would take."""
    return sum(block.rows for segment in segments(spool) for block in segment.blocks)


def by_hand(spool: Spool) -> None:
    """From here on nothing is synced but by the test."""
    assert spool.append(row(-1))
    assert spool._syncer is not None
    spool._closing = True
    spool._wake.set()
    spool._syncer.join()
    spool._closing = False
    spool.sync()


@pytest.mark.parametrize("a_row_follows", [True, False])
def test_who_waits_beside_a_failing_sync_is_told_that_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a_row_follows: bool
) -> None:
    spool = Spool(tmp_path / "spool", NO_SYNC)
    by_hand(spool)
    real = os.fdatasync

    async def wait() -> list[bool]:
        loop = asyncio.get_running_loop()
        early, late = loop.create_future(), loop.create_future()

        def fail(descriptor: int) -> None:
            monkeypatch.setattr(os, "fdatasync", real)
            spool.append_line(b"{}\n", (loop, late))
            raise OSError(5, "EIO")

        spool.append_line(b"{}\n", (loop, early))
        monkeypatch.setattr(os, "fdatasync", fail)
        await asyncio.to_thread(spool.sync)
        if a_row_follows:
            spool.append(row(1))
        await asyncio.to_thread(spool.sync)
        await asyncio.wait([early, late], timeout=20)
        return [future.done() and future.exception() is not None for future in (early, late)]

    assert asyncio.run(wait()) == [True, True]
    spool.close()


def test_failed_syncs_leave_no_open_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool", NO_SYNC)
    by_hand(spool)
    before = len(os.listdir("/proc/self/fd"))

    def fail(descriptor: int) -> None:
        raise OSError(5, "EIO")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fail)
        for number in range(20):
            spool.append(row(number))
            spool.sync()
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    spool.close()


def test_a_damaged_header_of_one_worker_holds_up_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    for number in range(2):
        spool = Spool(folder, NO_SYNC)
        spool.append(row(number))
        spool.close()
    broken = min(folder.glob("*/*.blocks"))
    content = bytearray(broken.read_bytes())
    content[content.index(b"\n") - 5] = 0
    broken.write_bytes(content)
    assert believed(folder) == 2


def test_a_row_that_was_taken_while_the_spool_closed_is_there(tmp_path: Path) -> None:
    for round_number in range(10):
        folder = tmp_path / f"spool{round_number}"
        spool = Spool(folder, NO_SYNC)
        taken = [spool.append(row(-1))]
        end = threading.Event()

        def append(spool: Spool = spool, taken: list[bool] = taken, end: threading.Event = end) -> None:
            while not end.is_set():
                taken.append(spool.append(row(len(taken))))

        appending = threading.Thread(target=append)
        appending.start()
        time.sleep(0.003)
        spool.close()
        end.set()
        appending.join()
        spool.close()
        assert believed(folder) == sum(taken)


def test_the_loader_never_sees_a_worker_that_does_not_hold_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder, NO_SYNC)
    seen: list[str] = []
    real = fcntl.flock

    def look_first(descriptor: object, operation: int) -> None:
        seen.extend(path.name for path in folder.glob("w*"))
        real(descriptor, operation)  # type: ignore[arg-type]  # the same arguments, passed on

    monkeypatch.setattr(fcntl, "flock", look_first)
    assert spool.append(row(1))
    assert seen == []
    spool.close()
    assert believed(folder) == 1
