"""A query answered on the internal lane: statements run, joined on their dimensions, small cells out, ordered, cut.

The minimum cell is a number of visitors. A row that rests on fewer is left out (a time bucket keeps its place and shows
null, unless no bucket can be shown), and so is whatever would let a reader work it out from the rest of the answer. A
row without a key may be anybody's, so it counts as a visitor of its own; metrics of visitors with a key are judged by
those alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from analytics.reports import expressions, imported, limits, places, running, words
from analytics.reports.daterange import Range, bucket_of, label, labels, previous, resolve
from analytics.reports.errors import QueryError
from analytics.reports.goals import Goal
from analytics.reports.groups import Cell, Key, ranked, too_small
from analytics.reports.holdings import Cover
from analytics.reports.limits import Engine
from analytics.reports.planner import MAX_GROUPS, Plan, Statement, plan
from analytics.reports.query import Is, Matches, MatchesNot, Query, leaves, to_object

Value = int | float | dict[str, Any] | None

OF_ROWS = frozenset({"pageviews", "events"})


class Setting(msgspec.Struct, frozen=True):
    """What a site adds to a question: its clock, its goals, the smallest cell, where `all` begins, the key of ties."""

    zone: str = "UTC"
    goals: tuple[Goal, ...] = ()
    minimum_cell: int = 5
    earliest: dt.datetime | None = None
    whole_share: Callable[[str, Range], float | None] | None = None
    cover: Callable[[Range], Cover | None] | None = None
    ties: bytes = b""


class Counted(msgspec.Struct, frozen=True):
    """An answer before it is written out: ordered rows of (dimension labels, metrics), and what was left out.

    `rows` may end with those that are shown; `total_rows` counts them all.
    """

    rows: list[tuple[list[Any], list[Value]]]
    total_rows: int
    suppressed: int
    range: Range
    warnings: dict[str, dict[str, str]]
    imports: str = ""  # why imported totals are not in it


def answer(engine: Engine, query: Query, setting: Setting, now: dt.datetime) -> dict[str, Any]:
    """The response body of `POST /api/v2/query`. Raises QueryError, QueryTimeout."""
    range_ = resolve(query.date_range, now=now, zone=setting.zone, earliest=setting.earliest)
    counted = count(engine, query, range_, setting)
    earlier = _earlier(engine, query, range_, setting) if query.include.compare is not None else None
    rows = counted.rows if earlier is None else _with_empty_buckets(query, counted, earlier)
    start = query.pagination.offset
    page = rows[start : start + query.pagination.limit]
    results: list[dict[str, Any]] = [{"metrics": metrics, "dimensions": dimensions} for dimensions, metrics in page]
    meta: dict[str, Any] = {"minimum_cell": setting.minimum_cell, "suppressed_rows": counted.suppressed}
    if counted.warnings:
        meta["metric_warnings"] = counted.warnings
    if query.include.imports:
        meta["imports_included"] = counted.imports == ""
        if counted.imports:
            meta["imports_skip_reason"] = counted.imports
    if query.include.time_labels:
        meta["time_labels"] = labels(next(filter(words.is_time, query.dimensions)), range_)
    if query.include.total_rows:
        meta["total_rows"] = counted.total_rows + len(rows) - len(counted.rows)
    if setting.whole_share is not None:
        meta["share_without_key"] = setting.whole_share(query.site_id, range_)
    if earlier is not None:
        for result in results:
            result["comparison"] = _comparison(query, result, earlier)
        meta["comparison_date_range"] = earlier.range.iso_pair()
    echo = to_object(query) | {"date_range": range_.iso_pair()}
    echo["order_by"] = [list(entry) for entry in order_of(query)]
    return {"results": results, "meta": meta, "query": echo}


class _Earlier(msgspec.Struct, frozen=True):
    """What a comparison is made with: rows by their labels, and of each time bucket the one in the same place."""

    range: Range
    rows: dict[Key, list[Value]]
    buckets: dict[Any, Any]


def _earlier(engine: Engine, query: Query, range_: Range, setting: Setting) -> _Earlier:
    assert query.include.compare is not None
    before = previous(range_, query.include.compare)
    held = count(engine, query, before, setting, every=True)
    time = next(filter(words.is_time, query.dimensions), None)
    was = labels(time, before) if time else []
    has = labels(time, range_) if time else []
    buckets = {label: was[place] if place < len(was) else None for place, label in enumerate(has)}
    return _Earlier(before, {tuple(dimensions): metrics for dimensions, metrics in held.rows}, buckets)


def _with_empty_buckets(query: Query, counted: Counted, earlier: _Earlier) -> list[tuple[list[Any], list[Value]]]:
    """All rows, and those of time buckets that were left out while there is something to compare them with: nothing
    happened in these, or too little to say even that."""
    if len(query.dimensions) != 1 or not earlier.buckets:
        return counted.rows
    told = {dimensions[0] for dimensions, _ in counted.rows}
    hidden = not counted.rows and counted.suppressed > 0
    empty = [None if hidden else _shown(metric, Cell({}), "") for metric in query.metrics]
    missing = [now for now, before in earlier.buckets.items() if now not in told and (before,) in earlier.rows]
    return _ordered(query, [*counted.rows, *(([bucket], list(empty)) for bucket in missing)])


def _comparison(query: Query, result: dict[str, Any], earlier: _Earlier) -> dict[str, Any]:
    """What the earlier range held of a row: matched by label, time buckets by their position."""
    pairs = zip(query.dimensions, result["dimensions"], strict=True)
    key = [earlier.buckets.get(value, value) if words.is_time(name) else value for name, value in pairs]
    found = earlier.rows.get(tuple(key))
    change = [_change(new, old) for new, old in zip(result["metrics"], found or [], strict=False)]
    return {"dimensions": key, "metrics": found, "change": change}


def _change(new: Value, old: Value) -> float | None:
    if not isinstance(new, int | float) or not isinstance(old, int | float) or not old:
        return None
    return round((new - old) / old * 100)


def count(engine: Engine, query: Query, range_: Range, setting: Setting, *, every: bool = False) -> Counted:
    """Run the plan and put its parts together. `every`: all rows are wanted, not the page that is shown."""
    _check_goals(query, setting.goals)
    wider = imported.widened(query)
    cover = setting.cover(range_) if setting.cover else None
    plan_ = plan(wider, range_, setting.goals, cover, setting.minimum_cell)
    running.expect(len(plan_.parts) + (plan_.whole is not None) + (plan_.groups is not None))
    first = None
    if not every and not query.include.imports and plan_.whole is None and plan_.groups is None:
        first = ranked(
            lambda part: run(engine, part, wider),
            plan_.parts,
            query,
            order_of(query),
            setting.minimum_cell,
            setting.ties,
        )
    cells = first.cells if first else _joined(engine, plan_, wider)
    skipped = None
    if query.include.imports:
        skipped = imported.add(lambda asked: run(engine, asked), query, range_, cells, lambda: Cell({}))
    currency, warnings = _currency(query, setting.goals)

    def money(key: Key) -> str:
        return _currency_of(query, key, currency)

    _rates(engine, plan_, query, cells)
    width = len(query.dimensions)
    small, few = (first.small, first.few) if first else too_small(cells, setting.minimum_cell, width, setting.ties)
    keeps_place = not query.dimensions or (len(query.dimensions) == 1 and words.is_time(query.dimensions[0]))
    rows = []
    for key, cell in cells.items():
        metrics = [
            None if key in small or (key in few and metric not in OF_ROWS) else _shown(metric, cell, money(key))
            for metric in query.metrics
        ]
        if keeps_place or (key not in small and any(value is not None for value in metrics)):
            rows.append((_labels(query, key, range_), metrics))
    if width and len(small) == len(cells):
        rows = []  # they may be one person all together: not even when somebody came is told
    ordered = _ordered(query, rows)
    shown = ordered[: first.shown] if first else ordered
    return Counted(shown, len(ordered), len(small | few), range_, warnings, skipped or "")


def _joined(engine: Engine, plan_: Plan, query: Query) -> dict[Key, Cell]:
    cells: dict[Key, Cell] = {}
    for part in plan_.parts:
        rows = run(engine, part, query)
        if len(rows) > MAX_GROUPS:
            raise QueryError("$.dimensions", f"more than {MAX_GROUPS} groups: ask for fewer dimensions or a filter")
        width = len(part.dimensions)
        for row in rows:
            cell = cells.setdefault(row[:width], Cell({}))
            cell.values.update(zip(part.metrics, row[width:-2], strict=True))
            cell.keyed, cell.unkeyed = max(cell.keyed, row[-2]), max(cell.unkeyed, row[-1])
    if not query.dimensions and not cells:
        cells[()] = Cell({})
    return cells


def run(engine: Engine, statement: Statement, query: Query | None = None) -> list[tuple[Any, ...]]:
    """Run one statement under the limits of a query; the engine's refusals become errors that a user can mend."""
    try:
        return limits.ask(engine, statement.sql, statement.parameters)
    except Exception as error:
        code, text = getattr(error, "code", 0), str(error)
        if code == 427 or "CANNOT_COMPILE_REGEXP" in text or "OptimizedRegularExpression" in text:
            raise QueryError(*_faulty_pattern(engine, query)) from error
        raise


