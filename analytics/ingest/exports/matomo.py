"""Matomo's reports as CSV, one row a label; with a column `date` where days were exported. Names are raw or English."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from analytics.ingest.exports.cell import Cell, ExportError, count, country_code, day, seconds, share, source_keys

# What the columns are called in our words; raw names first.
_COLUMNS: Final = {
    "visitors": ("nb_uniq_visitors", "sum_daily_nb_uniq_visitors", "unique visitors"),
    "visits": ("nb_visits", "entry_nb_visits", "exit_nb_visits", "visits", "entrances", "exits"),
    "pageviews": ("nb_pageviews", "nb_hits", "pageviews"),
    "events": ("nb_events", "nb_actions", "total events", "actions"),
    "bounces": ("bounce_count", "entry_bounce_count", "bounces"),
}
# A word of the name of the report or its file -> (our report, the dimension of the label)
_NAMED: Final = (
    ("entry page", "entry-pages", "visit:entry_page"),
    ("exit page", "exit-pages", "visit:exit_page"),
    ("page url", "pages", "event:page"),
    ("pages", "pages", "event:page"),
    ("channel type", "", ""),
    ("referrer", "sources", "source"),
    ("search engine", "sources", "source"),
    ("websites", "sources", "source"),
    ("social", "sources", "source"),
    ("sources", "sources", "source"),
    ("country", "locations", "visit:country"),
    ("device type", "devices", "visit:device"),
    ("devices", "devices", "visit:device"),
    ("browsers", "browsers", "visit:browser"),
    ("operating system", "systems", "visit:os"),
    ("systems", "systems", "visit:os"),
    ("event name", "events", "event:name"),
    ("events", "events", "event:name"),
)
_DEVICES: Final = {"smartphone": "mobile", "phablet": "mobile"}


def begins(header: Iterable[str]) -> bool:
    names = {name.strip().lower() for name in header}
    return bool(names & {"nb_visits", "nb_uniq_visitors", "nb_hits", "nb_actions"}) or {"visits", "actions"} <= names


def report_of(header: Iterable[str], name: str) -> tuple[str, str]:
    """Our report and the dimension of its label, by the report's or the file's name. Raises ExportError."""
    if "label" not in {column.strip().lower() for column in header}:
        return "totals", ""
    plain = name.lower().replace("_", " ").replace("-", " ").replace("getpageurls", "page url")
    for word, report, dimension in _NAMED:
        if word in plain and report:
            return report, dimension
    raise ExportError(
        "which report is this? Say --report pages, entry-pages, exit-pages, sources, locations, devices, browsers, "
        "systems or events"
    )


def cells(
    rows: Iterable[Mapping[str, str]], report: str, dimension: str, period: tuple[dt.date, dt.date] | None
) -> Iterator[Cell]:
    """`period`: the days that the file is about, where its rows do not say. Raises ExportError."""
    for named in rows:
        row = {name.strip().lower(): value for name, value in named.items() if name}
        if row.get("date"):
            parts = row["date"].split(",")
            first, last = day(parts[0]), day(parts[-1])
        elif period:
            first, last = period
        else:
            raise ExportError("the rows name no day: export with days, or say --days 2026-11-01 2026-11-30")
        label = row.get("label", "")
        if label.lower() in ("others", "total"):
            continue
        counts = {name: _first(row, columns) for name, columns in _COLUMNS.items()}
        visits = counts["visits"]
        if "bounce_count" not in row and "bounces" not in row:
            counts["bounces"] = round(share(row.get("bounce_rate") or row.get("bounce rate") or "0") * visits)
        yield Cell(report, first, last, _keys(row, dimension, label), **counts, visit_seconds=_seconds(row, visits))


def _first(row: Mapping[str, str], columns: Iterable[str]) -> int:
    return next((count(row[column]) for column in columns if row.get(column)), 0)


def _seconds(row: Mapping[str, str], visits: int) -> int:
    total = row.get("sum_visit_length") or row.get("total time spent by visitors (in seconds)")
    if total:
        return round(seconds(total))
    average = row.get("avg_time_on_site") or row.get("avg. visit duration (in seconds)")
    return round(seconds(average or "0") * visits)


def _keys(row: Mapping[str, str], dimension: str, label: str) -> dict[str, str]:
    if not dimension:
        return {}
    if dimension == "source":
        return source_keys(label)
    if dimension == "visit:country":
        return {dimension: country_code(row.get("metadata: code") or row.get("code") or label)}
    if dimension == "visit:device":
        return {dimension: _DEVICES.get(label.lower(), label.lower())}
    if dimension in ("event:page", "visit:entry_page", "visit:exit_page"):
        url = row.get("metadata: url") or row.get("url") or label
        path = "/" + url.partition("://")[2].partition("/")[2] if "://" in url else url
        return {dimension: ("/" + path.lstrip("/")).partition("?")[0]}
    return {dimension: label}
