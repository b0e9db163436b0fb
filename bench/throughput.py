"""Requests a second of a Starlette page with and without the middleware, in turn, under uvicorn and granian.

The load comes from wrk where it is installed. Every contestant is measured in each round; the same application twice
(A/A) shows how much a figure may be trusted. Ratios are of medians to the bare application. Where neighbours share the
machine, requests a second say little: so the processor time that the server's processes took for each request stands
beside them, and its ratio (bare to measured) is what the throughput would be on a processor of one's own.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.gate import KEY, NONE_STRIPPED
from tests.interop.servers import serving

ROUNDS = 5
SECONDS = 2
WARM_SECONDS = 1
CONNECTIONS = 32
CONTESTANTS = ("bare", "bare_again", "gate", "gate_and_pages", "sessions")
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
GOALS = {"granian": 0.90, "uvicorn": 0.85}


def load(port: int, seconds: int = SECONDS) -> tuple[float, float]:
    """Requests a second and the 99th percentile in milliseconds."""
    cookie = NONE_STRIPPED.decode().replace("__Host-", "")
    done = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-H", "Host: www.example.org", "-H",
         f"Cookie: {cookie}", f"http://127.0.0.1:{port}/"],
        capture_output=True, text=True, check=True, timeout=SECONDS + 30,
    )  # fmt: skip
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    slow = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    if rate is None or slow is None or "Non-2xx" in done.stdout:
        raise RuntimeError(done.stdout)
    return float(rate[1]), float(slow[1]) * UNITS[slow[2]]


def processor_seconds(process: int) -> float:
    """What a process and all below it have used so far."""
    used = 0.0
    for thread in Path(f"/proc/{process}/task").iterdir():
        used += sum(processor_seconds(int(child)) for child in (thread / "children").read_text().split())
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return used + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def servers() -> float:
    """What our child processes have used: the server is the only one while nothing is loaded."""
    here = Path("/proc/self/task")
    children = [int(child) for thread in here.iterdir() for child in (thread / "children").read_text().split()]
    return sum(map(processor_seconds, children))


def measure(server: str, folder: Path) -> list[list[tuple[float, float, float]]]:
    """Of each contestant and round: requests a second, p99 in milliseconds, processor microseconds a request."""
    results: list[list[tuple[float, float, float]]] = [[] for _ in CONTESTANTS]
    for _ in range(ROUNDS):
        for index, name in enumerate(CONTESTANTS):
            place = Path(tempfile.mkdtemp(dir=folder))
            with serving(f"bench.throughput_site:{name}", server, place, CONSENT_SECRET_KEYS=KEY) as port:
                load(port, WARM_SECONDS)  # warms the caches
                before = servers()
                rate, slow = load(port)
                results[index].append((rate, slow, (servers() - before) / (rate * SECONDS) * 1e6))
    return results


def main() -> int:
    if shutil.which("wrk") is None:
        print("wrk is not installed: nothing was measured")
        return 0
    table = Table(
        title=f"Starlette page, 1 worker, {CONNECTIONS} connections, median of {ROUNDS} rounds of {SECONDS} s"
    )
    columns = ("server", "case", "requests/s", "ratio", "goal", "p99 ms", "p99 ratio", "cpu us", "cpu ratio")
    for column in columns:
        table.add_column(column, justify="left" if column in ("server", "case") else "right")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PYTHONPATH"] = os.getcwd()
        for server in ("uvicorn", "granian"):
            results = measure(server, Path(folder))
            bare, bare_slow, bare_cpu = (statistics.median(column) for column in zip(*results[0], strict=True))
            for name, measured in zip(CONTESTANTS, results, strict=True):
                rate, slow, cpu = (statistics.median(column) for column in zip(*measured, strict=True))
                goal = f"{GOALS[server]:.2f}" if name == "gate" else ""
                figures = (f"{rate:,.0f}", f"{rate / bare:.2f}", goal, f"{slow:.1f}", f"{slow / bare_slow:.2f}")
                figures += (f"{cpu:.1f}", f"{bare_cpu / cpu:.2f}")
                table.add_row(server, name.replace("_", " "), *figures)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
