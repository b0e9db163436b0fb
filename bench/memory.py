"""The service on a store that grows, 1, 10 and 50 million page views of 30 days: memory, disk, first answers.

Resident memory at rest, and at most while fifteen reports are asked for, four at once; bytes a row on disk; and how
long each of five reports takes that was never asked before. Another process fills the store, so that its memory is not
counted. `--views N ...` names other sizes.

Goals: memory is bounded by the engine's own limit and the process, whatever the number of rows; a row takes as many
bytes in a large store as in a small one.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from analytics.reports.errors import QueryTimeout
from analytics.reports.query import Query, parse_object
from analytics.service import Service
from analytics.store import open_store
from analytics.store.client import MEMORY_LIMIT
from bench._traffic import fill

DAYS = 30
SIZES = (1_000_000, 10_000_000, 50_000_000)
PROCESS_MB = 400  # the interpreter, our code and the engine's library, before a row is read
MOST_MB = MEMORY_LIMIT / 2**20 + PROCESS_MB
AT_ONCE = 50_000  # visitors a statement: all of a large day at once are more than the engine's limit
GROWTH = 1.2  # bytes a row, against the smallest size
ASKED = (
    {"metrics": ["visitors", "visits", "pageviews", "bounce_rate", "visit_duration"]},
    {"metrics": ["visitors", "pageviews"], "dimensions": ["time:day"]},
    {"metrics": ["visitors", "pageviews"], "dimensions": ["event:page"]},
    {"metrics": ["visitors", "visits", "bounce_rate"], "dimensions": ["visit:source"]},
    {"metrics": ["visitors"], "dimensions": ["visit:country", "visit:device"]},
)


def resident() -> tuple[float, float]:
    """MB now, and at most since the start."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    now, most = (int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def filling(data_dir: Path, views: int) -> None:
    today = dt.datetime.now(dt.UTC).date()
    with open_store(None, data_dir) as store:
        done = 0
        for back in range(DAYS, 0, -1):
            day = today - dt.timedelta(days=back)
            visitors = views // DAYS // 8
            views_of_day = 0
            for part, at in enumerate(range(0, visitors, AT_ONCE)):
                some, which = min(AT_ONCE, visitors - at), 1000 * part
                views_of_day = fill(store, day=day, visitors=some, seed=which + back, cohort=which + back // 7)
            done += views_of_day
        print(done)


def ask(service: Service, query: Query) -> bool:
    """Was the question refused because it takes more time or memory than one query may?"""
    try:
        service.reporting.ask(query)
    except QueryTimeout:
        return True
    return False


def asking(data_dir: Path) -> None:
    """Prints one JSON object with what was measured."""
    service = Service(data_dir, None)
    queries = [parse_object({"site_id": "example.org", "date_range": "30d", **asked}) for asked in ASKED]
    rest, refused, first = resident()[0], 0, []
    for query in queries:
        started = time.perf_counter()
        refused += ask(service, query)
        first.append((time.perf_counter() - started) * 1000)
    with ThreadPoolExecutor(4) as four:
        for back in (29, 28):  # other ranges: what was answered is kept
            days = [parse_object({"site_id": "example.org", "date_range": f"{back}d", **asked}) for asked in ASKED]
            refused += sum(four.map(lambda query: ask(service, query), days))
    size, rows = service.store.query(
        "SELECT sum(bytes_on_disk), sum(rows) FROM system.parts WHERE active AND table = 'events'"
    )[0]
    found = {"rest": rest, "most": resident()[1], "refused": refused, "first": first, "bytes": int(size), "rows": rows}
    print(json.dumps(found))
    service.close()


def measured(views: int) -> tuple[int, dict[str, float], list[float]]:
    """Page views filled, the numbers, and the times of the first answers in ms."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        program = [sys.executable, "-m", "bench.memory"]
        filled = subprocess.run(
            [*program, "--fill", folder, "--views", str(views)], capture_output=True, text=True, check=True
        )
        asked = subprocess.run([*program, "--ask", folder], capture_output=True, text=True, check=True)
    found = json.loads(asked.stdout.splitlines()[-1])
    return int(filled.stdout.split()[-1]), found, found.pop("first")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", type=int, nargs="+", default=SIZES)
    parser.add_argument("--fill", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fill:
        return filling(arguments.fill, arguments.views[0])
    if arguments.ask:
        return asking(arguments.ask)
    table = Table(title="analytics serve on a store that grows")
    for heading in (
        "page views", "disk MB", "bytes a row", "MB at rest", "MB at most", "refused of 15",
        "first answer ms", "slowest ms", "goals",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    smallest = 0.0
    for views in arguments.views:
        done, found, first = measured(views)
        a_row = found["bytes"] / found["rows"]
        smallest = smallest or a_row
        met = found["most"] <= MOST_MB and a_row <= smallest * GROWTH and not found["refused"]
        table.add_row(
            f"{done:,}", f"{found['bytes'] / 1e6:,.0f}", f"{a_row:.1f}", f"{found['rest']:.0f}", f"{found['most']:.0f}",
            f"{found['refused']:.0f}", f"{statistics.median(first):.0f}", f"{max(first):.0f}", "met" if met else "no",
        )  # fmt: skip
    console = Console(file=sys.stdout)
    console.print(table)
    console.print(
        f"Goals: at most {MOST_MB:.0f} MB (the engine's limit and {PROCESS_MB} for the process), nothing refused, "
        f"at most {GROWTH} x the bytes a row of the smallest size. The traffic is made up: real rows compress less."
    )
    return None


if __name__ == "__main__":
    main()
