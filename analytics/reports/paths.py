"""What a list of cells cannot say: funnels, journeys from page to page, and cohorts that come back.

All of them count visitors with a key, under the same minimum cell; values are query parameters.
"""

from __future__ import annotations

import datetime as dt
from string import Template
from typing import Any

from analytics.reports import limits
from analytics.reports.answer import Setting
from analytics.reports.conditions import Builder, Fields, Parameters
from analytics.reports.daterange import Range
from analytics.reports.errors import QueryError
from analytics.reports.limits import Engine
from analytics.reports.planner import scope_parameters, sql_text
from analytics.reports.query import Filter

ROWS = 12


def _visits(builder: Builder, filters: tuple[Filter, ...]) -> tuple[str, str]:
    condition = builder.condition(filters)
    text = Template(sql_text("visits_with_rows"))
    return text.substitute(row=builder.fields.tuple_sql, scope=sql_text("scope").strip()), condition


def _run(engine: Engine, sql: str, builder: Builder, site: str, range_: Range, **more: object) -> list[tuple[Any, ...]]:
    return limits.ask(engine, sql, {**builder.parameters.values, **scope_parameters(site, range_), **more})


def funnel(
    engine: Engine, site: str, range_: Range, setting: Setting, steps: tuple[str, ...], filters: tuple[Filter, ...] = ()
) -> list[dict[str, Any]]:
    """For each step: visitors who reached it after the steps before, within one visit; null below the minimum cell."""
    goals = {goal.name: goal for goal in setting.goals}
    missing = [step for step in steps if step not in goals]
    if missing:
        known = f"known: {', '.join(goals)}" if goals else "none is: /api/definitions/goal takes them"
        raise QueryError("$.steps", f'the goal "{missing[0]}" is not configured for this site ({known})')
    builder = Builder(Parameters(), Fields(), "visits", setting.goals)
    places = [builder.fields.place(builder.reached(goals[step])) for step in steps]
    visits, condition = _visits(builder, filters)
    # The first row of each step that comes after the row of the step before; 0 when there is none.
    positions = [f"arrayFirstIndex(row -> row.{places[0]}, rows) AS s0"]
    for number, place in enumerate(places[1:], 1):
        before = f"s{number - 1}"
        later = f"arrayFirstIndex((row, n) -> row.{place} AND n > {before}, rows, arrayEnumerate(rows))"
        positions.append(f"if({before} = 0, 0, {later}) AS s{number}")
    counts = ", ".join(f"uniqExactIf(visitor, s{number} > 0)" for number in range(len(places)))
    sql = f"SELECT {counts} FROM (SELECT visitor, {', '.join(positions)} FROM ({visits}) WHERE {condition})"
    reached = _run(engine, sql, builder, site, range_)[0]
    shown = _hidden_steps(list(reached), setting.minimum_cell)
    found = []
    for number, name in enumerate(steps):
        value = shown[number]
        first = shown[0]
        rate = round(value / first * 100, 1) if value is not None and first else None
        found.append({"step": name, "visitors": value, "of_first": rate})
    return found


def _hidden_steps(reached: list[int], minimum: int) -> list[int | None]:
    """A step is hidden when it is small, or when it and the step before differ by a small group that dropped out."""
    shown: list[int | None] = []
    last: int | None = None
    for value in reached:
        small = 0 < value < minimum
        narrow = last is not None and 0 < last - value < minimum
        shown.append(None if minimum > 1 and (small or narrow) else value)
        last = shown[-1] if shown[-1] is not None else last
    return shown


def journey(
    engine: Engine, site: str, range_: Range, setting: Setting, page: str, filters: tuple[Filter, ...] = ()
) -> dict[str, list[dict[str, Any]]]:
    """The pages seen right before and right after `page`; `''` is the beginning or the end of the visit."""
    found = {}
    for name, step in (("previous", -1), ("next", 1)):
        builder = Builder(Parameters(), Fields(), "visits", setting.goals)
        place = builder.fields.place("path")
        visits, condition = _visits(builder, filters)
        given = builder.parameters.add(page)
        views = f"arrayMap(row -> row.{place}, arrayFilter(row -> row.2, rows))"
        around = (
            f"arrayFilter(pair -> pair.1 = {given} AND pair.2 != {given}, "
            f"arrayMap(n -> (pages[n], if(n + {step} < 1, '', pages[n + {step}])), arrayEnumerate(pages)))"
        )
        sql = (
            f"SELECT pair.2 AS page, uniqExact(visitor) AS visitors FROM (SELECT visitor, {views} AS pages "
            f"FROM ({visits}) WHERE {condition}) ARRAY JOIN {around} AS pair "
            f"GROUP BY page HAVING visitors >= {{minimum:UInt64}} ORDER BY visitors DESC, page LIMIT {ROWS}"
        )
        rows = _run(engine, sql, builder, site, range_, minimum=setting.minimum_cell)
        found[name] = [{"page": row[0], "visitors": row[1]} for row in rows]
    return found


def cohorts(
    engine: Engine, site: str, range_: Range, setting: Setting, filters: tuple[Filter, ...] = ()
) -> list[dict[str, Any]]:
    """By the week of a visitor's first visit in the range: how many came back in each week after; null when too few.
    Filters leave the visitors of whom some visit passes them."""
    builder = Builder(Parameters(), Fields(), "visits", setting.goals)
    visits, condition = _visits(builder, filters)
    among = f"AND visitor IN (SELECT visitor FROM ({visits}) WHERE {condition}) " if filters else ""
    week = "toMonday(toDate(toTimeZone(time, {zone:String})))"
    sql = (
        "SELECT first, intDiv(week - first, 7) AS later, count() FROM "
        f"(SELECT visitor, arrayJoin(groupUniqArray({week})) AS week, min({week}) AS first FROM events "
        f"WHERE {sql_text('scope').strip()} AND visitor != 0 {among}GROUP BY visitor) "
        "GROUP BY first, later ORDER BY first, later"
    )
    rows = _run(engine, sql, builder, site, range_, zone=range_.zone)
    found: dict[dt.date, dict[int, int]] = {}
    for first, later, visitors in rows:
        found.setdefault(first, {})[int(later)] = int(visitors)
    last = max((first + dt.timedelta(weeks=max(by)) for first, by in found.items()), default=None)
    table = []
    for first, by_week in found.items():
        weeks = ((last - first).days // 7 if last else 0) + 1
        counts = [by_week.get(number, 0) for number in range(weeks)]
        size = counts[0]
        hide = 0 < size < setting.minimum_cell
        shown = [
            None if hide or 0 < count < setting.minimum_cell or 0 < size - count < setting.minimum_cell else count
            for count in counts
        ]
        shown[0] = None if hide else size
        table.append({"week": first.isoformat(), "visitors": shown})
    return table
