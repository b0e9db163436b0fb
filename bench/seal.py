"""Sealing a day: how long it takes, and how exact it is beside the optimum and beside k-suppression.

`--visitors N` sets the size of the timed day (100,000; about 10 page views each).
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from analytics.anonymise import bounds, curve, mechanism, sealed
from analytics.anonymise.periods import Period
from analytics.anonymise.raw import RawPeriod, Sums
from analytics.anonymise.release import drawn, manifest_of, plan_of
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
# One draw's mean error of 50 paths varies by an eighth: so many draws give it to about 1 %.
DRAWS, DRAWS_OF_WHOLE = 120, 20
READ = ("total", "path")
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
            found = noisy.draw(m, released[m.cube] if m.kind == "selected" else None)
            cells += len(found)
            if m.kind == "threshold":
                released[m.cube] = tuple(found)
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
    """Mean relative error of released numbers over many draws; what suppression hides instead."""
    table = Table(
        title=f"Mean relative error of a sealed day, {DRAWS} draws (epsilon 1, delta 1e-6 for day, week, month);\n"
        "ratio: error beside noise alone, and the standard error of that"
    )
    table.add_column("visitors a day", justify="right")
    table.add_column("what")
    for heading in ("default", "noise alone", "ratio", "whole budget on days", "noise / optimum", "k = 10", "k = 20"):
        table.add_column(heading, justify="right")
    default, whole = PrivacyPolicy.parse(POLICY), PrivacyPolicy.parse(POLICY + WHOLE_DAY)
    for visitors in (1_000, 10_000, 100_000):
        store.command("TRUNCATE TABLE events")
        views = fill(store, day=DAY.first, visitors=visitors)
        plan = plan_of(default, SITE, DAY)
        # The same shares of a budget by the exact curve, all of delta, no lattice.
        optimum = f"{curve.mu_for(1.0, 1e-6) / bounds.promise(1.0, 1e-6).mu:.3f}"
        sums = RawPeriod(store, plan).sums()
        readers = {
            name: [_drawn(policy, sums, folder / f"{name}-{visitors}-{draw}") for draw in range(draws)]
            for name, policy, draws in (("default", default, DRAWS), ("whole", whole, DRAWS_OF_WHOLE))
        }
        hidden = [_hidden(store, k) for k in (10, 20)]
        for label, true in (("total/visitors", visitors), ("total/pageviews", views)):
            alone = ABSOLUTE * next(m.sigma for m in plan.measurements if m.label == label) / true
            found = {name: _total_error(of, label, true) for name, of in readers.items()}
            table.add_row(
                f"{visitors:,}" if label == "total/visitors" else "", label.replace("/", " "),
                f"{found['default']:.2%}", f"{alone:.2%}", f"{found['default'] / alone:.2f}",
                f"{found['whole']:.2%}", optimum, "exact", "exact",
            )  # fmt: skip
        top = dict(store.query(TRUE_TOP))
        sigma = next(m.sigma for m in plan.measurements if m.label == "path/pageviews")
        # Over the paths that are shown, so that both numbers speak of the same ones.
        error, alone, shown, spread = _path_error(readers["default"], top, sigma)
        other, _, other_shown, _ = _path_error(readers["whole"], top, sigma)
        table.add_row(
            "", "top 50 paths, page views",
            f"{error:.2%} ({shown:.0f} shown)" if shown else "none shown", f"{alone:.2%}" if shown else "",
            f"{error / alone:.2f} ± {spread:.2f}" if shown else "", f"{other:.2%} ({other_shown:.0f} shown)", optimum,
            *hidden,
        )  # fmt: skip
    return table


def _drawn(policy: PrivacyPolicy, sums: Sums, folder: Path) -> ReleasedReader:
    """A seal of what was counted once: real noise, a file of the cubes that are compared here, the real reader."""
    whole = plan_of(policy, SITE, DAY)
    plan = msgspec.structs.replace(whole, measurements=tuple(m for m in whole.measurements if m.cube in READ))
    cells = drawn(plan, sums)
    parquet = sealed.write_parquet(cells)
    manifest = manifest_of(plan, policy, parquet, len(cells), 1, sealed.GENESIS, NOW)
    (folder / SITE).mkdir(parents=True)
    (folder / SITE / f"{DAY.file_stem}.parquet").write_bytes(parquet)
    (folder / SITE / f"{DAY.file_stem}.json").write_bytes(sealed.canonical({"manifest": manifest}))
    return ReleasedReader(folder)


def _total_error(readers: list[ReleasedReader], label: str, true: int) -> float:
    cells = [reader.cells(SITE, str(DAY), *label.split("/"))[0] for reader in readers]
    return math.fsum(abs(cell.estimate - true) / true for cell in cells) / len(cells)


def _path_error(readers: list[ReleasedReader], top: dict[str, int], sigma: float) -> tuple[float, float, float, float]:
    """Mean relative error of the paths that are shown, what noise alone would give for the same, how many are shown,
    and the standard error of the first by the second."""
    off: list[float] = []
    alone: list[float] = []
    ratios: list[float] = []
    for reader in readers:
        before = len(off)
        for cell in reader.cells(SITE, str(DAY), "path", "pageviews"):
            if cell.key in top:
                off.append(abs(cell.estimate - top[cell.key]) / top[cell.key])
                alone.append(ABSOLUTE * sigma / top[cell.key])
        if off[before:]:
            ratios.append(math.fsum(off[before:]) / math.fsum(alone[before:]))
    count = len(off) or 1
    spread = statistics.stdev(ratios) / math.sqrt(len(ratios)) if len(ratios) > 1 else 0.0
    return math.fsum(off) / count, math.fsum(alone) / count, len(off) / len(readers), spread


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
