"""The first of many pages under one click, from cells of two dimensions.

People click on a source, a country, a device; then they look at the pages. For each value of these a build has how many
visitors each page had, and their set where they are many: the sizes of all pages and the sets of the first are found
there. Where the set of one of these is not kept, its lines are read. Pure, like `pageplan` and `visitplan`, whose lines
say the same.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from analytics.reports import expressions
from analytics.reports.cellplan import MEMBERS, PARTS, Texts, columns
from analytics.reports.conditions import Parameters
from analytics.reports.holdings import Cover
from analytics.reports.lines import ROW_PARTS, column
from analytics.reports.query import Is, Query

CLICKED = ("visit:source", "visit:channel", "visit:country", "visit:device", "visit:browser", "visit:os")
KEYS = "key IN {keys:Array(String)}"


class Cube(msgspec.Struct, frozen=True):
    """What is crossed with what people click on."""

    table: str  # whose lines
    column: str  # the page
    counted: str  # which lines count
    parts: str  # which parts of a visit a range takes
    sums: tuple[str, ...]
    members: int  # of a set that is kept; two bytes each, or four where they are few


ROWS = ("unkeyed", "pageviews", "events")
VISITS = ("visits", "visit_views", "bounces", "duration_ms")
CUBES = {
    "event:page": Cube("visit_pages", "page", "held > 0 AND part != 'over'", ROW_PARTS, ROWS, 500),
    "visit:entry_page": Cube("visits", "entry_page", "visits > 0", PARTS, VISITS, 100),
    "visit:exit_page": Cube("visits", "exit_page", "visits > 0", PARTS, VISITS, 100),
}


def pairs() -> str:
    """What a line says that is crossed with its page, as (dimension, value)."""
    columns = [(name, column(name)) for name in CLICKED]
    return ", ".join(f"('{name}', toString({column}))" for name, column in columns)


def clicked(query: Query) -> tuple[str, str] | None:
    """The dimension and the value of the only filter, where it is one that a click makes."""
    match query.filters:
        case (Is(dimension=dimension, clauses=(clause,)) as leaf,) if dimension in CLICKED:
            if leaf.modifiers.case_sensitive:
                return dimension, "" if clause == expressions.COLUMNS[dimension].empty else str(clause)
    return None


def cross(
    query: Query,
    metrics: dict[str, str],
    over: str,
    cover: Cover,
    whole: Texts,
    source: Callable[[str], str],
    limit: int,
) -> Texts | None:
    """The question with its bounds; None when no cells of two dimensions tell. `metrics` are over columns of lines,
    `whole` has the statement of all groups, and `source` reads the lines of it that pass a further condition."""
    cube = CUBES.get(query.dimensions[0]) if len(query.dimensions) == 1 else None
    click = clicked(query) if cover.crossed else None
    if cube is None or click is None or (over == "visits") != (cube.sums is VISITS):
        return None
    parameters = Parameters(dict(whole.parameters))
    cube_name, dimension, value = (parameters.add(text) for text in (*query.dimensions, *click))
    which = f"cube = {cube_name} AND dimension = {dimension} AND value = {value}"
    builds = [*cover.days, *cover.midnights]
    cells = f"FROM cross_cells\nWHERE build IN {{builds:Array(UInt64)}} AND {which}\n  AND {cube.parts}"
    unkeyed = "sum(unkeyed)" if cube.sums is ROWS else "toUInt64(0)"

    def select(visitors: str, from_: str, more: str = "") -> str:
        counted = [visitors if name == "visitors" else sql for name, sql in metrics.items()]
        return f"SELECT {columns(['key'], counted, visitors, unkeyed)}{more}\n{from_}\nGROUP BY d0\nLIMIT {limit}"

    own = ", ".join(cube.sums)
    summed = ", ".join(f"sum(v.{name}) AS {name}" for name in cube.sums)
    unkept = (
        f"FROM cross_cells WHERE build IN {{builds:Array(UInt64)}} AND {which} AND {KEYS} AND NOT kept AND size > 0"
    )
    narrower = (
        f"\n  AND build IN (SELECT build {unkept}) AND {cube.column} IN {{keys:Array(String)}}"
        f"\n  AND (build, part, toString({cube.column})) IN (SELECT build, part, key {unkept}) AND {cube.counted}"
    )
    rest = (
        f"FROM\n(\nSELECT key, visitors, {own}\n{cells} AND {KEYS} AND (kept OR size = 0)\nUNION ALL\n"
        f"SELECT toString(v.{cube.column}) AS key, groupBitmapStateIf(v.number, v.unkeyed = 0) AS visitors, {summed}\n"
        f"{source(narrower)}\nGROUP BY key\n)"
    )
    return Texts(
        whole.sql,
        {**parameters.values, "builds": builds},
        select("max(size)", cells, ", sum(size), countIf(NOT kept AND size > 0)"),
        select(MEMBERS, f"{cells} AND {KEYS}"),
        select(MEMBERS, rest),
    )
