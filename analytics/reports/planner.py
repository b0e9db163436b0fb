"""From a query to the statements that answer it. Pure: a plan can be read and tested without an engine.

Metrics over rows and metrics over visits are two statements, joined on the dimensions afterwards; rates bring a third
that counts the whole. Every statement also counts its visitors and its rows without a key, for the minimum cell.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from string import Template

import msgspec

from analytics.reports import cellplan, expressions, pageplan, visitplan, words
from analytics.reports.conditions import Builder, Fields, Parameters, Shape, needs_visits
from analytics.reports.daterange import Range, bucket_of
from analytics.reports.goals import Goal
from analytics.reports.holdings import Cover
from analytics.reports.query import Filter, Query, leaves

MAX_GROUPS = 100_000


class Statement(msgspec.Struct, frozen=True):
    """One SELECT: `dimensions` columns, then `metrics`, then visitors, rows without a key; over rows or over cells."""

    sql: str
    parameters: dict[str, object]
    dimensions: tuple[str, ...]
    metrics: tuple[str, ...]
    of_cells: bool = False
    bounds: str = ""  # cellplan.Texts says what these three are
    some: str = ""
    rest: str = ""


class Plan(msgspec.Struct, frozen=True):
    """`parts` are joined on the dimensions; `whole` counts all visitors, `groups` those of each group, goal or not."""

    parts: tuple[Statement, ...]
    whole: Statement | None = None
    groups: Statement | None = None


@cache
def sql_text(name: str) -> str:
    text = files("analytics.reports").joinpath("sql", f"{name}.sql").read_text("utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("--"))


def scope_parameters(site: str, range_: Range) -> dict[str, object]:
    return {"site": site, "from": range_.start, "to": range_.end}


def plan(
    query: Query, range_: Range, goals: tuple[Goal, ...] = (), cover: Cover | None = None, minimum: int = 1
) -> Plan:
    """The statements of a query; each one reads cells where `cover` has them and they tell the same."""
    rows, visits = _split(query)
    parts = []
    if rows:
        parts.append(_statement(query, range_, goals, rows, "rows", cover, minimum))
    if visits:
        parts.append(_statement(query, range_, goals, visits, "visits", cover, minimum))
    page = tuple(metric for metric in query.metrics if metric in words.PAGE_METRICS)
    if page:
        parts.append(_page_statement(query, range_, goals, page, minimum))
    whole = groups = None
    if "percentage" in query.metrics:
        whole = _statement(_without(query, keep=()), range_, goals, ("visitors",), "rows", cover, minimum)
    if "conversion_rate" in query.metrics:
        whole = _statement(_without(query, keep=(), goal=False), range_, goals, ("visitors",), "rows", cover, minimum)
    if "group_conversion_rate" in query.metrics:
        kept = tuple(d for d in query.dimensions if d != "event:goal")
        groups = _statement(
            _without(query, keep=kept, goal=False), range_, goals, ("visitors",), "rows", cover, minimum
        )
    return Plan(tuple(parts), whole, groups)


def _split(query: Query) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which metrics are counted over rows and which over visits."""
    by_event = any(words.is_event(d) for d in query.dimensions)
    visits = [m for m in query.metrics if m in words.SESSION_METRICS or (m == "visits" and not by_event)]
    rows = [m for m in query.metrics if m in expressions.ROW_METRICS and m not in visits]
    if words.RATE_METRICS & set(query.metrics) or "percentage" in query.metrics:
        rows = list(dict.fromkeys([*rows, "visitors"]))
    of_visit = any(_of_visit(d) for d in query.dimensions)
    if rows == ["visitors"] and not by_event and _same_groups(query) and (visits or of_visit):
        return (), ("visitors", *visits)  # a visitor with a key has a visit: one pass is enough
    return tuple(rows), tuple(visits)


def _same_groups(query: Query) -> bool:
    """Whether a row that passes the filters is in the group of its visit, and the visit passes them."""
    filtered = [leaf.dimension for leaf, _ in leaves(query.filters)]
    by_row = any(map(words.is_event, filtered))
    return not by_row or all(map(_of_visit, (*query.dimensions, *(d for d in filtered if not words.is_event(d)))))


def _of_visit(dimension: str) -> bool:
    return dimension in expressions.COLUMNS and expressions.COLUMNS[dimension].of_visit


def _without(query: Query, *, keep: tuple[str, ...], goal: bool = True) -> Query:
    filters = query.filters if goal else tuple(f for f in query.filters if not _names_goal(f))
    return msgspec.structs.replace(query, dimensions=keep, filters=filters, order_by=None)


def _names_goal(filter_: Filter) -> bool:
    return any(
        not behavioural and (leaf.dimension == "event:goal" or words.is_property(leaf.dimension))
        for leaf, behavioural in leaves((filter_,))
    )


