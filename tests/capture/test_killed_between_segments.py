"""Workers that append as fast as they can, killed at any moment, beside a loader that takes what is finished."""

from __future__ import annotations

import os
import random
import signal
import struct
import time
from mmap import mmap
from pathlib import Path

import pytest

from analytics.ingest.segments import Segment, read_block, segments
from consent_middleware.spool import Spool
from consent_middleware.spool_values import SpoolLimits

LIMITS = SpoolLimits(sync_seconds=0.02, segment_seconds=0.2, block_bytes=320 * 1024)
ROW = b'["%0299d"]'
COUNT = struct.Struct("Q")


def work(folder: Path, taken: mmap) -> None:
    """Append rows for ever; `taken` says how many `append` has returned for."""
    spool = Spool(folder, LIMITS)
    number = 0
    while True:
        assert spool.append(ROW % number)
        number += 1
        taken[: COUNT.size] = COUNT.pack(number)
        if number % 40 == 0:
            time.sleep(0.0002)  # as a server does between two requests: the thread that syncs has its turn


class Loader:
    """Takes blocks in their order, and segments away, as the real one does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[int] = []
        self.removed = 0
        self._loaded: dict[str, int] = {}

    def run(self) -> list[Segment]:
        found = list(segments(self.folder))
        for segment in found:
            for block in segment.blocks:
                if block.start >= self._loaded.get(segment.name, 0):
                    data = read_block(segment, block)
                    assert data is not None, "a block that is not what was written"
                    self.rows += [int(line[2:-2]) for line in data.splitlines()]
                    self._loaded[segment.name] = block.end
            if segment.finished:
                segment.remove()
                self.removed += 1
        return found


def killed_once(folder: Path, seconds: float) -> int:
    """How many segments were left behind by rows that went on in the next one."""
    taken = mmap(-1, COUNT.size)
    child = os.fork()
    if child == 0:
        try:
            work(folder, taken)
        finally:
            os._exit(1)
    loader = Loader(folder)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        loader.run()
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    removed = loader.removed
    loader.run()
    (count,) = COUNT.unpack(taken[: COUNT.size])
    assert loader.rows == list(range(len(loader.rows))), "lost, doubled, or out of order"
    assert count <= len(loader.rows) <= count + 1
    assert not list(segments(folder))
    return removed


def killed(folder: Path, rounds: int, seed: int) -> int:
    chance = random.Random(seed)
    return sum(killed_once(folder / str(number), chance.uniform(0.01, 0.6)) for number in range(rounds))


def test_a_worker_that_is_killed_while_rows_come_fast_loses_none(tmp_path: Path) -> None:
    assert killed(tmp_path, 8, 1) > 5, "hardly any segment was left while it lived"


@pytest.mark.audit
def test_many_workers_that_are_killed_while_rows_come_fast(tmp_path: Path) -> None:
    assert killed(tmp_path, 500, 2) > 300
