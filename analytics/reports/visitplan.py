"""A statement over lines of visits, where cells do not tell and the raw rows need not be read.

A line is a visit of one day with all that it says of itself, and with its steps: each page and name of an event in it,
and how many of its rows were that. So a question may have any dimensions and filters of visits, pages, events and goals
beside whole days. What is asked of properties, hosts and hours is read from the raw rows. Pure, like `cellplan`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from analytics.reports import cellplan, crosscells, expressions, words
from analytics.reports.cellplan import LONG, PARTS, SAME, TIME, Texts, columns
from analytics.reports.conditions import Builder, Fields, Parameters, compare, reads_rows
from analytics.reports.daterange import Range, bucket_of
from analytics.reports.goals import Goal
from analytics.reports.holdings import Cover
from analytics.reports.lines import ROW_PARTS, at_least, at_most, builds_of, column, lines_of
from analytics.reports.query import And, Filter, HasDone, HasNotDone, Is, Not, Or, Query, leaves

# Of a visit, in the order of the table's columns.
OF_VISIT = tuple(name for name, column in expressions.COLUMNS.items() if column.of_visit)
OF_ROW = tuple(
    name
    for name, column in expressions.COLUMNS.items()
    if name.startswith("visit:") and not column.of_visit and name not in SAME
)
DIMENSIONS = (*OF_VISIT, *OF_ROW)
OF_STEP = ("event:page", "event:name", "event:goal")
# The steps of a line, as rows of their own, under the names that the raw rows have.
STEPS = "ARRAY JOIN pages AS path, names AS name, counts AS n"
# Arrays make rows large, and blocks of them so small that each costs more than its rows.
BLOCKS = "\nSETTINGS preferred_block_size_bytes = 8000000"
PAGES = frozenset({"event:page", "visit:entry_page", "visit:exit_page"})
FEW_PAGES = 4  # so many are looked for one by one in a third of the time that a list takes
STEP_METRICS = {
    "visitors": "groupBitmapIf(number, unkeyed = 0)",
    "pageviews": "sumIf(n, name = 'pageview')",
    "events": "sumIf(n, name != 'engagement')",
}
ROW_METRICS = {
    "visitors": "groupBitmapIf(number, unkeyed = 0)",
    "pageviews": "sum(pageviews)",
    "events": "sum(events)",
}
KEYED = {"rows": "unkeyed = 0", "visits": "unkeyed = 0 AND visits > 0"}
VISIT_METRICS = {
    **cellplan.VISIT_METRICS,
    "visitors": f"groupBitmapIf(number, {KEYED['visits']})",
}


def of_one_page(filter_: Filter) -> bool:
    """Whether a filter leaves lines that are few and far between: a hash of their numbers is filled sooner than a set
    of bits then."""
    if not isinstance(filter_, Is) or filter_.dimension not in PAGES:
        return False
    return len(filter_.clauses) == 1 and filter_.modifiers.case_sensitive


def pages_of(filter_: Filter) -> list[str]:
    """The pages of a filter that names nothing else: the one that a click in a panel makes, which is found quickest."""
    if not isinstance(filter_, Is) or filter_.dimension != "event:page" or not filter_.modifiers.case_sensitive:
        return []
    pages = [str(clause) for clause in filter_.clauses]
    return [] if expressions.COLUMNS["event:page"].empty in pages else pages


class Line(msgspec.Struct, frozen=True):
    """Filters over a line, as SQL."""

    parameters: Parameters
    goals: tuple[Goal, ...]
    page_is_entry: bool  # session metrics by page: the page of a visit is where it began

    @property
    def builder(self) -> Builder:
        return Builder(self.parameters, Fields(), "rows", self.goals)

    def value(self, dimension: str) -> str:
        """A dimension: of the line, or of a step called `path` and `name`."""
        if dimension == "event:goal":
            return f"arrayJoin({self.builder.goals_reached()})"
        if self._is_entry(dimension):
            return "entry_page"
        return expressions.COLUMNS[dimension].sql if dimension in OF_STEP else column(dimension)

    def _is_entry(self, dimension: str) -> bool:
        return self.page_is_entry and dimension == "event:page"

    def condition(self, filters: Iterable[Filter]) -> str:
        """All of them; those that read steps need one of the names of `STEPS` around them."""
        return " AND ".join(map(self._one, filters)) or "1"

    def some_step(self, filters: tuple[Filter, ...]) -> str:
        """Whether one step of the visit passes all of them, on whichever line it counts."""
        if not filters:
            return "1"
        if len(filters) == 1 and 0 < len(pages := pages_of(filters[0])) <= FEW_PAGES:
            return "(" + " OR ".join(f"has(pages, {self.parameters.add(page)})" for page in pages) + ")"
        return f"arrayExists((path, name) -> {self.condition(filters)}, pages, names)"

    def _one(self, filter_: Filter) -> str:
        match filter_:
            case And(inner):
                return f"({self.condition(inner)})"
            case Or(inner):
                return "(" + " OR ".join(map(self._one, inner)) + ")"
            case Not(each):
                return f"(NOT {self._one(each)})"
            case HasDone(each):
                return self._done(each)
            case HasNotDone(each):
                return f"(NOT {self._done(each)})"
            case _:
                if filter_.dimension == "event:goal":
                    return self.builder.goal_filter(filter_)
                of_line = filter_.dimension not in OF_STEP or self._is_entry(filter_.dimension)
                return compare(filter_, self.value(filter_.dimension), self.parameters, column=of_line)

    def _done(self, inner: Filter) -> str:
        """What was done on a page is never about the entry page."""
        return msgspec.structs.replace(self, page_is_entry=False).some_step((inner,))


def _told(query: Query, of_visits: bool) -> bool:
    """Whether lines have every word of the question."""
    asked = {d for d in query.dimensions if not words.is_time(d)} | {
        leaf.dimension for leaf, _ in leaves(query.filters)
    }
    steps = {"event:page"} if of_visits else set(OF_STEP)  # by the name of an event there are no visits
    if not set(query.dimensions) & set(OF_STEP) <= steps:
        return False
    return {SAME.get(d, d) for d in asked} <= {*DIMENSIONS, *OF_STEP}


def statement(
    query: Query,
    range_: Range,
    metrics: tuple[str, ...],
    over: str,
    cover: Cover,
    limit: int,
    goals: tuple[Goal, ...] = (),
) -> Texts | None:
    """The question with the columns of the raw statement; None when lines of visits do not tell."""
    of_visits = over == "visits"
    time = [d for d in query.dimensions if words.is_time(d)]
    line = Line(Parameters(), goals, of_visits and "event:page" in query.dimensions)
    stepwise = tuple(f for f in query.filters if reads_rows(f, line.page_is_entry))
    by_step = not of_visits and (bool(stepwise) or any(d in OF_STEP for d in query.dimensions))
    table = VISIT_METRICS if of_visits else STEP_METRICS if by_step else ROW_METRICS
    if (stepwise or by_step) and any(map(of_one_page, query.filters)):
        table = {**table, "visitors": table["visitors"].replace("groupBitmapIf", "uniqExactIf")}
    if (
        not cover.visits
        or not set(metrics) <= set(table)
        or any(bucket_of(d, range_) not in TIME for d in time)
        or not _told(query, of_visits)
    ):
        return None
    dimensions = [TIME[bucket_of(d, range_)] if d in time else line.value(d) for d in query.dimensions]
    unkeyed = "toUInt64(0)" if of_visits else "sumIf(n, unkeyed > 0)" if by_step else "sum(unkeyed)"
    parts = PARTS if of_visits else ROW_PARTS
    own = line.condition(f for f in query.filters if f not in stepwise)
    where = f"{own} AND {line.some_step(stepwise)}" if stepwise else own
    steps = line.condition(stepwise) if by_step else ""
    group = ""
    if dimensions:
        having = "\nHAVING sum(visits) > 0" if of_visits else ""  # a line of rows has one at least
        group = f"\nGROUP BY {', '.join(f'd{n}' for n in range(len(dimensions)))}{having}"

    def source(narrower: str = "") -> str:
        lines = lines_of("visits", parts, where + narrower)
        return f"FROM (SELECT * {lines})\n{STEPS}\nWHERE n > 0 AND {steps}" if by_step else lines

    def select(table: dict[str, str], narrower: str = "", more: str = "") -> str:
        selected = columns(dimensions, [table[m] for m in metrics], table["visitors"], unkeyed)
        blocks = BLOCKS if stepwise or by_step else ""
        return f"SELECT {selected}{more}\n{source(narrower)}{group}\nLIMIT {limit}{blocks}"

    values = {**line.parameters.values, **builds_of(cover), "first": range_.first_day, "last": range_.last_day}
    whole = Texts(select(table), values)
    # What a page or an event filters are few lines, and their sets quick to fill; to look at each line's steps is not.
    if stepwise or by_step or len(query.dimensions) != 1 or query.dimensions[0] not in LONG & {*DIMENSIONS}:
        return whole
    crossed = crosscells.cross(query, {m: table[m] for m in metrics}, over, cover, whole, source, limit)
    if crossed is not None:
        return crossed
    keyed = KEYED["visits" if of_visits else "rows"]
    bounds = select({**table, "visitors": at_least(keyed)}, more=at_most(keyed))
    return Texts(whole.sql, values, bounds, select(table, f"\n  AND {dimensions[0]} IN {{keys:Array(String)}}"))
