"""Plausible's export: `imported_<report>_<from>_<to>.csv`, alone or in a zip; its own CSV import takes the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from analytics.ingest.exports.cell import Cell, ExportError, count, day, source_keys

NAME: Final = re.compile(r"imported_([a-z_]+?)(?:_\d{8}_\d{8})?\.csv$")
Row = Mapping[str, str]


def _plain(**columns: str) -> Callable[[Row], dict[str, str]]:
    """Keys that are columns: dimension (its colon as `__`) -> column."""
    named = {dimension.replace("__", ":"): column for dimension, column in columns.items()}
    return lambda row: {dimension: row[column] for dimension, column in named.items() if row.get(column)}


def _sources(row: Row) -> dict[str, str]:
    others = {name: row.get(name, "") for name in ("referrer", "utm_source", "utm_campaign", "utm_content", "utm_term")}
    return source_keys(row.get("source", ""), row.get("utm_medium", ""), utm_medium=row.get("utm_medium", ""), **others)


# file -> (our report, its keys)
_FILES: Final[dict[str, tuple[str, Callable[[Row], dict[str, str]]]]] = {
    "visitors": ("totals", lambda row: {}),
    "sources": ("sources", _sources),
    "pages": ("pages", _plain(event__page="page", event__hostname="hostname")),
    "entry_pages": ("entry-pages", _plain(visit__entry_page="entry_page")),
    "exit_pages": ("exit-pages", _plain(visit__exit_page="exit_page")),
    "locations": ("locations", _plain(visit__country="country", visit__region="region", visit__city="city")),
    "devices": ("devices", _plain(visit__device="device")),
    "browsers": ("browsers", _plain(visit__browser="browser", visit__browser_version="browser_version")),
    "operating_systems": (
        "systems",
        _plain(visit__os="operating_system", visit__os_version="operating_system_version"),
    ),
    "custom_events": ("events", _plain(event__name="name")),
}
_DEVICES: Final = {"laptop": "desktop"}


def kind_of(name: str) -> str | None:
    """Which of the files this is, by its name; None for others. `custom_props` and later kinds are not read."""
    found = NAME.search(name)
    return found.group(1) if found and found.group(1) in _FILES else None


def cells(kind: str, rows: Iterable[Row]) -> Iterator[Cell]:
    """Raises ExportError."""
    report, keys_of = _FILES[kind]
    for row in rows:
        if "date" not in row:
            raise ExportError("no column `date`")
        on = day(row["date"])
        keys = keys_of(row)
        if "visit:device" in keys:
            device = keys["visit:device"].lower()
            keys = {"visit:device": _DEVICES.get(device, device)}
        yield Cell(
            report,
            on,
            on,
            keys,
            visitors=count(row.get("visitors", "")),
            visits=count(row.get("visits") or row.get("entrances") or row.get("exits") or ""),
            pageviews=count(row.get("pageviews", "")),
            events=count(row.get("events") or row.get("pageviews") or ""),
            bounces=count(row.get("bounces", "")),
            visit_seconds=count(row.get("visit_duration", "")),
        )
