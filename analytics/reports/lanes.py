"""The released lane of the query language: a question is answered by sealed cells, or refused with what could be asked.

Nothing here can reach a raw row. Periods are days, ISO weeks and months in UTC, as they were sealed. Counts of visits,
page views and events may be summed over periods, with their noise; visitors never are: that would count people twice.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from typing import Any

import msgspec

from analytics.anonymise.periods import Period
from analytics.reports import places, words
from analytics.reports.daterange import Range, bucket_of, resolve
from analytics.reports.errors import QueryError
from analytics.reports.query import Is, Query, to_object
from analytics.reports.reconcile import Z95
from analytics.reports.released import ReleasedReader, is_noise

CUBES = {
    "event:page": "path",
    "event:name": "event",
    "visit:entry_page": "entry-page",
    "visit:exit_page": "exit-page",
    "visit:source": "source",
    "visit:channel": "channel",
    "visit:utm_campaign": "campaign",
    "visit:country": "country",
    "visit:country_name": "country",
    "visit:browser": "browser",
    "visit:os": "os",
    "visit:device": "device",
}
METRICS = ("visitors", "visits", "pageviews", "events", "bounce_rate")
SUMMED = ("visits", "pageviews", "events")


class Estimate(msgspec.Struct):
    """A noisy number and its standard deviation."""

    value: float = 0.0
    sigma: float = 0.0

    def add(self, value: float, sigma: float) -> None:
        self.value, self.sigma = self.value + value, math.hypot(self.sigma, sigma)

    def shown(self) -> int:
        return max(0, round(self.value))

    def below_noise(self) -> bool:
        return is_noise(self.value, self.sigma)

    def interval(self) -> list[int]:
        reach = Z95 * self.sigma
        return [max(0, math.floor(self.value - reach)), max(0, math.ceil(self.value + reach))]


Table = dict[tuple[str, ...], dict[str, Estimate]]


def answer(reader: ReleasedReader, query: Query, now: dt.datetime) -> dict[str, Any]:
    """The response body for `lane: released`. Raises QueryError, which names the cubes when none answers."""
    held = [release.period for release in reader.releases(query.site_id)]
    if not held:
        raise QueryError("$.lane", f"nothing is released of {query.site_id} yet", cubes=[])
    earliest = min(period.start for period in held)
    range_ = resolve(query.date_range, now=now, earliest=earliest)
    cube, keys = _cube(reader, query, held)
    time = next(filter(words.is_time, query.dimensions), None)
    table: Table = {}
    used: list[str] = []
    for period in _periods(reader, query, held, range_, time):
        used.append(str(period))
        for metric in _measured(reader, query, period, cube):
            for cell in reader.cells(query.site_id, str(period), cube, metric):
                if keys is not None and cell.key not in keys:
                    continue
                key = tuple(_label(d, cell.key, period) for d in query.dimensions)
                table.setdefault(key, {}).setdefault(metric, Estimate()).add(cell.estimate, cell.sigma)
    return _body(reader, query, range_, table, used, cube)


def _refuse(reader: ReleasedReader, query: Query, held: list[Period], path: str, reason: str) -> QueryError:
    cubes = reader.cubes(query.site_id, str(held[-1]))
    names = "; ".join(f"{name} ({', '.join(metrics)})" for name, metrics in cubes.items())
    return QueryError(path, f"{reason}. The released cubes are: {names}", cubes=cubes)


def _cube(reader: ReleasedReader, query: Query, held: list[Period]) -> tuple[str, set[str] | None]:
    """The cube that has the query's dimension, and the keys that its filters let through."""
    if query.include.compare is not None:
        raise QueryError("$.include.compare", "the released lane has no comparison: ask twice")
    asked = [d for d in query.dimensions if not words.is_time(d)]
    keys: set[str] | None = None
    for index, filter_ in enumerate(query.filters):
        path = f"$.filters[{index}]"
        if not isinstance(filter_, Is) or filter_.dimension not in CUBES or not filter_.modifiers.case_sensitive:
            raise _refuse(reader, query, held, path, "the released lane knows only `is` filters on a cube's dimension")
        given = {str(clause) for clause in filter_.clauses}
        if filter_.dimension == "visit:country_name":
            given = {code for code, name in places.country_names().items() if name in given}
        keys = given if keys is None else keys & given
        if filter_.dimension not in asked:
            asked.append(filter_.dimension)
    names = {CUBES.get(dimension) for dimension in asked} or {"total"}
    if len(names) != 1 or None in names:
        raise _refuse(reader, query, held, "$.dimensions", f"no cube counts by {' and '.join(asked)}")
    return str(names.pop()), keys


