"""`analytics serve` on a store that grows, 1, 10 and 50 million page views of 30 days: memory, disk, first answers.

The process itself, asked over HTTP: at most how much is resident while fifteen reports are asked for, four at once, and
the dashboard's overview, twice - right after loading, when every report is counted from the rows while the service
counts its cells beside them, and as it stands from then on, when the cells are there. In between they are counted, by
the function that the service runs. Another process fills the store. `--views N ...` names other sizes; `--fill`,
`--serve` and `--count` do one step on a folder.

Goals: memory is bounded, whatever the number of rows, and nothing is refused; a row takes as many bytes in a large
store as in a small one.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from analytics import jobs
from analytics.service import Service
from analytics.store import open_store
from bench._traffic import fill

DAYS = 30
SIZES = (1_000_000, 10_000_000, 50_000_000)
MOST_MB = 700
AT_ONCE = 50_000  # visitors a statement: all of a large day at once are more than the engine's limit
GROWTH = 1.2  # bytes a row, against the smallest size
PATIENCE = 1800  # seconds a client waits
ASKED = (
    {"metrics": ["visitors", "visits", "pageviews", "bounce_rate", "visit_duration"]},
    {"metrics": ["visitors", "pageviews"], "dimensions": ["time:day"]},
    {"metrics": ["visitors", "pageviews"], "dimensions": ["event:page"]},
    {"metrics": ["visitors", "visits", "bounce_rate"], "dimensions": ["visit:source"]},
    {"metrics": ["visitors"], "dimensions": ["visit:country", "visit:device"]},
)


def resident(process: int) -> tuple[float, float]:
    """MB now, and at most since the start."""
    text = Path(f"/proc/{process}/status").read_text()
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    now, most = (int(lines[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
    return now, most


def filling(data_dir: Path, views: int) -> int:
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
    return done


class Served:
    """A running `analytics serve`."""

    def __init__(self, process: int, url: str, token: str) -> None:
        self.process, self.url, self.headers = process, url, {"authorization": f"Bearer {token}"}

    def send(self, path: str, body: object = None) -> tuple[int, str, float]:
        """Status, text, milliseconds."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, self.headers)
        started = time.perf_counter()
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        return status, text, (time.perf_counter() - started) * 1000

    def ask(self, asked: dict[str, Any], date_range: str) -> tuple[bool, float]:
        """Was it refused, and after how many milliseconds?"""
        query = {"site_id": "example.org", "date_range": date_range, **asked}
        status, text, took = self.send("/api/v2/query", query)
        if status != 200:
            print(status, text, file=sys.stderr)
        return status != 200, took

    def overview(self) -> tuple[int, float]:
        """How many of its panels were refused, and seconds until the dashboard's page has all its numbers."""
        started = time.perf_counter()
        while True:
            status, page, _ = self.send("/")
            assert status == 200, page
            if 'http-equiv="refresh"' not in page:
                return page.count("state error"), time.perf_counter() - started
            time.sleep(1)


@contextlib.contextmanager
def serving(data_dir: Path) -> Iterator[Served]:
    program = [sys.executable, "-m", "analytics", "serve", "--data-dir", str(data_dir), "--port", "0"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=data_dir) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("Ready"):
            assert process.poll() is None, "the service did not start"
        contact = json.loads((data_dir / "service.json").read_text("utf-8"))
        try:
            yield Served(process.pid, contact["url"], contact["token"])
        finally:
            process.terminate()


def asking(data_dir: Path) -> dict[str, Any]:
    """What was measured of a service on this folder."""
    with serving(data_dir) as served:
        rest = resident(served.process)[0]
        answers = [served.ask(asked, "30d") for asked in ASKED]
        first = [took for _, took in answers]
        with ThreadPoolExecutor(4) as four:
            for back in (29, 28):  # other ranges: what was answered is kept
                answers += four.map(served.ask, ASKED, [f"{back}d"] * len(ASKED))
        panels, overview = served.overview()
        refused = panels + sum(refused for refused, _ in answers)
        most = resident(served.process)[1]
    return {"rest": rest, "most": most, "refused": refused, "first": first, "overview": overview}


def counting(data_dir: Path) -> dict[str, Any]:
    """Count all cells without the service's pauses."""
    service, started = Service(data_dir, None), time.perf_counter()
    sql = "SELECT sum(bytes_on_disk), sum(rows) FROM system.parts WHERE active AND table = 'events'"
    size, rows = service.store.query(sql)[0]
    while jobs.count_cells(service.workplace):
        pass
    most, took = resident(os.getpid())[1], time.perf_counter() - started
    service.close()
    return {"most": most, "seconds": took, "bytes": int(size), "rows": int(rows)}


STEPS = ("fill", "serve", "count")


def step(name: str, folder: str, *options: str) -> Any:
    """Run a step in a process of its own, so that its memory is not counted with another's."""
    program = [sys.executable, "-m", "bench.memory", f"--{name}", folder, *options]
    return json.loads(subprocess.run(program, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def lines_of(views: int, smallest: float) -> tuple[float, list[list[str]]]:
    """Bytes a row, and the lines of the table, for one size."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        done = step("fill", folder, "--views", str(views))
        before, counted, after = step("serve", folder), step("count", folder), step("serve", folder)
    a_row = counted["bytes"] / counted["rows"]
    grown = f"{counted['bytes'] / 1e6:,.0f}, {a_row:.1f}"
    fits = a_row <= (smallest or a_row) * GROWTH
    lines = []
    for name, found in (("before any cell", before), ("cells counted", after)):
        met = found["most"] <= MOST_MB and not found["refused"] and fits
        times = [f"{statistics.median(found['first']):.0f}", f"{max(found['first']):.0f}", f"{found['overview']:.1f}"]
        numbers = [f"{found['rest']:.0f}", f"{found['most']:.0f}", f"{found['refused']}"]
        lines.append([f"{done:,}", grown, name, *numbers, *times, "met" if met else "no"])
    met = counted["most"] <= MOST_MB
    seconds = f"{counted['seconds']:.0f} s"
    between = [f"{done:,}", grown, "counting them", "", f"{counted['most']:.0f}", "", "", "", seconds]
    lines.insert(1, [*between, "met" if met else "no"])
    return a_row, lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=int, nargs="+", default=SIZES)
    for name in STEPS:
        parser.add_argument(f"--{name}", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.fill:
        return print(filling(arguments.fill, arguments.views[0]))
    for name, work in (("serve", asking), ("count", counting)):
        if folder := getattr(arguments, name):
            return print(json.dumps(work(folder.absolute())))
    table = Table(title="analytics serve on a store that grows")
    for heading in (
        "page views", "disk MB, bytes a row", "when", "MB at rest", "MB at most", "refused",
        "first answer ms", "slowest ms", "overview s", "goals",
    ):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "when" else "right")
    smallest = 0.0
    for views in arguments.views:
        a_row, lines = lines_of(views, smallest)
        smallest = smallest or a_row
        for line in lines:
            table.add_row(*line)
    console = Console(file=sys.stdout)
    console.print(table)
    console.print(
        f"Goals: at most {MOST_MB} MB for the whole process, nothing refused, at most {GROWTH} x the bytes a row of "
        "the smallest size. The traffic is made up: real rows compress less."
    )
    return None


if __name__ == "__main__":
    main()
