"""Requests a second of a Starlette page with and without the middleware, in turn, under uvicorn (twice) and granian.

The load comes from wrk where it is installed. All contestants run at once, and each is loaded for two seconds in
each of many rounds; ratios are medians of the rounds' own ratios to the bare application, so that a neighbour who is
busy for longer than a round slows both sides. The same application twice (A/A) shows how much a figure may be trusted.
The processor time that a server's processes took for each request stands beside the throughput.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.compiled import PYTHON
from bench.gate import KEY, NONE_STRIPPED, session_cookie
from tests.interop.servers import serving

ROUNDS = 10
SECONDS = 2
CONNECTIONS = 32
CONTESTANTS = ("bare", "bare_again", "gate", "gate_and_pages", "sessions")
# From the compiled wheel, where `make compiled` was run before.
COMPILED = ("gate", "gate_and_pages") if PYTHON.exists() else ()
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
SERVERS = ("uvicorn", "uvicorn-standard", "granian")  # the second with uvloop and httptools
GOALS = {"granian": 0.90, "uvicorn": 0.85, "uvicorn-standard": 0.85}
# A virtual machine that halts its idle processors at once pays for waking wrk again with every response it sends.
IDLE = Path("/sys/module/haltpoll/parameters/guest_halt_poll_ns")


COOKIES = NONE_STRIPPED.decode().replace("__Host-", "") + "; " + session_cookie().decode()


def check(port: int) -> None:
    """Raises RuntimeError when the visitor that is sent is not one who agreed: then cookies are deleted each time."""
    headers = {"Host": "www.example.org", "Cookie": COOKIES}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        if any("Max-Age=0" in value for value in answer.headers.get_all("set-cookie", [])):
            raise RuntimeError(f"the consent cookie is not believed:\n{answer.headers}")


def load(port: int) -> tuple[float, float]:
    """Requests a second and the 99th percentile in milliseconds."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-H", "Host: www.example.org", "-H",
         f"Cookie: {COOKIES}", f"http://127.0.0.1:{port}/"],
        capture_output=True, text=True, check=True, timeout=SECONDS + 30,
    )  # fmt: skip
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    slow = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    if rate is None or slow is None or "Non-2xx" in done.stdout or not float(rate[1]):
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
    results: list[list[tuple[float, float, float]]] = [[] for _ in CONTESTANTS + COMPILED]
    with contextlib.ExitStack() as running:
        ports = []
        for name in CONTESTANTS:
            place = Path(tempfile.mkdtemp(dir=folder))
            app = f"bench.throughput_site:{name}"
            site = serving(app, server, place, CONSENT_SECRET_KEYS=KEY, PYTHONPATH=str(Path.cwd()))
            ports.append(running.enter_context(site))
        for name in COMPILED:
            place = Path(tempfile.mkdtemp(dir=folder))
            app, tree = f"bench.throughput_site:{name}", PYTHON.parents[2] / "tree"
            site = serving(app, server, place, PYTHON, tree, CONSENT_SECRET_KEYS=KEY, PYTHONPATH=str(tree))
            ports.append(running.enter_context(site))
        for port in ports:
            check(port)
        for round_ in range(ROUNDS + 1):
            for port, measured in zip(ports, results, strict=True):
                before = servers()
                rate, slow = load(port)
                if round_:  # the first one warms the caches
                    measured.append((rate, slow, (servers() - before) / (rate * SECONDS) * 1e6))
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
        for server in SERVERS:
            results = measure(server, Path(folder))
            names = [*CONTESTANTS, *(f"{name}, compiled" for name in COMPILED)]
            for name, measured in zip(names, results, strict=True):
                rate, slow, cpu = (statistics.median(column) for column in zip(*measured, strict=True))
                pairs = list(zip(measured, results[0], strict=True))
                faster = statistics.median(one[0] / bare[0] for one, bare in pairs)
                slower = statistics.median(one[1] / bare[1] for one, bare in pairs)
                cheaper = statistics.median(bare[2] / one[2] for one, bare in pairs)
                goal = f"{GOALS[server]:.2f}" if name.startswith("gate") and "pages" not in name else ""
                figures = (f"{rate:,.0f}", f"{faster:.2f}", goal, f"{slow:.1f}", f"{slower:.2f}")
                figures += (f"{cpu:.1f}", f"{cheaper:.2f}")
                table.add_row(server, name.replace("_", " "), *figures)
    Console().print(table)
    if IDLE.exists():
        print(f"idle processors of this machine look for work for {int(IDLE.read_text()):,} ns before they halt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
