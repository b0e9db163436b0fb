"""A statement over cells where they say the same as the raw rows; None where only the raw rows can tell.

A cell holds a set of visitors for one value of one dimension on one day. So a question may have one dimension beside
time, and filters on that dimension only. Pure: what comes in is which builds there are, what goes out is SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from analytics.reports import expressions, words
from analytics.reports.conditions import Parameters, compare
from analytics.reports.daterange import Range, bucket_of
from analytics.reports.holdings import Cover
from analytics.reports.query import And, Filter, HasDone, HasNotDone, Leaf, Not, Or, Query, leaves

# Names of one column go to one cube.
SAME = {
    "visit:country_name": "visit:country",
    "visit:region_name": "visit:region",
    "visit:city_name": "visit:city",
    "visit:screen": "visit:device",
}
TOTAL = "total"
ROW_CUBES = (
    "event:page",
    "event:name",
    "event:hostname",
    "visit:country",
    "visit:region",
    "visit:city",
    "visit:browser",
    "visit:browser_version",
    "visit:os",
    "visit:os_version",
    "visit:device",
)
VISIT_CUBES = (
    "visit:source",
    "visit:referrer",
    "visit:channel",
    "visit:utm_medium",
    "visit:utm_source",
    "visit:utm_campaign",
    "visit:utm_content",
    "visit:utm_term",
    "visit:entry_page",
    "visit:exit_page",
    "visit:country",
    "visit:browser",
    "visit:os",
    "visit:device",
)
# Of these there may be thousands, of which an answer shows the first few.
LONG = frozenset({"event:page", "visit:entry_page", "visit:exit_page", "visit:referrer", "visit:city"})
MEMBERS = "groupBitmapMerge(visitors)"
ROW_METRICS = {
    "visitors": MEMBERS,
    "pageviews": "sum(pageviews)",
    "events": "sum(events)",
}
VISIT_METRICS = {
    "visitors": MEMBERS,
    "visits": "sum(visits)",
    "views_per_visit": "sum(visit_views) / nullIf(sum(visits), 0)",
    "bounce_rate": "100 * sum(bounces) / nullIf(sum(visits), 0)",
    "visit_duration": "sum(duration_ms) / 1000 / nullIf(sum(visits), 0)",
}
TIME = {
    "day": "day",
    "week": "greatest(toMonday(day), {first:Date})",
    "month": "toStartOfMonth(day)",
}
# Of a visit that lies across a midnight: the whole of it inside the range, what was before the range's end, what
# came after its beginning.
PARTS = (
    "(part = 'inside' OR (part = 'over' AND day >= {first:Date} AND day < {last:Date}) "
    "OR (part = 'head' AND day = {last:Date}) OR (part = 'tail' AND day = {first:Date}))"
)


class Texts(msgspec.Struct, frozen=True):
    """One question to the cells in up to four forms, with the same parameters.

    `bounds` joins no set: where `sql` tells visitors it gives how many there are at least (as many as in the largest
    set of a group), and after the last column how many at most (as many as in all its sets together) and whether a
    set is missing. `some` is for the groups in {keys:Array(String)} of which none is, and `rest` for the others. All
    are "" where there are few groups.
    """

    sql: str
    parameters: dict[str, object]
    bounds: str = ""
    some: str = ""
    rest: str = ""


def columns(dimensions: Iterable[str], metrics: Iterable[str], keyed: str, unkeyed: str) -> str:
    """What each statement of an answer selects, in the order in which it is read: dimensions, metrics, and how many
    visitors and rows without a key a group rests on."""
    named = [f"{sql} AS d{n}" for n, sql in enumerate(dimensions)]
    named += [f"{sql} AS m{n}" for n, sql in enumerate(metrics)]
    return ", ".join([*named, f"{keyed} AS with_key", f"{unkeyed} AS without_key"])


class CellQuestion(msgspec.Struct, frozen=True):
    """What is asked of the cells: the kind of them, the cube, the metrics as SQL."""

    kind: str
    cube: str
    metrics: tuple[str, ...]
    having: str = ""
    of_visits: bool = False  # a row without a key is no visit


def question(query: Query, range_: Range, metrics: tuple[str, ...], over: str, shape: str) -> CellQuestion | None:
    """Which cube answers; None when none does."""
    time = [d for d in query.dimensions if words.is_time(d)]
    if time and (bucket_of(time[0], range_) not in TIME or shape == "attributed"):
        return None
    if any(inside or leaf.dimension in ("event:goal", "segment") for leaf, inside in leaves(query.filters)):
        return None
    by_page = over == "visits" and "event:page" in query.dimensions
    filtered = {leaf.dimension for leaf, _ in leaves(query.filters)}
    if over == "visits" and any(map(words.is_event, filtered)) and not (by_page and filtered == {"event:page"}):
        return None
    asked = {d for d in query.dimensions if not words.is_time(d)} | filtered
    cubes = {"visit:entry_page" if by_page and d == "event:page" else SAME.get(d, d) for d in asked}
    if len(cubes) > 1:
        return None
    cube = cubes.pop() if cubes else TOTAL
    known: tuple[str, ...] = ROW_CUBES if shape == "rows" else VISIT_CUBES
    if shape == "attributed":
        known = tuple(name for name in VISIT_CUBES if expressions.COLUMNS[name].of_visit)
    table = VISIT_METRICS if over == "visits" else ROW_METRICS
    if cube not in (TOTAL, *known) or not set(metrics) <= set(table):
        return None
    having = "" if not query.dimensions else "HAVING sum(visits) > 0" if over == "visits" else "HAVING sum(held) > 0"
    kind = "rows" if shape == "rows" else "visits"
    return CellQuestion(kind, cube, tuple(table[m] for m in metrics), having, over == "visits")


def statement(query: Query, range_: Range, asked: CellQuestion, cover: Cover, limit: int) -> Texts | None:
    """SQL and parameters with the columns of the raw statement; None when the builds do not hold every visit."""
    if asked.kind == "visits" and not cover.visits:
        return None
    parameters = Parameters()
    condition_ = condition(query.filters, parameters, lambda _: "key")
    time = [d for d in query.dimensions if words.is_time(d)]
    dimensions = [TIME[bucket_of(d, range_)] if words.is_time(d) else "key" for d in query.dimensions]
    if asked.kind == "visits":
        builds, parts = (*(cover.days if time else cover.whole), *cover.midnights), PARTS
    else:
        builds, parts = cover.days if time else cover.whole, "part = 'inside'"
    unkeyed = "toUInt64(0)" if asked.of_visits else "sum(unkeyed)"
    group = f"\nGROUP BY {', '.join(f'd{n}' for n in range(len(dimensions)))}\n{asked.having}" if dimensions else ""

    def select(metrics: Iterable[str], keyed: str, narrower: str = "", more: str = "") -> str:
        return (
            f"SELECT {columns(dimensions, metrics, keyed, unkeyed)}{more}\nFROM cells\n"
            f"WHERE kind = {{kind:String}} AND cube = {{cube:String}} AND build IN {{builds:Array(UInt64)}}\n"
            f"  AND {parts}\n  AND {condition_}{narrower}{group}\nLIMIT {limit}"
        )

    bounds = some = ""
    if dimensions == ["key"] and asked.cube in LONG:
        bounded = ("max(size)" if sql == MEMBERS else sql for sql in asked.metrics)
        bounds = select(bounded, "max(size)", more=", sum(size), 0")
        some = select(asked.metrics, MEMBERS, "\n  AND key IN {keys:Array(String)}")
    values: dict[str, object] = {
        **parameters.values,
        "kind": asked.kind,
        "cube": asked.cube,
        "builds": list(builds),
        "first": range_.first_day,
        "last": range_.last_day,
    }
    return Texts(select(asked.metrics, MEMBERS), values, bounds, some)


def condition(filters: tuple[Filter, ...], parameters: Parameters, value: Callable[[str], str]) -> str:
    """Filters without has_done as SQL; `value` says what a dimension is called where it is read."""

    def one(filter_: Filter) -> str:
        match filter_:
            case And(inner):
                return "(" + " AND ".join(map(one, inner)) + ")"
            case Or(inner):
                return "(" + " OR ".join(map(one, inner)) + ")"
            case Not(each):
                return f"(NOT {one(each)})"
            case HasDone() | HasNotDone():
                raise AssertionError("refused by `question`")
            case _:
                leaf: Leaf = filter_
                return compare(leaf, value(leaf.dimension), parameters, column=True)

    return " AND ".join(map(one, filters)) if filters else "1"
