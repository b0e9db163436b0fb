"""Dashboard panels over 50 M page views of one site and 30 days, beside the bare query in the same run."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from analytics.reports import cellbuild
from analytics.reports.dashboard.warming import warm
from analytics.reports.daterange import of_days
from analytics.reports.errors import QueryTimeout
from analytics.reports.kept import Kept
from analytics.reports.limits import SMALL, parameter
from analytics.reports.planner import scope_parameters
from analytics.reports.pool import Pool
from analytics.reports.query import Query, parse_object
from analytics.reports.reporting import Reporting
from analytics.store import Store, StoreError, open_store

ROWS = int(os.environ.get("BENCH_ROWS", "50000000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "20"))
BARE_MS = 8_000  # a bare statement that takes so long is run once
FIRST, LAST = dt.date(2026, 11, 1), dt.date(2026, 11, 30)

FILL = """
INSERT INTO events (site, time, kind, name, host, path, source, channel, country, browser, os, device, visitor, basis,
                    loaded)
SELECT 'site.example',
       fromUnixTimestamp64Milli(toInt64(1793491200000) +
           toInt64(intDiv(number, 5) * {step:UInt64} % 2592000000 + number % 5 * 45000)),
       'view', 'pageview', 'site.example',
       concat('/page/', toString(toUInt32(floor(4000 * pow((cityHash64(number) % 1000003) / 1000003, 4))))),
       ['', '', 'Google', 'Bing', 'news.example', 'ChatGPT'][1 + cityHash64(intDiv(number, 5)) % 6], '',
       ['GB', 'GB', 'DE', 'FR', 'AT', 'US'][1 + cityHash64(intDiv(number, 15)) % 6],
       ['Chrome', 'Safari', 'Firefox', 'Edge'][1 + cityHash64(intDiv(number, 15), 2) % 4],
       ['Windows', 'Android', 'iOS', 'Linux'][1 + cityHash64(intDiv(number, 15), 3) % 4],
       ['desktop', 'mobile', 'tablet'][1 + cityHash64(intDiv(number, 15), 4) % 3],
       1 + cityHash64(intDiv(number, 5), 5) % 1500000, 'consent', now()
