"""Decisions at a steady rate in a process of their own, and what the machine itself takes meanwhile.

The other end of the socket sends a number when a decision is due and reads it again once the decision is durable, so
that neither shares the other's event loop. `python -m bench._steady FOLDER ours|plain FD` is the deciding process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec

FSYNCS = 500
FSYNC_BYTES = 8192


class Steady(msgspec.Struct, frozen=True):
    """One run, in seconds: `taken` from the moment that a decision was due until it was known to be durable, `late` how
    late a process woke that slept until that moment, `fsync` what the disk took for such a write before and after.
    """

    taken: list[float]
    late: list[float]
    fsync: list[float]


def milliseconds(times: list[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    cuts = statistics.quantiles(times, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


@contextlib.contextmanager
def ahead_of_others() -> Iterator[None]:
    """Run what follows, and the processes it starts, before whatever else this machine does. Raises PermissionError."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def steady(folder: Path, kind: str, rate: int, seconds: int) -> Steady:
    """`rate` decisions a second for that long, whatever the answers take."""
    fsync = fsync_times(folder)
    ours, theirs = socket.socketpair()
    with ours, ours.makefile("rb") as answers:
        deciding = subprocess.Popen(
            [sys.executable, "-m", "bench._steady", str(folder), kind, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()
        answers.readline()
        due = [0.0] * (rate * seconds)
        taken: list[float] = []

        def receive() -> None:
            while len(taken) < len(due) and (line := answers.readline()):
                taken.append(time.perf_counter() - due[int(line)])

        receiving = threading.Thread(target=receive)
        receiving.start()
        late = []
        started = time.perf_counter()
        for number in range(len(due)):
            due[number] = started + number / rate
            while (wait := due[number] - time.perf_counter()) > 0:
                time.sleep(wait)
            late.append(time.perf_counter() - due[number])
            ours.sendall(b"%d\n" % number)
        receiving.join()
        ours.shutdown(socket.SHUT_WR)
        deciding.wait()
    if len(taken) < len(due):
        sys.exit(f"the deciding process ended after {len(taken)} of {len(due)} decisions")
    return Steady(taken, late, fsync + fsync_times(folder))


def fsync_times(folder: Path) -> list[float]:
    """What this disk takes to make some pages durable in a file that has its size already, as a write-ahead log has."""
    path = folder / "fsync"
    times = []
    with path.open("wb", buffering=0) as file:
        file.write(bytes(FSYNCS * FSYNC_BYTES))
        os.fsync(file.fileno())
        file.seek(0)
        for _ in range(FSYNCS):
            file.write(b"x" * FSYNC_BYTES)
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    path.unlink()
    return times


async def _decide(folder: Path, kind: str, connection: socket.socket) -> None:
    from bench.ledger import POLICY, Plain, a_decision
    from consent_middleware.services import open_services

    async def run(job: Callable[[], Awaitable[None]]) -> None:
        async def one(line: bytes) -> None:
            await job()
            writer.write(line)

        await job()
        reader, writer = await asyncio.open_connection(sock=connection)
        writer.write(b"ready\n")
        tasks: set[asyncio.Task[None]] = set()
        while line := await reader.readline():
            task = asyncio.create_task(one(line))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    if kind == "plain":
        plain = Plain(folder)
        await run(plain.append)
        plain.connection.close()
    else:
        services = await open_services(POLICY, folder / "decisions", ["a secret of the benchmark only"])
        await run(lambda: a_decision(services))
        await services.close()


if __name__ == "__main__":
    asyncio.run(_decide(Path(sys.argv[1]), sys.argv[2], socket.socket(fileno=int(sys.argv[3]))))