def _faulty_pattern(engine: Engine, query: Query | None) -> tuple[str, str]:
    for index, filter_ in enumerate(query.filters if query else ()):
        for leaf, _ in leaves((filter_,)):
            if isinstance(leaf, Matches | MatchesNot):
                for clause in leaf.clauses:
                    try:
                        engine.query("SELECT match(materialize(''), {pattern:String})", {"pattern": str(clause)})
                    except Exception:  # whatever the engine says, this pattern is the fault
                        return f"$.filters[{index}]", f'"{clause}" is not a regular expression in RE2 syntax'
    return "$.filters", "a pattern is not a regular expression in RE2 syntax"


def _check_goals(query: Query, goals: Sequence[Goal]) -> None:
    names = {goal.name for goal in goals}
    for index, filter_ in enumerate(query.filters):
        for leaf, _ in leaves((filter_,)):
            if leaf.dimension == "event:goal" and isinstance(leaf, Is) and leaf.modifiers.case_sensitive:
                for clause in leaf.clauses:
                    if clause not in names:
                        raise QueryError(f"$.filters[{index}]", f'the goal "{clause}" is not configured for this site')


def _currency(query: Query, goals: Sequence[Goal]) -> tuple[str | dict[str, str] | None, dict[str, dict[str, str]]]:
    """The currency of the revenue metrics: one, or one per goal, or none with the reason."""
    asked = [metric for metric in query.metrics if metric in words.REVENUE_METRICS]
    if not asked:
        return None, {}
    if "event:goal" in query.dimensions:
        return {goal.name: goal.currency for goal in goals if goal.currency}, {}
    wanted = {
        c
        for leaf, inside in leaves(query.filters)
        if leaf.dimension == "event:goal" and not inside
        for c in leaf.clauses
    }
    found = {goal.currency for goal in goals if goal.currency and (goal.name in wanted)}
    if len(found) == 1:
        return found.pop(), {}
    code = "no_single_revenue_currency" if found else "no_revenue_goals_matching"
    text = (
        "Revenue metrics are null as there are multiple currencies for the selected event:goals."
        if found
        else "Revenue metrics are null as there are no matching revenue goals."
    )
    return None, {metric: {"code": code, "warning": text} for metric in asked}


