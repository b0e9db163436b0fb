"""Cells of exports -> store, each once: a day of a report that is held is not taken a second time."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Final

import msgspec

from analytics.ingest.exports.cell import Cell
from analytics.ingest.exports.reading import ExportFile, read
from analytics.store import ONE_BLOCK, Store

COLUMNS: Final = (
    "report LowCardinality(String), first Date, last Date, keys Map(LowCardinality(String), String), visitors UInt64, "
    "visits UInt64, pageviews UInt64, events UInt64, bounces UInt64, visit_seconds UInt64"
)
_encode = msgspec.json.Encoder().encode


class CellSummary(msgspec.Struct):
    """What became of one file. `held`: cells of days whose report was imported before."""

    name: str
    tool: str
    cells: int = 0
    held: int = 0
    first: dt.date | None = None
    last: dt.date | None = None


def import_export(
    store: Store, path: Path, *, site: str, report: str | None = None, days: tuple[dt.date, dt.date] | None = None
) -> list[CellSummary]:
    """Import what is new in an export. Raises UserError. A file is one insert: it is there as a whole or not at all."""
    return [_take(store, site, file) for file in read(path, report, days)]


def _take(store: Store, site: str, file: ExportFile) -> CellSummary:
    held = _held(store, site)
    new = [cell for cell in file.cells if not _overlaps(cell, held.get(cell.report, {}))]
    summary = CellSummary(file.name, file.tool, len(new), len(file.cells) - len(new))
    if not new:
        return summary
    summary.first, summary.last = min(cell.first for cell in new), max(cell.last for cell in new)
    staged = f"imported_cells_{file.batch[:8]}"
    store.command(f"CREATE OR REPLACE TABLE {staged} ({COLUMNS}) ENGINE = Memory")
    try:
        store.load(staged, COLUMNS, "JSONEachRow", (_encode(cell) + b"\n" for cell in new))
        store.command(
            store.sql("insert_cells"),
            {"staged": staged, "site": site, "tool": file.tool, "batch": file.batch},
            insert_deduplication_token=f"cells:{site}:{file.batch}",
            **ONE_BLOCK,
        )
    finally:
        store.command(f"DROP TABLE IF EXISTS {staged}")
    return summary


def _held(store: Store, site: str) -> dict[str, dict[dt.date, dt.date]]:
    """report -> first day -> last day of what is there."""
    found: dict[str, dict[dt.date, dt.date]] = {}
    for report, first, last in store.query(store.sql("held_cells"), {"site": site}):
        days = found.setdefault(str(report), {})
        days[first] = max(last, days.get(first, last))
    return found


def _overlaps(cell: Cell, held: dict[dt.date, dt.date]) -> bool:
    if cell.first == cell.last and cell.first in held:
        return True
    return any(first <= cell.last and cell.first <= last for first, last in held.items() if first != last) or (
        cell.first != cell.last and any(cell.first <= first <= cell.last for first in held)
    )
