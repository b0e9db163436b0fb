"""Totals of other tools in an answer, where `include.imports` asks for them. They never reach the released lane.

Visitors of several days are added up, as those tools exported them day by day; averages are weighted by visits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from analytics.ingest.exports.cell import REPORTS
from analytics.reports import words
from analytics.reports.daterange import Range, bucket_of
from analytics.reports.planner import Statement, sql_text
from analytics.reports.query import Query

COUNTED: Final = ("visitors", "visits", "pageviews", "events")
METRICS: Final = frozenset((*COUNTED, *words.SESSION_METRICS))
UNSUPPORTED: Final = "unsupported_query"
NOTHING: Final = "no_imported_data"


class _Cell(Protocol):
    values: dict[str, Any]
    keyed: int


def widened(query: Query) -> Query:
    """The query with what averages are weighted by."""
    if not query.include.imports or "visits" in query.metrics or not words.SESSION_METRICS & set(query.metrics):
        return query
    return msgspec.structs.replace(query, metrics=(*query.metrics, "visits"))


def report_for(query: Query) -> str | None:
    """The report whose cells answer this query; None when none does: a filter, or dimensions of several reports."""
    wanted = {dimension for dimension in map(_stored, query.dimensions) if not words.is_time(dimension)}
    if query.filters or not set(query.metrics) <= METRICS:
        return None
    return next((name for name, dimensions in REPORTS.items() if wanted <= set(dimensions)), None)


def add(
    run: Callable[[Statement], list[tuple[Any, ...]]],
    query: Query,
    range_: Range,
    cells: dict[tuple[Any, ...], Any],
    new_cell: Callable[[], _Cell],
) -> str | None:
    """Add imported cells to counted ones; the reason when there is nothing to add."""
    report = report_for(query)
    time = next(filter(words.is_time, query.dimensions), None)
    bucket = bucket_of(time, range_) if time else ""
    if report is None or bucket in ("hour", "minute"):
        return UNSUPPORTED

    named = [dimension for dimension in query.dimensions if dimension != time]
    parameters = {
        "site": query.site_id,
        "report": report,
        "bucket": bucket,
        "dimensions": [_stored(dimension) for dimension in named],
        "first": range_.first_day,
        "last": range_.last_day,
    }
    rows = run(Statement(sql_text("imported_cells"), parameters, (), ()))
    for labels, start, *counts in rows:
        left = iter(labels)
        key = tuple(start if dimension == time else next(left) for dimension in query.dimensions)
        _add(cells.setdefault(key, new_cell()), dict(zip((*COUNTED, "bounces", "seconds"), counts, strict=True)))
    return None if rows else NOTHING


def _add(cell: _Cell, more: dict[str, int]) -> None:
    values = cell.values
    own = values.get("visits") or 0
    visits = own + more["visits"]
    sums = {
        "bounce_rate": more["bounces"] * 100,
        "visit_duration": more["seconds"],
        "views_per_visit": more["pageviews"],
    }
    for metric, total in sums.items():
        before = values.get(metric)
        before = 0 if before is None or before != before else before  # NaN: an average over nothing
        values[metric] = (float(before) * own + total) / visits if visits else 0.0
    for metric in COUNTED:
        values[metric] = (values.get(metric) or 0) + more[metric]
    cell.keyed += more["visitors"]


def _stored(dimension: str) -> str:
    """The dimension whose key the cells carry."""
    return dimension.removesuffix("_name") if dimension.startswith("visit:") else dimension