FROM numbers({from:UInt64}, {rows:UInt64})
"""


def now() -> dt.datetime:
    """The evening of the last day."""
    return dt.datetime(2026, 11, 30, 23, 0, tzinfo=dt.UTC)


def later() -> dt.datetime:
    return now() + dt.timedelta(minutes=5)


SCOPE = "site = {site:String} AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')} AND bot = ''"
BY = "SELECT {0}, uniqExact(visitor) AS v, count() FROM events WHERE " + SCOPE.replace("{", "{{").replace("}", "}}")
BY += " GROUP BY {0} ORDER BY v DESC LIMIT 9"
FROM_GOOGLE = [["is", "visit:source", ["Google"]]]


def visits(columns: str) -> str:
    """The bare statement for visits: rows of a visitor as an array, split where 30 minutes passed."""
    return (
        "SELECT visitor, arrayJoin(arraySplit((r, g) -> g > 1800000, rows, "
        "arrayDifference(arrayMap(r -> toUnixTimestamp64Milli(r.1), rows)))) AS v FROM "
        f"(SELECT visitor, arraySort(groupArray(({columns}))) AS rows FROM events WHERE {SCOPE} GROUP BY visitor)"
    )


def first_of(dimension: str, metric: str, *filters: list[Any]) -> dict[str, Any]:
    """The question of a panel of nine lines."""
    more = {"filters": [*filters]} if filters else {}
    return {"metrics": ["visitors", metric], "dimensions": [dimension], "pagination": {"limit": 9}, **more}


PANELS: dict[str, tuple[dict[str, Any], str]] = {
    "headline: visitors, page views": (
        {"metrics": ["visitors", "pageviews"]},
        f"SELECT uniqExact(visitor), count() FROM events WHERE {SCOPE}",
    ),
    "trend by day": (
        {"metrics": ["visitors"], "dimensions": ["time:day"]},
        f"SELECT toDate(time) AS d, uniqExact(visitor) FROM events WHERE {SCOPE} GROUP BY d ORDER BY d",
    ),
    "top pages": (
        first_of("event:page", "pageviews"),
        BY.format("path"),
    ),
    "countries": (
        first_of("visit:country", "pageviews"),
        BY.format("country"),
    ),
    "devices": (
        first_of("visit:device", "pageviews"),
        BY.format("device"),
    ),
    "sources (visits)": (
        first_of("visit:source", "visits"),
        "SELECT v[1].2 AS s, uniqExact(visitor) AS n, count() FROM "
        f"({visits('time, source')}) GROUP BY s ORDER BY n DESC LIMIT 9",
    ),
    "entry pages (visits)": (
        first_of("visit:entry_page", "visits"),
        "SELECT v[1].2 AS p, uniqExact(visitor) AS n, count() FROM "
        f"({visits('time, path')}) GROUP BY p ORDER BY n DESC LIMIT 9",
    ),
    "from Google: trend": (
        {"metrics": ["visitors"], "dimensions": ["time:day"], "filters": FROM_GOOGLE},
        "SELECT toDate(r.1) AS d, uniqExact(visitor) FROM "
        f"({visits('time, source')}) ARRAY JOIN v AS r WHERE v[1].2 = 'Google' GROUP BY d ORDER BY d",
    ),
    "from Google: countries": (
        first_of("visit:country", "pageviews", *FROM_GOOGLE),
        "SELECT r.3 AS c, uniqExact(visitor) AS n, count() FROM "
        f"({visits('time, source, country')}) ARRAY JOIN v AS r WHERE v[1].2 = 'Google' "
        "GROUP BY c ORDER BY n DESC LIMIT 9",
    ),
    "from Google: top pages": (
        first_of("event:page", "pageviews", *FROM_GOOGLE),
        "SELECT r.3 AS p, uniqExact(visitor) AS n, count() FROM "
        f"({visits('time, source, path')}) ARRAY JOIN v AS r WHERE v[1].2 = 'Google' "
        "GROUP BY p ORDER BY n DESC LIMIT 9",
    ),
    "who saw one page: sources": (
        first_of("visit:source", "visits", ["is", "event:page", ["/page/3"]]),
        "SELECT v[1].2 AS s, uniqExact(visitor) AS n, count() FROM "
        f"({visits('time, source, path')}) WHERE arrayExists(r -> r.3 = '/page/3', v) "
        "GROUP BY s ORDER BY n DESC LIMIT 9",
    ),
    "on a phone: top pages": (
        first_of("event:page", "pageviews", ["is", "visit:device", ["mobile"]]),
        BY.format("path").replace(" GROUP BY", " AND device = 'mobile' GROUP BY"),
    ),
    "in Britain: entry pages": (
        first_of("visit:entry_page", "visits", ["is", "visit:country", ["GB"]]),
        "SELECT v[1].2 AS p, uniqExact(visitor) AS n, count() FROM "
        f"({visits('time, path, country')}) WHERE v[1].3 = 'GB' GROUP BY p ORDER BY n DESC LIMIT 9",
    ),
    "who saw one page: entry pages": (
        first_of("visit:entry_page", "visits", ["is", "event:page", ["/page/3"]]),
        "SELECT v[1].2 AS p, uniqExact(visitor) AS n, count() FROM "
        f"({visits('time, path')}) WHERE arrayExists(r -> r.2 = '/page/3', v) GROUP BY p ORDER BY n DESC LIMIT 9",
    ),
    "entered by one page: top pages": (
        first_of("event:page", "pageviews", ["is", "visit:entry_page", ["/page/3"]]),
        "SELECT r.2 AS p, uniqExact(visitor) AS n, count() FROM "
        f"({visits('time, path')}) ARRAY JOIN v AS r WHERE v[1].2 = '/page/3' GROUP BY p ORDER BY n DESC LIMIT 9",
    ),
    "from Google, on a phone: headline": (
        {
            "metrics": ["visitors", "visits", "bounce_rate", "visit_duration"],
            "filters": [*FROM_GOOGLE, ["is", "visit:device", ["mobile"]]],
        },
        "SELECT uniqExact(visitor), count(), avg(length(v) = 1), avg(dateDiff('second', v[1].1, v[-1].1)) FROM "
        f"({visits('time, source, device')}) WHERE v[1].2 = 'Google' AND v[1].3 = 'mobile'",
    ),
    "from Google, on a phone: top pages": (
        first_of("event:page", "pageviews", *FROM_GOOGLE, ["is", "visit:device", ["mobile"]]),
        "SELECT r.3 AS p, uniqExact(visitor) AS n, count() FROM "
        f"({visits('time, source, path, device')}) ARRAY JOIN v AS r WHERE v[1].2 = 'Google' AND r.4 = 'mobile' "
        "GROUP BY p ORDER BY n DESC LIMIT 9",
    ),
}


def fill(store: Store, rows: int) -> float:
    started = time.perf_counter()
    store.command("ALTER TABLE events REMOVE TTL")  # days of a fixed month must not expire
    step = 200_000
    for start in range(0, rows, step):
        store.command(
            FILL,
            {"from": start, "rows": min(step, rows - start), "step": 12_960_000_000 // rows},
            max_threads=os.cpu_count() or 1,
        )
    return time.perf_counter() - started


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def p95(values: list[float]) -> float:
    return sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)]


def panels(reporting: Reporting, store: Store) -> Table:
    """Each round forgets the answers that are kept: what is timed is counted, not remembered. Before the first, the
    overview is asked for, as the service does when it has started or has counted cells. The bare statements have as
    many threads as ours."""
    table = Table(
        title=f"Panels over {ROWS:,} page views, 30 days of one site ({ROUNDS} rounds each: ours, then the bare SQL)"
    )
    heads = ("panel", "ours median ms", "ours p95", "ours CPU", "bare SQL median", "bare p95", "ratio")
    for head in (*heads, "goal 300 ms, 1.3 x"):
        table.add_column(head, justify="left" if head == "panel" else "right")
    range_ = of_days(FIRST, LAST, "UTC")
    given = {name: parameter(value) for name, value in scope_parameters("site.example", range_).items()}
    warm(reporting, "site.example")
    reporting.share_without_key("site.example", range_)  # answered once a minute for every panel of a site
    for name, (query, sql) in PANELS.items():
        asked = parse_object({"site_id": "site.example", "date_range": [FIRST.isoformat(), LAST.isoformat()], **query})
        ours: list[float] = []
        cpu: list[float] = []
        bare: list[float] = []

        def ask(asked: Query = asked) -> None:
            reporting.kept = Kept()
            reporting.ask(asked)

        try:
            for _ in range(ROUNDS):
                before = time.process_time()
                ours.append(timed(ask))
                cpu.append((time.process_time() - before) * 1000)
        except (QueryTimeout, StoreError) as error:  # a machine that is too small or too busy: say so, go on
            table.add_row(name, *["–"] * 6, f"stopped: {type(error).__name__}")
            continue
        for threads in (SMALL, {}):  # several may need more memory than there is; and so may one
            with contextlib.suppress(StoreError):
                while not bare or (len(bare) < min(ROUNDS, 3) and sum(bare) < BARE_MS):
                    bare.append(timed(partial(store.query, sql, given, **threads)))
            if bare:
                break
        table.add_row(*_line(name, ours, cpu, bare))
    return table


def _line(name: str, ours: list[float], cpu: list[float], bare: list[float]) -> list[str]:
    numbers = [f"{statistics.median(ours):.0f}", f"{p95(ours):.0f}", f"{statistics.median(cpu):.0f}"]
    if not bare:
        return [name, *numbers, "out of memory", "–", "–", "met" if p95(ours) < 300 else "missed"]
    ratio = statistics.median(ours) / statistics.median(bare)
    met = "met" if p95(ours) < 300 and ratio <= 1.3 else "missed"
    return [name, *numbers, f"{statistics.median(bare):.0f}", f"{p95(bare):.0f}", f"{ratio:.2f}", met]


def count(store: Store) -> Table:
    """What the cells cost: the whole month at once, and one day again."""
    # The service leaves all but one core to others; nobody else is here, and a month is counted at once.
    cellbuild.LIMITS |= {"max_threads": os.cpu_count() or 1, "max_threads_min_free_memory_per_thread": 0}
    started, cpu = time.perf_counter(), time.process_time()
    while cellbuild.count_cells(store, "site.example", "UTC", now, seconds=3600):
        pass
    whole, whole_cpu = time.perf_counter() - started, time.process_time() - cpu
    store.command(FILL, {"from": ROWS - 5, "rows": 5, "step": 12_960_000_000 // ROWS}, max_threads=1)
    cellbuild.LIMITS["max_threads"] = 1
    started, cpu = time.perf_counter(), time.process_time()
    again = cellbuild.count_cells(store, "site.example", "UTC", later, seconds=3600)
    one, one_cpu = time.perf_counter() - started, time.process_time() - cpu
    table = sizes(store, f", a month in {whole:.0f} s, {whole_cpu:.0f} s of CPU")
    table.add_row(f"one day again ({len(again)} builds): {one:.1f} s, {one_cpu:.1f} s of CPU", "")
    return table


def sizes(store: Store, counted: str = "") -> Table:
    """What lies on the disk."""
    sql = "SELECT table, sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() GROUP BY 1"
    found = dict(store.query(sql))
    table = Table(title=f"Cells and lines of visits{counted}")
    for head in ("", "MB"):
        table.add_column(head, justify="right" if head else "left")
    counted_as = {
        "cells": "cells",
        "visits": "lines of visits",
        "visit_pages": "lines of their pages",
        "cross_cells": "cells of pages under a click",
    }
    for name, what in (*counted_as.items(), ("numbers", "numbers of visitors")):
        table.add_row(what, f"{found[name] / 1e6:.0f}")
    table.add_row("raw rows", f"{found['events'] / 1e6:.0f}")
    return table


def crowd(reporting: Reporting, store: Store, analysts: int = 20) -> Table:
    """Twenty analysts ask at once while the loader inserts: how long does an insert of 10,000 rows take?"""
    asked = parse_object(
        {"site_id": "site.example", "date_range": [FIRST.isoformat(), LAST.isoformat()], **PANELS["countries"][0]}
    )

    def insert() -> None:
        store.command(FILL, {"from": ROWS, "rows": 10_000, "step": 259}, max_threads=1)

    alone = [timed(insert) for _ in range(5)]
    beside: list[float] = []
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            beside.append(timed(insert))

    async def everybody() -> list[float]:
        return await asyncio.gather(*[asyncio.to_thread(timed, lambda: reporting.ask(asked)) for _ in range(analysts)])

    loader = threading.Thread(target=load)
    loader.start()
    answers = asyncio.run(everybody())
    done.set()
    loader.join()
    table = Table(title=f"{analysts} analysts at once beside the loader")
    for head in ("", "median ms", "p95 ms"):
        table.add_column(head, justify="right" if head else "left")
    for name, values in (
        ("an answer", answers),
        ("insert of 10,000 rows, alone", alone),
        ("the same, beside them", beside),
    ):
        table.add_row(name, f"{statistics.median(values):.0f}", f"{p95(values):.0f}")
    return table


def main() -> None:
    """`BENCH_FOLDER` names a folder that keeps the store: what is in it is not made again."""
    console = Console()
    kept = os.environ.get("BENCH_FOLDER")
    with contextlib.ExitStack() as held:
        folder = Path(kept or held.enter_context(tempfile.TemporaryDirectory()))
        store = held.enter_context(open_store(None, folder))
        rows = store.query("SELECT count() FROM events")[0][0]
        if rows:
            console.print(f"{rows:,} rows, filled and counted by an earlier run")
            console.print(sizes(store))
        else:
            console.print(f"filled {ROWS:,} rows by the engine in {fill(store, ROWS):.0f} s")
            console.print(count(store))
        pool = Pool(lambda: open_store(None, folder, mode="ro"))
        reporting = Reporting(pool, folder, None, now=later)
        try:
            console.print(panels(reporting, store))
            console.print(crowd(reporting, store))
        finally:
            reporting.close()


if __name__ == "__main__":
    main()
