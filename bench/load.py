"""The loader: events a second from the spool into a queryable store, and bytes of disk an event.

The peer is the driver's ordinary insert of Python rows, without any enrichment, in the same run. `--events N`.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from analytics.ingest.loader import load_pending
from analytics.store import open_store
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.spool import Spool
from consent_middleware.spool_values import SpoolLimits
from consent_middleware.visit import Captured

POLICY = PrivacyPolicy.parse(
    """
revision = 1
updated = 2026-11-20
[controller]
name = "Example"
[site]
hosts = ["example.org"]
[[purpose]]
id = "necessary"
required = true
[[purpose]]
id = "analytics"
"""
)
AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36"


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def events(count: int, chance: random.Random) -> list[Captured]:
    """Page views of the last three days: 200 user agents, 500 paths, 40 referrers, four views a visitor."""
    now = int(time.time() * 1000)
    return [
        Captured(
            site="example.org",
            time=now - chance.randrange(3 * 86_400_000),
            kind="view",
            name="pageview",
            host="example.org",
            path=f"/articles/{chance.randrange(500)}",
            query="utm_source=news&utm_medium=email" if number % 10 == 0 else "",
            referrer=f"site{chance.randrange(40)}.example" if number % 3 else "",
            method="GET",
            status=200,
            bytes=chance.randrange(50_000),
            duration_ms=chance.randrange(200),
            protocol="1.1",
            language="en-GB",
            country="GB",
            user_agent=AGENT.format(chance.randrange(200)),
            visitor=1 + (number // 4) * 1_000_000_007 % 2**63,
            revision=1,
        )
        for number in range(count)
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=500_000)
    count = parser.parse_args().events
    rows = events(count, random.Random(1))
    table = Table("what", "events", "seconds", "events a second", "CPU us an event", "bytes an event", title="Loading")
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        spool = Spool(data_dir / "spool", SpoolLimits(segment_seconds=3600))
        encode = msgspec.json.Encoder().encode
        lines = [encode(row) for row in rows]
        started, used = time.perf_counter(), cpu()
        for line in lines:
            spool.append(line)
        _row(table, "append to the spool (page cache)", count, time.perf_counter() - started, cpu() - used, "")
        spool.close()
        del lines
        gc.freeze()  # what this benchmark holds for the peer is none of the loader's work
        with open_store(None, data_dir) as store:
            started, used = time.perf_counter(), cpu()
            assert load_pending(store, data_dir, POLICY).rows == count
            seconds, used = time.perf_counter() - started, cpu() - used
            parts = "system.parts WHERE active AND table = 'events'"
            size = store.query(f"SELECT sum(bytes_on_disk) / sum(rows) FROM {parts}")
            _row(table, "load: verify, enrich, insert, fsync", count, seconds, used, f"{size[0][0]:.1f}")
            store.command("CREATE TABLE plain AS events ENGINE = MergeTree ORDER BY (site, time)")
            names = ["site", "time", "kind", "path", "referrer_host", "status", "bytes", "country", "visitor"]
            started, used = time.perf_counter(), cpu()
            client: Any = store._client
            for first in range(0, count, 50_000):
                part = [_plain(row) for row in rows[first : first + 50_000]]
                client.insert("plain", part, column_names=names)
            _row(table, "driver, Python rows, 9 columns", count, time.perf_counter() - started, cpu() - used, "")
    Console(file=sys.stdout).print(table)


def _plain(row: Captured) -> list[Any]:
    first = [row.site, row.time, row.kind, row.path]
    return [*first, row.referrer, row.status, row.bytes, row.country, row.visitor]


def _row(table: Table, what: str, count: int, seconds: float, used: float, size: str) -> None:
    table.add_row(what, f"{count:,}", f"{seconds:.2f}", f"{count / seconds:,.0f}", f"{used / count * 1e6:.2f}", size)


if __name__ == "__main__":
    main()
