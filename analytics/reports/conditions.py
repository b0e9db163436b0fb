"""Filters to SQL conditions: every value travels as a query parameter, every name comes from the closed table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from analytics.reports import expressions, places
from analytics.reports.goals import Goal
from analytics.reports.query import (
    And,
    Contains,
    ContainsNot,
    Filter,
    HasDone,
    HasNotDone,
    Is,
    IsNot,
    Leaf,
    MatchesNot,
    Not,
    Or,
)
from analytics.reports.words import PROPERTY_PREFIX

Shape = Literal["rows", "attributed", "visits"]

LEADING_FIELDS = ("time", "name = 'pageview'", "name != 'engagement'")


class Parameters:
    """Names for values: `{p0:String}` and so on, so that no value is ever part of the SQL."""

    def __init__(self, values: Mapping[str, object] | None = None) -> None:
        self.values: dict[str, object] = dict(values or {})

    def add(self, value: object, type_: str = "String") -> str:
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{type_}}}"

    def name(self, value: str) -> str:
        return self.add(value)[1:].partition(":")[0]


class Fields:
    """The fields of the tuples that `visits_with_rows.sql` collects; each expression has one place."""

    def __init__(self) -> None:
        self.expressions = list(LEADING_FIELDS)

    def place(self, expression: str) -> int:
        if expression not in self.expressions:
            self.expressions.append(expression)
        return self.expressions.index(expression) + 1

    @property
    def tuple_sql(self) -> str:
        return f"tuple({', '.join(self.expressions)})"


class Builder(msgspec.Struct, frozen=True):
    """What conditions of one statement share."""

    parameters: Parameters
    fields: Fields
    shape: Shape
    goals: tuple[Goal, ...] = ()
    page_is_entry: bool = False  # session metrics by page: the page of a visit is where it began

    def row_value(self, dimension: str) -> str:
        """The dimension over a row of `events`."""
        if dimension.startswith(PROPERTY_PREFIX):
            return f"props[{self.parameters.add(dimension.removeprefix(PROPERTY_PREFIX))}]"
        return expressions.COLUMNS[dimension].sql

    def visit_value(self, dimension: str) -> str:
        """The dimension over a visit: of its first row, or of its first or last page view."""
        if dimension == "event:page" and self.page_is_entry:
            dimension = "visit:entry_page"
        column = expressions.column(dimension)
        place = self.fields.place(self.row_value(dimension))
        if column.edge == "first":
            return f"arrayFirst(row -> row.2, rows).{place}"
        if column.edge == "last":
            return f"arrayLast(row -> row.2, rows).{place}"
        return f"rows[1].{place}"

    def row_field(self, expression: str, row: str) -> str:
        """A row's expression, read where this shape keeps rows: as it is, or as a field of the tuple `row`."""
        return expression if self.shape == "rows" else f"{row}.{self.fields.place(expression)}"

    def condition(self, filters: tuple[Filter, ...]) -> str:
        """One condition for the implicit `and` of all filters."""
        if not filters:
            return "1"
        if self.shape != "visits":
            return self._all(filters, "r")
        if any(reads_rows(filter_, self.page_is_entry) for filter_ in filters):
            return f"arrayExists(row -> {self._all(filters, 'row')}, rows)"
        return self._all(filters, "row")

    def _all(self, filters: tuple[Filter, ...], row: str) -> str:
        return "(" + " AND ".join(self._one(filter_, row) for filter_ in filters) + ")"

    def _one(self, filter_: Filter, row: str) -> str:
        match filter_:
            case And(inner):
                return self._all(inner, row)
            case Or(inner):
                return "(" + " OR ".join(self._one(each, row) for each in inner) + ")"
            case Not(each):
                return f"(NOT {self._one(each, row)})"
            case HasDone(each):
                return self._done(each)
            case HasNotDone(each):
                return f"(NOT {self._done(each)})"
            case _:
                return self._leaf(filter_, row)

    def _done(self, inner: Filter) -> str:
        """Some row of the visit passes; what was done on a page is never about the entry page."""
        by_row = msgspec.structs.replace(self, page_is_entry=False)
        return f"arrayExists(done -> {by_row._one(inner, 'done')}, rows)"

    def _leaf(self, leaf: Leaf, row: str) -> str:
        if leaf.dimension == "event:goal":
            return self.row_field(self.goal_filter(leaf), row)
        if leaf.dimension.startswith("event:") and not (leaf.dimension == "event:page" and self.page_is_entry):
            return self.row_field(compare(leaf, self.row_value(leaf.dimension), self.parameters), row)
        of_visit = expressions.column(leaf.dimension).of_visit or self.page_is_entry
        if self.shape == "visits" or of_visit:
            return compare(leaf, self.visit_value(leaf.dimension), self.parameters)
        return self.row_field(compare(leaf, self.row_value(leaf.dimension), self.parameters), row)

    def goal_filter(self, leaf: Leaf) -> str:
        conditions = [self.reached(goal) for goal in self.goals if _goal_matches(leaf, goal.name)]
        return "(" + " OR ".join(conditions) + ")" if conditions else "0"

    def reached(self, goal: Goal) -> str:
        """Whether a row of `events` reaches the goal."""
        if goal.event:
            return f"name = {self.parameters.add(goal.event)}"
        if "*" in goal.page:
            return f"(name = 'pageview' AND match(path, {self.parameters.add(goal.page_pattern)}))"
        return f"(name = 'pageview' AND path = {self.parameters.add(goal.page)})"

    def goals_reached(self) -> str:
        """Over a row: the names of the goals that it reaches, as an array."""
        cases = [f"if({self.reached(goal)}, [{self.parameters.add(goal.name)}], [])" for goal in self.goals]
        return f"arrayConcat({', '.join(cases)})" if cases else "CAST([], 'Array(String)')"