def _measured(reader: ReleasedReader, query: Query, period: Period, cube: str) -> list[str]:
    there = reader.cubes(query.site_id, str(period)).get(cube, [])
    wanted: list[str] = []
    for index, metric in enumerate(query.metrics):
        parts = ["bounces", "visits"] if metric == "bounce_rate" else [metric]
        if any(part not in there for part in parts):
            raise _refuse(reader, query, [period], f"$.metrics[{index}]", f"no cube has {metric} by {cube}")
        wanted += parts
    return list(dict.fromkeys(wanted))


def _periods(
    reader: ReleasedReader, query: Query, held: list[Period], range_: Range, time: str | None
) -> Iterator[Period]:
    first, last = range_.first_day, range_.last_day
    inside = [period for period in held if first <= period.first and period.last <= last]
    if time is not None:
        kind = bucket_of(time, range_)
        if kind not in ("day", "week", "month"):
            raise QueryError("$.dimensions", "releases are by day, week and month")
        yield from sorted((p for p in inside if p.kind == kind), key=lambda period: period.first)
        return
    whole = [period for period in held if (period.first, period.last) == (first, last)]
    if whole:
        yield whole[0]
        return
    if any(metric not in SUMMED for metric in query.metrics):
        near = nearest(held, first, last)
        raise QueryError(
            "$.date_range",
            f"{first} to {last} is no released period, and visitors of several periods cannot be added; the nearest "
            f"that is released is {near}: {near.first} to {near.last}",
            nearest=str(near),
        )
    day = first
    by_start = {(period.first, period.kind): period for period in inside}
    while day <= last:
        found = next((by_start[day, kind] for kind in ("month", "week", "day") if (day, kind) in by_start), None)
        if found is not None:
            yield found
        day = (found.last if found else day) + dt.timedelta(days=1)


def nearest(held: list[Period], first: dt.date, last: dt.date) -> Period:
    """The period whose two ends lie nearest to those of a range; of equals the latest."""
    return min(held, key=lambda p: (abs((p.first - first).days) + abs((p.last - last).days), -p.last.toordinal()))


def _label(dimension: str, key: str, period: Period) -> str:
    if words.is_time(dimension):
        return period.first.isoformat()
    return places.country_name(key) if dimension == "visit:country_name" else key


def _body(
    reader: ReleasedReader, query: Query, range_: Range, table: Table, used: list[str], cube: str
) -> dict[str, Any]:
    rows = []
    for key, cells in table.items():
        metrics = [_metric(metric, cells)[0] for metric in query.metrics]
        row: dict[str, Any] = {"metrics": metrics, "dimensions": list(key)}
        if query.with_intervals:
            row["intervals"] = [_metric(metric, cells)[1] for metric in query.metrics]
            row["below_noise"] = [_below_noise(metric, cells) for metric in query.metrics]
        rows.append(row)
    rows = _ordered(query, rows)
    start = query.pagination.offset
    meta: dict[str, Any] = {"lane": "released", "cube": cube, "periods": used}
    if query.include.total_rows:
        meta["total_rows"] = len(rows)
    echo = to_object(query) | {"date_range": range_.iso_pair()}
    return {"results": rows[start : start + query.pagination.limit], "meta": meta, "query": echo}


def _metric(metric: str, cells: dict[str, Estimate]) -> tuple[Any, list[Any] | None]:
    if metric != "bounce_rate":
        estimate = cells.get(metric, Estimate())
        return estimate.shown(), estimate.interval()
    bounces, visits = cells.get("bounces", Estimate()), cells.get("visits", Estimate())
    if visits.below_noise():
        # Of one row's own visits: a row is not listed because of its rate. The delta method covers the true rate in 95
        # of 100 draws from here on; a higher bound, as for lists, would keep the draws that are off (74 of 100 at 3).
        return None, None
    rate = min(100.0, max(0.0, 100 * bounces.value / visits.value))
    reach = Z95 * 100 * math.hypot(bounces.sigma, rate / 100 * visits.sigma) / visits.value  # delta method
    return round(rate), [max(0, math.floor(rate - reach)), min(100, math.ceil(rate + reach))]


def _below_noise(metric: str, cells: dict[str, Estimate]) -> bool:
    """Marked, not hidden: what is to be listed is for the reader to choose, by how many rows there are."""
    return cells.get("visits" if metric == "bounce_rate" else metric, Estimate()).below_noise()


def _ordered(query: Query, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    time = next(filter(words.is_time, query.dimensions), None)
    order = query.order_by or (((time, "asc"),) if time else ((query.metrics[0], "desc"),))
    rows.sort(key=lambda row: row["dimensions"])
    for name, direction in reversed(order):
        at_dimension = name in query.dimensions
        index = query.dimensions.index(name) if at_dimension else [str(metric) for metric in query.metrics].index(name)
        field = "dimensions" if at_dimension else "metrics"

        def value(row: dict[str, Any], field: str = field, index: int = index) -> Any:
            found = row[field][index]
            return (found is not None, found if found is not None else 0)

        rows.sort(key=value, reverse=direction == "desc")
    return rows
