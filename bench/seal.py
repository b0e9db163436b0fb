"""Sealing a day: how long it takes, and how exact it is beside the optimum and beside k-suppression.

`--visitors N` sets the size of the timed day (100,000; about 10 page views each).
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from analytics.anonymise import bounds, curve, mechanism
from analytics.anonymise.periods import Period
from analytics.anonymise.raw import RawPeriod
from analytics.anonymise.release import plan_of, seal
from analytics.reports.released import ReleasedReader
from analytics.store import open_store
from bench._traffic import fill
from consent_middleware.policy import PrivacyPolicy

SITE = "example.org"
DAY = Period.parse("day:2026-11-19")
NOW = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
POLICY = """
revision = 1
updated = 2026-11-01
[controller]
name = "Benchmark"
[site]
hosts = ["example.org"]
[[purpose]]
id = "analytics"
"""
WHOLE_DAY = "[anonymity.shares]\nday = 1.0\nweek = 0.0\nmonth = 0.0\n"
ABSOLUTE = math.sqrt(2 / math.pi)  # mean of |N(0, 1)|
TRUE_TOP = """
SELECT path, count() AS n FROM events WHERE site = 'example.org' AND kind = 'view' AND bot = ''
GROUP BY path ORDER BY n DESC, path LIMIT 50
"""


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(store: Any, visitors: int) -> Table:
    """The bounded sums (SQL) and the noise, five times each."""
    store.command("TRUNCATE TABLE events")
    views = fill(store, day=DAY.first, visitors=visitors)
    plan = plan_of(PrivacyPolicy.parse(POLICY), SITE, DAY)
    rows: dict[str, list[tuple[float, float]]] = {"SQL: bounded sums of 15 cubes": [], "noise: OpenDP": []}
    cells = 0
    for _ in range(5):
        wall, used = time.perf_counter(), cpu()
        sums = RawPeriod(store, plan).sums()
        rows["SQL: bounded sums of 15 cubes"].append((time.perf_counter() - wall, cpu() - used))
        wall, used = time.perf_counter(), cpu()
        noisy = mechanism.Mechanism(plan)
        noisy.open(sums)
        released: dict[str, tuple[str, ...]] = {}
        cells = 0
        for m in plan.measurements:
            drawn = noisy.draw(m, released[m.cube] if m.kind == "selected" else None)
            cells += len(drawn)
            if m.kind == "threshold":
                released[m.cube] = tuple(drawn)
        rows["noise: OpenDP"].append((time.perf_counter() - wall, cpu() - used))
    table = Table(title=f"Sealing a day of {views:,} page views, {visitors:,} visitors, {cells:,} cells (5 runs)")
    table.add_column("step")
    for heading in ("best s", "median s", "CPU s", "goal s"):
        table.add_column(heading, justify="right")
    for (step, times), goal in zip(rows.items(), ("1.5", "1.0"), strict=True):
        walls = sorted(wall for wall, _ in times)
        table.add_row(step, f"{walls[0]:.2f}", f"{walls[2]:.2f}", f"{min(used for _, used in times):.2f}", goal)
    return table


def errors(store: Any, folder: Path) -> Table:
    """Mean relative error of released numbers; what suppression hides instead."""
    table = Table(title="Mean relative error of a sealed day (epsilon 1, delta 1e-6 for day, week and month together)")
    table.add_column("visitors a day", justify="right")
    table.add_column("what")
    for heading in ("default", "noise alone", "whole budget on days", "optimum, same share", "k = 10", "k = 20"):
        table.add_column(heading, justify="right")
    for visitors in (1_000, 10_000, 100_000):
        store.command("TRUNCATE TABLE events")
        fill(store, day=DAY.first, visitors=visitors)
        default, whole = PrivacyPolicy.parse(POLICY), PrivacyPolicy.parse(POLICY + WHOLE_DAY)
        readers = {}
        for name, policy in (("default", default), ("whole", whole)):
            where = folder / f"{name}-{visitors}"
            seal(store, policy, SITE, DAY, where / "releases", now=NOW)
            readers[name] = ReleasedReader(where / "releases")
        plan = plan_of(default, SITE, DAY)
        ideal = bounds.promise(1.0, 1e-6).mu / curve.mu_for(1.0, 1e-6)
        totals = _total_errors(readers, visitors)
        sigma = next(m.sigma for m in plan.measurements if m.label == "total/visitors")
        table.add_row(
            f"{visitors:,}", "total visitors", f"{totals['default']:.2%}", f"{ABSOLUTE * sigma / visitors:.2%}",
            f"{totals['whole']:.2%}", f"{ABSOLUTE * sigma * ideal / visitors:.2%}", "exact", "exact",
        )  # fmt: skip
        top = dict(store.query(TRUE_TOP))
        sigma = next(m.sigma for m in plan.measurements if m.label == "path/pageviews")
        alone = ABSOLUTE * math.fsum(sigma / count for count in top.values()) / len(top)
        table.add_row(
            "", "top 50 paths, page views", _path_error(readers["default"], top), f"{alone:.2%}",
            _path_error(readers["whole"], top), f"{alone * ideal:.2%}", *(_hidden(store, k) for k in (10, 20)),
        )  # fmt: skip
    return table


def _total_errors(readers: dict[str, ReleasedReader], visitors: int) -> dict[str, float]:
    """What the interval says an average draw is off by; one draw alone says little."""
    return {
        name: ABSOLUTE * reader.cells(SITE, str(DAY), "total", "visitors")[0].sigma / visitors
        for name, reader in readers.items()
    }


def _path_error(reader: ReleasedReader, top: dict[str, int]) -> str:
    found = {cell.key: cell.estimate for cell in reader.cells(SITE, str(DAY), "path", "pageviews")}
    shown = [path for path in top if path in found]
    if not shown:
        return "none shown"
    error = math.fsum(abs(found[path] - top[path]) / top[path] for path in shown) / len(shown)
    return f"{error:.2%}" + (f" ({len(shown)} shown)" if len(shown) < len(top) else "")


def _hidden(store: Any, k: int) -> str:
    """Suppression shows exact numbers, and hides the rest; whoever differences two tables undoes it."""
    ((hidden, all_paths, views, all_views),) = store.query(
        "SELECT countIf(v < {k:UInt32}), count(), sumIf(n, v < {k:UInt32}), sum(n) FROM (SELECT path, "
        "uniqExact(visitor) AS v, count() AS n FROM events WHERE kind = 'view' GROUP BY path)",
        {"k": k},
    )
    return f"exact; hides {hidden / all_paths:.0%} of paths, {views / all_views:.0%} of views"


def periods() -> Table:
    """What the default shares buy by day, week and month."""
    table = Table(title="Standard deviation of the noise by period, default shares (day 0.5, week 0.2, month 0.3)")
    table.add_column("cube / metric")
    for heading in ("day", "week", "month"):
        table.add_column(heading, justify="right")
    policy = PrivacyPolicy.parse(POLICY)
    plans = [plan_of(policy, SITE, Period.of(kind, DAY.first)) for kind in ("day", "week", "month")]
    for label in ("total/visitors", "total/visits", "total/pageviews", "path/visitors", "path/pageviews",
                  "source/visitors", "country/visitors"):  # fmt: skip
        table.add_row(label, *(f"{next(m.sigma for m in p.measurements if m.label == label):.0f}" for p in plans))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=100_000)
    arguments = parser.parse_args()
    console = Console(width=150)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open_store(None, folder) as store:
            console.print(timed(store, arguments.visitors))
            console.print(errors(store, folder))
    console.print(periods())
    return 0


if __name__ == "__main__":
    sys.exit(main())
