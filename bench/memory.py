"""Memory of the service on a full store: resident at rest, and at most while reports are asked for, several at once.

`--views N` page views of 30 days, one site. A process of its own fills the store, so that its memory is not counted.
"""

from __future__ import annotations

import argparse
import datetime as dt
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from analytics.reports.errors import QueryTimeout
from analytics.reports.query import Query, parse_object
from analytics.service import Service
from analytics.store import open_store
from bench._traffic import fill

DAYS = 30
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
            done += fill(store, day=day, visitors=views // DAYS // 8, seed=back, cohort=back // 7)
        print(done)


def ask(service: Service, query: Query) -> bool:
    """Was the question refused because it takes more time or memory than one query may?"""
    try:
        service.reporting.ask(query)
    except QueryTimeout:
        return True
    return False


def asking(data_dir: Path) -> None:
    service = Service(data_dir, None)
    rest, refused = resident()[0], 0
    queries = [parse_object({"site_id": "example.org", "date_range": "30d", **asked}) for asked in ASKED]
    with ThreadPoolExecutor(4) as four:
        for _ in range(3):
            refused += sum(four.map(lambda query: ask(service, query), queries))
    print(f"{rest:.0f} {resident()[1]:.0f} {refused}")
    service.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--views", type=int, default=50_000_000)
    parser.add_argument("--fill", type=Path)
    parser.add_argument("--ask", type=Path)
    arguments = parser.parse_args()
    if arguments.fill:
        return filling(arguments.fill, arguments.views)
    if arguments.ask:
        return asking(arguments.ask)
    table = Table(
        "page views",
        "resident at rest, MB",
        "at most, four reports at once, MB",
        "refused of 15",
        title="analytics serve",
    )
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        program = [sys.executable, "-m", "bench.memory"]
        filled = subprocess.run(
            [*program, "--fill", folder, "--views", str(arguments.views)], capture_output=True, text=True, check=True
        )
        asked = subprocess.run([*program, "--ask", folder], capture_output=True, text=True, check=True)
        table.add_row(f"{int(filled.stdout.split()[-1]):,}", *asked.stdout.split()[-3:])
    Console(file=sys.stdout).print(table)
    return None


if __name__ == "__main__":
    main()
