"""Importing an access log into a queryable store, beside GoAccess on the same file in the same run.

`--lines N` sets the size of the log, `--log FILE` takes one that exists. Processor time stands beside the clock,
because it says more on a machine that is shared; both are run in turn, so that a neighbour disturbs them alike.
"""

from __future__ import annotations

import argparse
import compileall
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROUNDS = 5
AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36"
REFERRERS = ("-", "-", "https://www.google.com/", "https://www.bing.com/search?q=x", "https://example.net/a")


def write_log(path: Path, lines: int) -> None:
    """A combined log of seven days: 50,000 addresses, 600 user agents, 3,000 paths."""
    chance = random.Random(7)
    agents = [AGENT.format(version) for version in range(600)]
    with path.open("w") as file:
        for number in range(lines):
            second = number * 7 * 86_400 // lines
            day, rest = divmod(second, 86_400)
            time_ = f"{10 + day:02d}/Nov/2026:{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d} +0000"
            who = chance.randrange(50_000)
            target = f"/articles/{chance.randrange(3000)}" if number % 3 else f"/static/{chance.randrange(40)}.css"
            file.write(
                f'81.{who >> 12}.{who >> 4 & 255}.{who & 15} - - [{time_}] "GET {target} HTTP/1.1" 200 '
                f'{chance.randrange(60_000)} "{chance.choice(REFERRERS)}" "{agents[who % 600]}"\n'
            )


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    before = os.times()
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return time.perf_counter() - started, used


def add(
    table: Table, what: str, lines: int, times: list[tuple[float, float]], peers: list[tuple[float, float]]
) -> None:
    """A line of medians; how many times as fast as the peer is the median of the rounds' own ratios."""
    seconds, used = (statistics.median(column) for column in zip(*times, strict=True))
    pairs = list(zip(peers, times, strict=True)) if peers else []
    ratios = [f"{statistics.median(peer[n] / own[n] for peer, own in pairs):.1f}" if pairs else "" for n in (0, 1)]
    table.add_row(what, f"{seconds:.2f}", f"{lines / seconds:,.0f}", f"{used:.2f}", *ratios)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--log", type=Path)
    arguments = parser.parse_args()
    columns = ("what", "seconds", "lines a second", "CPU seconds", "times GoAccess", "by CPU")
    table = Table(*columns, title=f"Importing a combined log, medians of {ROUNDS} rounds in turn")
    for package in ("analytics", "consent_middleware"):  # as an installer does: nobody's import compiles our modules
        compileall.compile_dir(Path(__file__).resolve().parent.parent / package, quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        log = arguments.log or Path(folder) / "access.log"
        if arguments.log is None:
            write_log(log, arguments.lines)
        lines = int(subprocess.run(["wc", "-l", str(log)], capture_output=True, check=True).stdout.split()[0])
        out = str(Path(folder) / "report.json")
        goaccess = ["goaccess", str(log), "--log-format=COMBINED", "--no-progress", "-o", out]
        has_peer = shutil.which("goaccess") is not None
        peers: list[tuple[float, float]] = []
        ours: list[tuple[float, float]] = []
        for number in range(ROUNDS):
            if has_peer:
                peers.append(timed(goaccess))
            data_dir = Path(folder) / f"var{number}"
            command = [sys.executable, "-m", "analytics", "import", str(log), "--data-dir", str(data_dir)]
            ours.append(timed(command))
            shutil.rmtree(data_dir)
        if has_peer:
            add(table, "GoAccess, report of the log", lines, peers, peers)
        add(table, "analytics import, rows in the store", lines, ours, peers)
    Console(file=sys.stdout).print(table)


if __name__ == "__main__":
    main()
