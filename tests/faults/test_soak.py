"""Hours of ordinary work, in short: memory, open files and the spool stay flat in the site and in the service."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analytics.ingest.segments import segments
from tests.faults.clients import ask, consenting, event, request, resident_kb
from tests.faults.servers import ROOT, serving

POLICY_FILE = """
revision = 1
updated = 2026-11-20
[controller]
name = "Example Society"
[site]
hosts = ["example.org"]
[[purpose]]
id = "analytics"
"""


def measured(pid: int) -> tuple[int, int]:
    """Memory of a process in kB, and its open files.

    The engine keeps three files of /proc open for each of its threads, of which it makes more on a busy machine.
    """
    opened = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            opened += not os.readlink(entry).startswith("/proc/")
    return resident_kb(pid), opened


async def work(port: int, seconds: float, pids: list[int], samples: list[list[tuple[int, int]]]) -> int:
    """Visitors who come, choose, browse, send events and leave; the processes are measured all along."""
    ends = time.monotonic() + seconds
    answered = 0

    async def visitor(number: int) -> None:
        nonlocal answered
        while time.monotonic() < ends:
            cookie = await consenting(port) if number % 3 else ""
            for page in range(10):
                number += 1
                status, _ = await ask(port, request("GET", f"/{number}?utm_source=s{number}", cookie=cookie))
                assert status == 200
                assert (await ask(port, event(f"e{page}", cookie)))[0] == 202
                answered += 2

    visitors = [asyncio.ensure_future(visitor(10_000_000 * n)) for n in range(6)]
    while time.monotonic() < ends:
        samples.append([measured(pid) for pid in pids])
        await asyncio.sleep(seconds / 40)
    await asyncio.gather(*visitors)
    return answered


def soak(folder: Path, seconds: float, growth_kb: int) -> None:
    """Run site and service for so long; the last quarter may use `growth_kb` more than the second one."""
    (folder / "privacy.toml").write_text(POLICY_FILE)
    with serving(folder) as server:
        command = [sys.executable, "-m", "analytics", "serve", "--port", "0"]
        command += ["--policy", str(folder / "privacy.toml"), "--data-dir", str(server.data_dir)]
        with (folder / "service.log").open("wb") as log:
            service = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log)
        try:
            assert service.stdout is not None
            while not service.stdout.readline().startswith(b"Ready"):
                assert service.poll() is None, (folder / "service.log").read_text()
            samples: list[list[tuple[int, int]]] = []
            answered = asyncio.run(work(server.port, seconds, [server.pid, service.pid], samples))
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(60)
    assert answered > 100
    quarter = len(samples) // 4
    for which, name in enumerate(("site", "service")):
        early, late = samples[quarter : 2 * quarter], samples[-quarter:]
        # The engine gives memory back and takes it again: its height tells, as the middle does of files.
        for kind, limit, of in ((0, growth_kb, max), (1, 20, statistics.median)):
            grown = of([s[which][kind] for s in late]) - of([s[which][kind] for s in early])
            assert grown < limit, f"{name}: {'memory in kB' if kind == 0 else 'open files'} grew by {grown}"
    waiting = [segment for segment in segments(server.data_dir / "spool") if segment.finished]
    assert len(waiting) < 10
    assert "Traceback" not in (folder / "service.log").read_text() + (folder / "server.log").read_text()


def test_twelve_seconds_of_work_leave_memory_and_files_flat(tmp_path: Path) -> None:
    soak(tmp_path, 12, growth_kb=40_000)


@pytest.mark.audit
@pytest.mark.timeout(3000)
def test_half_an_hour_of_work_leaves_memory_and_files_flat(tmp_path: Path) -> None:
    soak(tmp_path, 1800, growth_kb=20_000)
