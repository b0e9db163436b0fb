"""The ledger: durable decisions a second, their latency at a steady rate, verification and size of a large ledger.

The peer is the plain way of doing it, in the same run on the same disk: one sqlite3 connection (WAL, FULL), one commit
for each insert. Latency is measured between two processes; below it stands what the machine itself takes, for such a
write without a database and for waking a process that sleeps. `--records N` sets the size of the large ledger
(1,000,000).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench._steady import Steady, ahead_of_others, milliseconds, steady
from consent_middleware.decide import decide
from consent_middleware.decision import resolve
from consent_middleware.keys import public_keys
from consent_middleware.ledger import ConsentRecord, open_ledger
from consent_middleware.ledger.heads import seal
from consent_middleware.ledger.ledger import KEYS_FILE, LEDGER_FILE
from consent_middleware.ledger.record import SCHEMA, encode, new_record_id
from consent_middleware.ledger.subject_keys import new_key
from consent_middleware.ledger.subject_keys import seal as sealed
from consent_middleware.ledger.verify import verify
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.services import Services, open_services

SHOWN = b"May we count visits? Accept all, reject all, choose."
DECISIONS = 10_000
AT_ONCE = 200
RATE = 500
SECONDS = 8
RUNS = 3
POLICY = PrivacyPolicy.parse(
    """
revision = 4
updated = 2026-11-20
[controller]
name = "The Law Group of Somewhere"
[site]
hosts = ["law.example"]
[[purpose]]
id = "analytics"
[[purpose]]
id = "marketing"
"""
)


def a_record(notice: str, subject: str) -> ConsentRecord:
    now = round(time.time(), 3)
    return ConsentRecord(
        schema=SCHEMA,
        record_id=new_record_id(),
        event="given",
        at=now,
        controller=POLICY.controller.name,
        notice=notice,
        language="en",
        revision=4,
        fingerprint=POLICY.fingerprint,
        purposes={"analytics": True, "marketing": False},
        method="banner",
        regime="opt-in",
        until=int(now) + 182 * 86_400,
        subject=subject,
    )


async def a_decision(services: Services) -> None:
    """What a first visitor's yes costs: decision, subject key, chain, fsync, cookies."""
    scope = {
        "type": "http",
        "scheme": "https",
        "headers": [(b"host", b"law.example")],
        "consent": UNDECIDED,
    }
    await decide(services, scope, granted=ANALYTICS, method="banner", language="en", shown=SHOWN)


ANALYTICS = frozenset({"analytics"})
UNDECIDED = resolve(POLICY, None)


async def flat_out(job: Callable[[], Awaitable[None]]) -> float:
    """Jobs a second with many at once, as fast as it goes."""
    left = DECISIONS

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await job()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return DECISIONS / (time.perf_counter() - started)


class Plain:
    """The peer: the same row and chain, one commit an insert, on the thread that calls."""

    def __init__(self, folder: Path) -> None:
        self.connection = sqlite3.connect(folder / "plain.sqlite3", isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute("CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, body BLOB, hash BLOB)")
        self.previous = b""

    async def append(self) -> None:
        body = encode(a_record("0" * 64, "x" * 70))
        self.previous = hashlib.sha256(self.previous + body).digest()
        self.connection.execute("INSERT INTO entries (body, hash) VALUES (?, ?)", (body, self.previous))
        # Lets the others have their turn, as an await of the ledger does.
        await asyncio.sleep(0)


async def fill(folder: Path, records: int) -> float:
    """A ledger of that many records with their subjects; how long it took."""
    ledger = open_ledger(folder)
    notice = await ledger.notice(SHOWN, "en", 4)
    started = time.perf_counter()

    async def batch(size: int) -> None:
        keys = []
        entries = []
        for _ in range(size):
            record = a_record(notice, "")
            key = new_key(record.record_id)
            keys.append(key)
            entries.append(msgspec.structs.replace(record, subject=sealed(key, "visitor:" + record.record_id)))
        await ledger.append_all(entries, keys=keys)

    for _ in range(records // 5_000):
        await batch(5_000)
    took = time.perf_counter() - started
    await asyncio.to_thread(seal, ledger)
    ledger.close()
    return took


def add_latency(table: Table, folder: Path) -> None:
    """Rows of the latency at a steady rate: among whatever else the machine does, and ahead of it."""
    add_runs(table, folder, f"p50 / p99 at {RATE} a second (median of {RUNS} runs)", contextlib.nullcontext)
    try:
        add_runs(table, folder, "the same, scheduled ahead of the machine's other work", ahead_of_others)
    except PermissionError:
        table.add_row("the same, scheduled ahead of the machine's other work", "not permitted here", "", "")


def add_runs(
    table: Table, folder: Path, what: str, scheduled: Callable[[], contextlib.AbstractContextManager[None]]
) -> None:
    ours, peer = [], []
    with scheduled():
        for _ in range(RUNS):
            peer.append(steady(folder, "plain", RATE, SECONDS))
            ours.append(steady(folder, "ours", RATE, SECONDS))

    def row(name: str, times: Callable[[Steady], list[float]], wanted: str = "") -> None:
        cells = []
        for runs in (ours, peer):
            p50s, p99s = zip(*(milliseconds(times(run)) for run in runs), strict=True)
            cells.append(f"{statistics.median(p50s):.1f} / {statistics.median(p99s):.1f} ms")
        table.add_row(name, *cells, wanted)

    row(what, lambda run: run.taken, "p99 50 ms")
    row("  this machine: fsync of 8 kB, p50 / p99", lambda run: run.fsync)
    row("  this machine: a sleeper wakes late by, p50 / p99", lambda run: run.late)


async def main(records: int) -> None:
    table = Table("what", "ours", "plain sqlite3, a commit each", "wanted", title=None)
    with tempfile.TemporaryDirectory(prefix="bench-ledger-") as name:
        folder = Path(name)
        plain = Plain(folder)
        services = await open_services(POLICY, folder / "decisions", ["a secret of the benchmark only"])
        await a_decision(services)
        ours, peer = [], []
        for _ in range(3):
            peer.append(await flat_out(plain.append))
            ours.append(await flat_out(lambda: a_decision(services)))
        table.add_row(
            f"durable decisions a second, {AT_ONCE} at once (median of 3)",
            f"{statistics.median(ours):,.0f}",
            f"{statistics.median(peer):,.0f}",
            "2,000",
        )
        await services.close()
        plain.connection.close()
        add_latency(table, folder)

        large = folder / "large"
        took = await fill(large, records)
        table.add_row(f"{records:,} records written in groups of 5,000", f"{records / took:,.0f} a second", "", "")
        ledger = open_ledger(large)
        database = ledger.connect()
        started = time.perf_counter()
        report = verify(database, public_keys(large).values())
        took = time.perf_counter() - started
        if not report.sound or report.entries != records:
            sys.exit(f"the large ledger is not sound: {report.findings[:3]}")
        database.close()
        ledger.close()
        table.add_row(f"verify {records:,} records", f"{took:.1f} s", "", "20 s")
        size, keys = (large / LEDGER_FILE).stat().st_size, (large / KEYS_FILE).stat().st_size
        table.add_row("bytes a record, indexes and hashes included", f"{size / records:.0f}", "", "450")
        table.add_row("bytes a subject key, in its own file", f"{keys / records:.0f}", "", "")
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    asyncio.run(main(parser.parse_args().records))
