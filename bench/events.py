"""Acknowledged events a second on one worker: rows that are fsynced when the caller goes on.

The peer is the same append with an fsync of its own for each event, as a careful program without group commit does it.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from consent_middleware.spool import Spool

EVENTS = 20_000
ROW = b'["example.org",1800000000000,"event","signup"' + b',"some text of a field"' * 12 + b"]"


async def appended(folder: Path, at_once: int) -> tuple[float, list[float]]:
    spool = Spool(folder / f"spool{at_once}")
    waits: list[float] = []

    async def one() -> None:
        for _ in range(min(EVENTS // at_once, 200)):
            started = time.perf_counter()
            await spool.append_durable(ROW)
            waits.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(at_once)))
    seconds = time.perf_counter() - started
    spool.close()
    return len(waits) / seconds, waits


def synced_one_by_one(folder: Path, count: int) -> float:
    fd = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    started = time.perf_counter()
    for _ in range(count):
        os.write(fd, ROW)
        os.fsync(fd)
    seconds = time.perf_counter() - started
    os.close(fd)
    return count / seconds


def main() -> None:
    table = Table("what", "at once", "acknowledged a second", "median ms", "p99 ms", title="Durable events, one worker")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # a disk, where /tmp may be memory
        table.add_row("one fsync an event", "1", f"{synced_one_by_one(Path(folder), 1000):,.0f}", "", "")
        for at_once in (1, 16, 64, 256):
            rate, waits = asyncio.run(appended(Path(folder), at_once))
            median, last = statistics.median(waits), statistics.quantiles(waits, n=100)[98]
            table.add_row("group commit", str(at_once), f"{rate:,.0f}", f"{median * 1e3:.2f}", f"{last * 1e3:.2f}")
    Console(file=sys.stdout).print(table)


if __name__ == "__main__":
    main()
