"""A statement over lines of visits, where cells do not tell and the raw rows need not be read.

A line is a visit of one day with all that it says of itself, so a question may have any dimensions and filters that are
a visit's: `visit:*`, beside whole days. What is asked of single rows (pages, goals, properties, hours) is read from the
raw rows. Pure, like `cellplan`.
"""

from __future__ import annotations

from analytics.reports import cellplan, expressions, words
from analytics.reports.cellplan import PARTS, SAME, TIME
from analytics.reports.conditions import Parameters
from analytics.reports.daterange import Range, bucket_of
from analytics.reports.holdings import Cover
from analytics.reports.query import Query, leaves

# Of a visit, in the order of the table's columns.
OF_VISIT = tuple(name for name, column in expressions.COLUMNS.items() if column.of_visit)
OF_ROW = tuple(
    name
    for name, column in expressions.COLUMNS.items()
    if name.startswith("visit:") and not column.of_visit and name not in SAME
)
DIMENSIONS = (*OF_VISIT, *OF_ROW)
ROW_METRICS = {
    "visitors": "groupBitmapIf(number, unkeyed = 0)",
    "pageviews": "sum(pageviews)",
    "events": "sum(events)",
}
VISIT_METRICS = {
    **cellplan.VISIT_METRICS,
    "visitors": "groupBitmapIf(number, unkeyed = 0 AND visits > 0)",
}
# Of the rows of a visit that lies across a midnight: those of each day, with what the visit as a whole says where both
# days are in the range, and with what its part says at the edges of the range, where the visit is cut.
ROW_PARTS = (
    "(part = 'inside' OR (part = 'before' AND day >= {first:Date} AND day < {last:Date}) "
    "OR (part = 'after' AND day > {first:Date} AND day <= {last:Date}) "
    "OR (part = 'head' AND day = {last:Date}) OR (part = 'tail' AND day = {first:Date}))"
)


def column(dimension: str) -> str:
    """The column of a visit's dimension."""
    return SAME.get(dimension, dimension).removeprefix("visit:")


def statement(
    query: Query, range_: Range, metrics: tuple[str, ...], over: str, cover: Cover, limit: int
) -> tuple[str, dict[str, object]] | None:
    """SQL and parameters with the columns of the raw statement; None when lines of visits do not tell."""
    of_visits = over == "visits"
    table = VISIT_METRICS if of_visits else ROW_METRICS
    entry = {"event:page": "visit:entry_page"} if of_visits and "event:page" in query.dimensions else {}
    held = leaves(query.filters)
    time = [d for d in query.dimensions if words.is_time(d)]
    asked = {d for d in query.dimensions if d not in time} | {leaf.dimension for leaf, _ in held}
    if (
        not cover.visits
        or not set(metrics) <= set(table)
        or any(inside for _, inside in held)
        or any(bucket_of(d, range_) not in TIME for d in time)
        or not {SAME.get(entry.get(d, d), entry.get(d, d)) for d in asked} <= set(DIMENSIONS)
    ):
        return None
    parameters = Parameters()
    condition = cellplan.condition(query.filters, parameters, lambda d: column(entry.get(d, d)))
    dimensions = [TIME[bucket_of(d, range_)] if d in time else column(entry.get(d, d)) for d in query.dimensions]
    columns = [f"{sql} AS d{n}" for n, sql in enumerate(dimensions)]
    columns += [f"{table[m]} AS m{n}" for n, m in enumerate(metrics)]
    columns += [f"{table['visitors']} AS with_key", f"{'toUInt64(0)' if of_visits else 'sum(unkeyed)'} AS without_key"]
    group = ""
    if dimensions:
        group = f"\nGROUP BY {', '.join(f'd{n}' for n in range(len(dimensions)))}"
        group += "\nHAVING sum(visits) > 0" if of_visits else "\nHAVING sum(held) > 0"
    sql = (
        f"SELECT {', '.join(columns)}\nFROM visits AS v\nWHERE build IN {{builds:Array(UInt64)}}\n"
        f"  AND {PARTS if of_visits else ROW_PARTS}\n  AND {condition}{group}\nLIMIT {limit}"
    )
    builds = [*cover.days, *cover.midnights]
    return sql, {**parameters.values, "builds": builds, "first": range_.first_day, "last": range_.last_day}
