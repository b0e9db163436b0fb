"""Google Analytics 4: a report or an exploration as CSV. Lines with `#` say the days; tables with headers follow.

A table with a day in its rows gives cells of days. One without gives cells of the whole period, which a report shows
only when it asks for all of those days.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from analytics.ingest.exports.cell import Cell, ExportError, count, country_code, day, seconds, share, source_keys

_DAYS: Final = ("date", "nth day", "day")
# column -> (our report, the dimension)
_DIMENSIONS: Final = {
    "page path": ("pages", "event:page"),
    "page path and screen class": ("pages", "event:page"),
    "page path + query string": ("pages", "event:page"),
    "page path + query string and screen class": ("pages", "event:page"),
    "landing page": ("entry-pages", "visit:entry_page"),
    "landing page + query string": ("entry-pages", "visit:entry_page"),
    "session source": ("sources", "source"),
    "session medium": ("sources", "medium"),
    "session source / medium": ("sources", "source / medium"),
    "session campaign": ("sources", "campaign"),
    "country id": ("locations", "visit:country"),
    "country": ("locations", "visit:country"),
    "device category": ("devices", "visit:device"),
    "browser": ("browsers", "visit:browser"),
    "operating system": ("systems", "visit:os"),
    "event name": ("events", "event:name"),
}
_METRICS: Final = {
    "visitors": ("total users", "active users", "users"),
    "visits": ("sessions",),
    "pageviews": ("views", "screen page views"),
    "events": ("event count",),
}


def begins(first_line: str) -> bool:
    return first_line.startswith("# ---")


def tables(lines: Iterable[str]) -> Iterator[tuple[dt.date, dt.date, list[list[str]]]]:
    """The days and the rows, header first, of each table of a file. Raises ExportError."""
    first = last = None
    table: list[str] = []
    for line in [*lines, "# end"]:
        if line.startswith("#") or not line.strip():
            if table:
                if first is None or last is None:
                    raise ExportError("a table stands before `# Start date` and `# End date`")
                yield first, last, list(csv.reader(table))
                table = []
            name, _, value = line.lstrip("# ").partition(":")
            if name.strip().lower() == "start date":
                first = day(value)
            elif name.strip().lower() == "end date":
                last = day(value)
        else:
            table.append(line)


def cells(first: dt.date, last: dt.date, table: list[list[str]]) -> Iterator[Cell]:
    """Raises ExportError."""
    header = [name.strip().lower() for name in table[0]]
    days = next((name for name in header if name in _DAYS), None)
    known = {name: _DIMENSIONS[name] for name in header if name in _DIMENSIONS}
    reports = {report for report, _ in known.values()}
    if len(reports) > 1:
        raise ExportError(f"a table by {' and '.join(known)} belongs to no one report: export one dimension at a time")
    metrics = {name: next((c for c in columns if c in header), None) for name, columns in _METRICS.items()}
    if not any(metrics.values()):
        raise ExportError(f"no column of counts among: {', '.join(table[0])}")
    others = [
        name for name in header if name and name not in _DAYS and name not in known and name not in _NUMBERS_OR_SUMS
    ]
    if others and header.index(others[0]) == 0:
        raise ExportError(f'a table by "{table[0][0]}" is not among the reports that are read')
    for values in table[1:]:
        row = dict(zip(header, values, strict=False))
        if any("grand total" in value.lower() for value in values) or (days and not row[days].strip().isdigit()):
            continue  # sums that the file adds
        on = _day(row[days], days, first) if days else None
        visits = count(row.get("sessions", ""))
        yield Cell(
            next(iter(reports), "totals"),
            on or first,
            on or last,
            _keys({dimension: row[name] for name, (_, dimension) in known.items()}),
            **{name: count(row[column]) for name, column in metrics.items() if column},
            bounces=_bounces(row, visits),
            visit_seconds=round(seconds(row.get("average session duration", "0")) * visits),
        )


_NUMBERS_OR_SUMS: Final = frozenset(
    [column for columns in _METRICS.values() for column in columns]
    + ["average session duration", "engagement rate", "new users", "returning users", "key events", "conversions"]
    + ["total revenue", "views per active user", "average engagement time per active user", "user engagement"]
    + ["bounce rate", "engaged sessions", "totals"]
)


def _day(text: str, column: str, first: dt.date) -> dt.date:
    return first + dt.timedelta(days=int(text)) if column == "nth day" else day(text)


def _bounces(row: Mapping[str, str], visits: int) -> int:
    if row.get("engaged sessions"):
        return max(0, visits - count(row["engaged sessions"]))
    if row.get("engagement rate"):
        return round((1 - share(row["engagement rate"])) * visits)
    return round(share(row.get("bounce rate", "0")) * visits)


def _keys(found: Mapping[str, str]) -> dict[str, str]:
    if not {"source", "medium", "source / medium", "campaign"} & set(found):
        keys = {dimension: value.strip() for dimension, value in found.items()}
        if "event:page" in keys or "visit:entry_page" in keys:  # a query may hold what identifies
            keys = {dimension: value.partition("?")[0] for dimension, value in keys.items()}
        if "visit:country" in keys:
            keys = {"visit:country": country_code(keys["visit:country"])}
        return keys
    source, _, medium = found.get("source / medium", "").partition(" / ")
    return source_keys(found.get("source", source), found.get("medium", medium), utm_campaign=found.get("campaign", ""))
