"""Writes the lines of one build's visits and of their pages: the same pieces of visits as its cells, kept whole instead
of counted; and the cells of two dimensions that are made of them."""

from __future__ import annotations

from string import Template
from typing import Any

from analytics.reports import crosscells, expressions, lines, pageplan, visitplan
from analytics.reports.conditions import Builder, Fields, Parameters
from analytics.reports.planner import sql_text
from analytics.store import Store

COUNTS = ("held", "unkeyed", "pageviews", "events", "visits", "visit_views", "bounces", "duration_ms")
STEPS = ("pages", "names", "counts")
PIECES = {"max_block_size": 8_192, "min_insert_block_size_rows": 300_000}  # each is sorted in memory


def write_lines(
    store: Store, given: dict[str, Any], scope: str, pieces: str, limits: dict[str, int], *, loose: bool
) -> None:
    """`pieces` is an array of (part, day, rows, the whole that they belong to); `loose`: rows without a key as well."""
    builder = Builder(Parameters(), Fields(), "visits")
    fields = [f"{builder.visit_value(name)} AS {lines.column(name)}" for name in visitplan.OF_VISIT]
    places = [builder.fields.place(expressions.COLUMNS[name].sql) for name in visitplan.OF_ROW]

    def look(row: str) -> str:
        return f"tuple({', '.join(f'{row}.{place}' for place in places)})"

    fields += [f"look.{n} AS {lines.column(name)}" for n, name in enumerate(visitplan.OF_ROW, 1)]
    path, name = (f"toString(row.{builder.fields.place(column)})" for column in ("path", "name"))
    names = ", ".join(map(lines.column, visitplan.DIMENSIONS))
    row = builder.fields.tuple_sql
    visits = Template(sql_text("visits_with_rows")).substitute(row=row, scope=scope)
    if loose:
        alone = Template(sql_text("rows_without_key")).substitute(row=row, scope=sql_text("scope").strip())
        visits = f"{visits}\nUNION ALL\n{alone}"
    text = Template(sql_text("visits_lines")).substitute(
        columns=f"build, day, part, number, {names}, {', '.join((*COUNTS, *STEPS))}",
        columns_of_fields=names,
        fields=",\n        ".join(fields),
        look_of_row=look("row"),
        look_of_first=look("part_rows[1]"),
        step=f"tuple({path}, {name})",
        pieces=pieces,
        visits=visits,
        numbers=sql_text("visitor_numbers").strip(),
    )
    store.command(text, given, **limits)


def write_pages(store: Store, build: int, limits: dict[str, int]) -> None:
    """The lines of pages of a build whose lines of visits are written."""
    names = ", ".join(map(lines.column, pageplan.DIMENSIONS))
    text = Template(sql_text("visits_pages")).substitute(
        columns=f"build, day, part, page, number, {names}, {', '.join(COUNTS)}", names=names
    )
    store.command(text, {"build": build}, **limits, **PIECES)


def write_crossed(store: Store, build: int, limits: dict[str, int], *, midnight: bool) -> None:
    """The cells of two dimensions of a build whose lines are written. At a midnight there are few, and all sets are
    kept."""
    for name, cube in crosscells.CUBES.items():
        sums = ", ".join(f"sum(v.{each})" if each in cube.sums else "0" for each in crosscells.ROWS + crosscells.VISITS)
        text = Template(sql_text("cross_cells")).substitute(
            cube=name, table=cube.table, path=cube.column, counted=cube.counted, sums=sums, pairs=crosscells.pairs()
        )
        store.command(text, {"build": build, "midnight": midnight, "least": cube.members}, **limits, **PIECES)
