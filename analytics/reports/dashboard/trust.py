"""What the pages about trust show: the releases with their error bars, consent rates, what the gate saw undeclared."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import msgspec

from analytics.anonymise.sealed import SealedRelease
from analytics.reports.released import ReleasedCell, ReleasedReader
from consent_middleware.inventory import Seen, read_inventory
from consent_middleware.ledger.ledger import Count
from consent_middleware.ledger.rates import BannerRate, PurposeRate, banner_rates, purpose_rates

RATE_DAYS = 30


class ReleaseRow(msgspec.Struct, frozen=True):
    """One release: when, how much privacy it spent, its visitors with the interval."""

    period: str
    first: str
    last: str
    epsilon: str
    cubes: int
    sha256: str
    visitors: ReleasedCell | None
    bar: tuple[float, float, float] = (0.0, 0.0, 0.0)  # low, value, high in percent of the widest of its kind


class Gate(msgspec.Struct, frozen=True):
    """How the banner was met in the last `days`; `seen`: cookies, keys and hosts that the policy does not declare."""

    languages: tuple[BannerRate, ...]
    by_day: tuple[BannerRate, ...]  # newest first
    purposes: tuple[PurposeRate, ...]
    days: int
    seen: tuple[Seen, ...]
    failed: str = ""


def release_rows(reader: ReleasedReader, held: list[SealedRelease]) -> list[ReleaseRow]:
    """Newest first."""
    rows = []
    for release in held:
        try:
            cell = reader.cells(release.site, str(release.period), "total", "visitors")[0]
        except (KeyError, IndexError):
            cell = None
        rows.append((release, cell))
    tops: dict[str, int] = {}
    for release, cell in rows:
        if cell:
            tops[release.period.kind] = max(tops.get(release.period.kind, 1), cell.high)
    found = []
    for release, cell in sorted(rows, key=lambda row: (row[0].period.last, row[0].period.kind), reverse=True):
        top = tops.get(release.period.kind, 1)
        bar = tuple(round(n / top * 100, 1) for n in (cell.low, cell.value, cell.high)) if cell else (0.0, 0.0, 0.0)
        found.append(_row(release, cell, bar))
    return found


def _row(release: SealedRelease, cell: ReleasedCell | None, bar: Any) -> ReleaseRow:
    manifest = release.manifest
    spent = manifest.get("spent", {})
    epsilon = spent.get("epsilon") if isinstance(spent, dict) else None
    return ReleaseRow(
        period=str(release.period),
        first=release.period.first.isoformat(),
        last=release.period.last.isoformat(),
        epsilon=f"{epsilon:.2f}" if isinstance(epsilon, int | float) else "–",
        cubes=len({m["cube"] for m in manifest.get("measurements", ())}),
        sha256=release.sha256,
        visitors=cell,
        bar=bar,
    )


def gate(data_dir: Path, today: dt.date) -> Gate:
    """Consent rates of the ledger's counters and the inventory of the gate."""
    seen = tuple(sorted(read_inventory(data_dir), reverse=True)) if data_dir.exists() else ()
    counts: list[Count] = []
    failed = ""
    if (data_dir / "ledger").exists() or os.environ.get("CONSENT_LEDGER_URL"):
        from consent_middleware.ledger import LedgerUnavailable, open_ledger

        try:
            ledger = open_ledger(data_dir, os.environ.get("CONSENT_LEDGER_URL"))
            try:
                counts = ledger.rates(today - dt.timedelta(days=RATE_DAYS - 1), today)
            finally:
                ledger.close()
        except LedgerUnavailable as error:
            failed = str(error)
    return Gate(
        tuple(sorted(banner_rates(counts, lambda count: ("", count.language)), key=lambda rate: -rate.shown)),
        tuple(banner_rates(counts, lambda count: (count.day, ""))[::-1]),
        tuple(purpose_rates(counts)),
        RATE_DAYS,
        seen,
        failed,
    )