def _currency_of(query: Query, key: Key, currency: str | dict[str, str] | None) -> str:
    if isinstance(currency, dict):
        return currency.get(key[query.dimensions.index("event:goal")], "")
    return currency or ""


def _rates(engine: Engine, plan_: Plan, query: Query, cells: dict[Key, Cell]) -> None:
    whole = run(engine, plan_.whole, query)[0][0] if plan_.whole else 0
    groups: dict[Key, int] = {}
    if plan_.groups:
        width = len(plan_.groups.dimensions)
        groups = {row[:width]: row[width] for row in run(engine, plan_.groups, query)}
    kept = [n for n, dimension in enumerate(query.dimensions) if dimension != "event:goal"]
    for key, cell in cells.items():
        visitors = cell.values.get("visitors") or 0
        cell.values["percentage"] = cell.values["conversion_rate"] = _rate(visitors, whole)
        cell.values["group_conversion_rate"] = _rate(visitors, groups.get(tuple(key[n] for n in kept), 0))


def _rate(part: int, whole: int) -> float:
    return round(part / whole * 100, 2) if whole else 0.0


ZERO = {"visitors": 0, "visits": 0, "pageviews": 0, "events": 0}


def _shown(metric: str, cell: Cell, currency: str) -> Value:
    value: Any = cell.values.get(metric, ZERO.get(metric))
    if metric in words.REVENUE_METRICS:
        hidden = value is None and metric in cell.values
        return _money(value, currency) if currency and not hidden else None
    if value is None or value != value:  # NaN: an average over nothing
        return 0 if metric in ("bounce_rate", "visit_duration", "views_per_visit") else None
    if metric in ("bounce_rate", "visit_duration", "scroll_depth", "time_on_page"):
        return round(float(value))
    return round(value, 2) if isinstance(value, float) else int(value)