def _statement(
    query: Query,
    range_: Range,
    goals: tuple[Goal, ...],
    metrics: tuple[str, ...],
    over: Shape,
    cover: Cover | None,
    minimum: int,
) -> Statement:
    shape = over
    if over == "rows" and (
        needs_visits(query.filters) or any(_of_visit(d) for d in query.dimensions) or "visits" in metrics
    ):
        shape = "attributed"
    if cover is not None:
        asked = cellplan.question(query, range_, metrics, over, shape)
        texts = cellplan.statement(query, range_, asked, cover, MAX_GROUPS + 1) if asked else None
        texts = texts or pageplan.statement(query, range_, metrics, over, cover, MAX_GROUPS + 1)
        texts = texts or visitplan.statement(query, range_, metrics, over, cover, MAX_GROUPS + 1, goals)
        if texts is not None:
            forms = texts.bounds, texts.some, texts.rest
            return Statement(texts.sql, texts.parameters, query.dimensions, metrics, True, *forms)
    page_is_entry = over == "visits" and "event:page" in query.dimensions
    builder = Builder(Parameters(), Fields(), shape, goals, page_is_entry)
    dimensions = [_dimension(builder, d, range_) for d in query.dimensions]
    condition = builder.condition(query.filters)
    if shape == "visits":
        selected = [expressions.VISIT_METRICS[m] for m in metrics]
        counted = ["uniqExact(visitor)", "toUInt64(0)"]
    else:
        selected = [_row_metric(builder, m) for m in metrics]
        counted = ["uniqExactIf(visitor, visitor != 0)", "countIf(visitor = 0)"]
    source = _source(builder, condition)
    group = f"\nGROUP BY {', '.join(f'd{n}' for n in range(len(dimensions)))}" if dimensions else ""
    sql = f"SELECT {cellplan.columns(dimensions, selected, *counted)}\n{source}{group}\nLIMIT {MAX_GROUPS + 1}"
    parameters = {**builder.parameters.values, **scope_parameters(query.site_id, range_)}
    parameters |= {"zone": range_.zone, "first": range_.first_day, "few": max(minimum - 1, 0)}
    return Statement(sql, parameters, query.dimensions, metrics)


def _source(builder: Builder, condition: str) -> str:
    scope = sql_text("scope").strip()
    if builder.shape == "rows":
        return f"FROM events\nWHERE {scope}\n  AND {condition}"
    row = builder.fields.tuple_sql
    visits = Template(sql_text("visits_with_rows")).substitute(row=row, scope=scope)
    if builder.shape == "visits":
        return f"FROM ({visits})\nWHERE {condition}"
    loose = Template(sql_text("rows_without_key")).substitute(row=row, scope=scope)
    return f"FROM ({visits}\nUNION ALL\n{loose})\nARRAY JOIN rows AS r\nWHERE {condition}"


def _dimension(builder: Builder, dimension: str, range_: Range) -> str:
    if words.is_time(dimension):
        time = {"rows": "time", "attributed": "r.1", "visits": "rows[1].1"}[builder.shape]
        return Template(expressions.TIME[bucket_of(dimension, range_)]).substitute(time=time)
    if dimension == "event:goal":
        return f"arrayJoin({builder.row_field(builder.goals_reached(), 'r')})"
    if builder.shape == "visits" or (builder.shape == "attributed" and _of_visit(dimension)):
        return builder.visit_value(dimension)
    return builder.row_field(builder.row_value(dimension), "r")


def _row_metric(builder: Builder, metric: str) -> str:
    template = Template(expressions.ROW_METRICS[metric])
    revenue = builder.row_field("revenue", "r") if "revenue" in metric else ""
    view, counts = builder.row_field("name = 'pageview'", "r"), builder.row_field("name != 'engagement'", "r")
    return template.substitute(view=view, counts=counts, revenue=revenue)


def _page_statement(
    query: Query, range_: Range, goals: tuple[Goal, ...], metrics: tuple[str, ...], minimum: int
) -> Statement:
    """Scroll depth and time on page: first per visit and page, then over those."""
    builder = Builder(Parameters(), Fields(), "attributed", goals)
    dimensions = [_dimension(builder, d, range_) for d in query.dimensions]
    condition = builder.condition(query.filters)
    names = [f"d{n}" for n in range(len(dimensions))]
    inner = [f"{sql} AS {name}" for sql, name in zip(dimensions, names, strict=True)]
    page, scroll = builder.row_field("path", "r"), builder.row_field("scroll", "r")
    engaged = builder.row_field("engagement_ms", "r")
    inner += ["visitor", "rows[1].1 AS start", f"{page} AS page"]
    inner += [f"max({scroll}) AS scroll", f"sum({engaged}) AS engaged", "count() AS held"]
    outer = [*names, *(f"{expressions.PAGE_METRICS[m]} AS m{n}" for n, m in enumerate(metrics))]
    outer += ["uniqExactIf(visitor, visitor != 0) AS keyed", "sumIf(held, visitor = 0) AS unkeyed"]
    by = ", ".join([*names, "visitor", "start", "page"])
    sql = f"SELECT {', '.join(outer)}\nFROM (SELECT {', '.join(inner)}\n{_source(builder, condition)}\nGROUP BY {by})"
    if names:
        sql += f"\nGROUP BY {', '.join(names)}"
    parameters = {**builder.parameters.values, **scope_parameters(query.site_id, range_)}
    parameters |= {"zone": range_.zone, "first": range_.first_day, "few": max(minimum - 1, 0)}
    return Statement(f"{sql}\nLIMIT {MAX_GROUPS + 1}", parameters, query.dimensions, metrics)