def needs_visits(filters: tuple[Filter, ...]) -> bool:
    """Whether a question about rows must know the visit of each row."""

    def asks(filter_: Filter) -> bool:
        match filter_:
            case And(inner) | Or(inner):
                return any(map(asks, inner))
            case Not(each):
                return asks(each)
            case HasDone() | HasNotDone():
                return True
            case _:
                return filter_.dimension != "event:goal" and expressions.column(filter_.dimension).of_visit

    return any(map(asks, filters))


def reads_rows(filter_: Filter, page_is_entry: bool) -> bool:
    match filter_:
        case And(inner) | Or(inner):
            return any(reads_rows(each, page_is_entry) for each in inner)
        case Not(each):
            return reads_rows(each, page_is_entry)
        case HasDone() | HasNotDone():
            return False
        case _:
            entry = filter_.dimension == "event:page" and page_is_entry
            return filter_.dimension.startswith("event:") and not entry


def _goal_matches(leaf: Leaf, name: str) -> bool:
    fold: Callable[[str], str] = str if _case_sensitive(leaf) else str.lower
    clauses = [fold(str(clause)) for clause in leaf.clauses]
    return fold(name) in clauses if isinstance(leaf, Is) else any(clause in fold(name) for clause in clauses)


def _case_sensitive(leaf: Leaf) -> bool:
    return leaf.modifiers.case_sensitive if isinstance(leaf, Is | IsNot | Contains | ContainsNot) else True


def compare(leaf: Leaf, value: str, parameters: Parameters, *, column: bool = False) -> str:
    """`value` is SQL of the closed table; the clauses become one parameter. `column`: a column of its own, whose place
    in the order of a table says which rows need not be read."""
    among = "{1} IN {0}" if column else "has({0}, {1})"
    if leaf.dimension == "visit:country_name":
        codes = parameters.add(places.codes_for(leaf), "Array(String)")
        return f"({among.format(codes, value)})"
    clauses = [str(clause) for clause in leaf.clauses]
    if isinstance(leaf, Is | IsNot):
        fold: Callable[[str], str] = str if _case_sensitive(leaf) else str.lower
        empty = fold(expressions.column(leaf.dimension).empty)
        clauses = ["" if fold(clause) == empty else clause for clause in clauses]
        given = parameters.add(clauses, "Array(String)")
        found = (
            f"({among.format(given, value)})"
            if _case_sensitive(leaf)
            else f"has(arrayMap(clause -> lowerUTF8(clause), {given}), lowerUTF8({value}))"
        )
        return found if isinstance(leaf, Is) else f"(NOT {found})"
    if isinstance(leaf, Contains | ContainsNot):
        given = parameters.add(clauses, "Array(String)")
        position = "position" if _case_sensitive(leaf) else "positionCaseInsensitiveUTF8"
        found = f"arrayExists(clause -> {position}({value}, clause) > 0, {given})"
        return found if isinstance(leaf, Contains) else f"(NOT {found})"
    found = " OR ".join(f"match({value}, {parameters.add(str(clause))})" for clause in leaf.clauses)
    return f"(NOT ({found}))" if isinstance(leaf, MatchesNot) else f"({found})"