def _money(value: Decimal | float | None, currency: str) -> dict[str, Any]:
    amount = round(float(value or 0), 3)
    short = next(
        (f"{amount / size:.1f}{unit}" for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")) if amount >= size),
        f"{amount:.1f}",
    )
    return {"value": amount, "currency": currency, "short": f"{currency} {short}", "long": f"{currency} {amount:,.2f}"}


def _labels(query: Query, key: Key, range_: Range) -> list[Any]:
    return [dimension_label(dimension, value, range_) for dimension, value in zip(query.dimensions, key, strict=True)]


def dimension_label(dimension: str, value: Any, range_: Range) -> Any:
    """What a reader sees for a value of the store."""
    if words.is_time(dimension):
        if bucket_of(dimension, range_) in ("minute", "hour"):
            value = dt.datetime.fromtimestamp(int(value), dt.UTC)
        return label(bucket_of(dimension, range_), value, range_.zone)
    if dimension == "visit:country_name":
        return places.country_name(value)
    return value if value != "" or dimension == "event:goal" else expressions.column(dimension).empty


def order_of(query: Query) -> tuple[tuple[str, str], ...]:
    """What the rows are ordered by: as asked, or by time, or by the first metric."""
    if query.order_by:
        return query.order_by
    time = next(filter(words.is_time, query.dimensions), None)
    return ((time, "asc"),) if time else ((query.metrics[0], "desc"),)


def _ordered(query: Query, rows: list[tuple[list[Any], list[Value]]]) -> list[tuple[list[Any], list[Value]]]:
    rows = sorted(rows, key=lambda row: [str(value) for value in row[0]])
    for name, direction in reversed(order_of(query)):
        if name in query.dimensions:
            index = query.dimensions.index(name)
            rows.sort(key=lambda row: str(row[0][index]), reverse=direction == "desc")
        else:
            index = query.metrics.index(name)
            rows.sort(key=lambda row: _sortable(row[1][index]), reverse=direction == "desc")
    return rows


def _sortable(value: Value) -> float:
    number = value["value"] if isinstance(value, dict) else value
    return float("-inf") if number is None else float(number)
