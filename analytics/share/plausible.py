"""Plausible's CSV import: a file for each of its tables, named by table and dates, with every column it reads.

Names, order and types of the columns follow its importer; what a release does not hold is zero or empty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from analytics.anonymise.domains import NONE, OTHER
from analytics.anonymise.sealed import Cell, SealedRelease


class Table(msgspec.Struct, frozen=True):
    """`columns` in Plausible's order: a metric of ours, "key", or what stands there when we have nothing."""

    cube: str
    columns: Mapping[str, str]


ZERO, EMPTY, KEY = "0", "", "key"
_COUNTED = {"visitors": "visitors", "visits": "visits", "visit_duration": ZERO, "bounces": "bounces", "pageviews": ZERO}
_LEFT_EMPTY = ("referrer", "utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")
TABLES: Mapping[str, Table] = {
    "imported_visitors": Table("total", {"visitors": "visitors", "pageviews": "pageviews", "bounces": "bounces",
                                         "visits": "visits", "visit_duration": ZERO}),
    "imported_pages": Table("path", {"hostname": EMPTY, "page": KEY, "visits": ZERO, "visitors": "visitors",
                                     "pageviews": "pageviews"}),
    "imported_entry_pages": Table("entry-page", {"entry_page": KEY, "visitors": "visitors", "entrances": "visits",
                                                 "visit_duration": ZERO, "bounces": "bounces", "pageviews": ZERO}),
    "imported_exit_pages": Table("exit-page", {"exit_page": KEY, "visitors": "visitors", "visit_duration": ZERO,
                                               "exits": "visits", "bounces": ZERO, "pageviews": ZERO}),
    "imported_sources": Table("source", {"source": KEY, **dict.fromkeys(_LEFT_EMPTY, EMPTY), "pageviews": ZERO,
                                         "visitors": "visitors", "visits": "visits", "visit_duration": ZERO,
                                         "bounces": "bounces"}),
    "imported_locations": Table("country", {"country": KEY, "region": EMPTY, "city": ZERO, **_COUNTED}),
    "imported_devices": Table("device", {"device": KEY, **_COUNTED}),
    "imported_browsers": Table("browser", {"browser": KEY, "browser_version": EMPTY, **_COUNTED}),
    "imported_operating_systems": Table("os", {"operating_system": KEY, "operating_system_version": EMPTY,
                                               **_COUNTED}),
    "imported_custom_events": Table("event", {"name": KEY, "link_url": EMPTY, "path": EMPTY, "visitors": "visitors",
                                              "events": "events"}),
}  # fmt: skip
# Where Plausible has another word for the same thing.
WORDS: Mapping[str, str] = {
    "desktop": "Desktop", "mobile": "Mobile", "tablet": "Tablet", "macOS": "Mac", "Mac OS X": "Mac",
    "Linux": "GNU/Linux", NONE: "", OTHER: "",
}  # fmt: skip
TRANSLATED = frozenset({"device", "os", "browser", "country", "source"})


def tables(release: SealedRelease, cells: Sequence[Cell]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """(file name, header, rows) for each table that the release has a cube for. Raises ValueError: no day."""
    if release.period.kind != "day":
        raise ValueError(f"Plausible's import has one row per day; {release.period} is a {release.period.kind}")
    day = release.period.first
    counts: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    for cell in cells:
        key = WORDS.get(cell.key, cell.key) if cell.cube in TRANSLATED else cell.key
        # Noise can take a count below zero; Plausible has no number for that.
        counts[cell.cube][key][cell.metric] += max(0, round(cell.value))
    for name, table in TABLES.items():
        rows = [
            [day.isoformat(), *(_value(source, key, found) for source in table.columns.values())]
            for key, found in sorted(counts.get(table.cube, {}).items())
            if any(found[source] for source in table.columns.values() if source in found)
        ]
        if table.cube in counts:
            yield f"{name}_{day:%Y%m%d}_{day:%Y%m%d}.csv", ["date", *table.columns], rows


def field_type(column: str) -> str:
    """What a column holds, in the words of Frictionless."""
    if column == "date":
        return "date"
    texts = {name for table in TABLES.values() for name, source in table.columns.items() if source in (KEY, EMPTY)}
    return "string" if column in texts else "integer"


def _value(source: str, key: str, found: Mapping[str, int]) -> str:
    if source == KEY:
        return key
    return source if source in (ZERO, EMPTY) else str(found.get(source, 0))
