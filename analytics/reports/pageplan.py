"""A statement over the lines of pages: which pages people saw, and who saw one page.

A line is one page of a visit with all that the visit says of itself, except where it began and ended. So rows may be
grouped by page and filtered by page and by what visits say; visits may be filtered by one page, since a visit has one
line of it. Pure, like `visitplan`, which answers what is asked of more.
"""

from __future__ import annotations

from analytics.reports import crosscells, visitplan, words
from analytics.reports.cellplan import PARTS, SAME, TIME, Texts, columns, condition
from analytics.reports.conditions import Parameters
from analytics.reports.daterange import Range, bucket_of
from analytics.reports.holdings import Cover
from analytics.reports.lines import ROW_PARTS, at_least, at_most, builds_of, column, lines_of
from analytics.reports.query import Filter, Query, leaves

DIMENSIONS = tuple(
    name for name in visitplan.DIMENSIONS if not name.startswith(("visit:entry_page", "visit:exit_page"))
)
PAGE = "event:page"
KEYED = "unkeyed = 0"


def _column(dimension: str) -> str:
    return "page" if dimension == PAGE else column(dimension)


def _asked(query: Query, of_visits: bool) -> bool:
    """Whether the question is about pages, and lines of pages have every word of it."""
    named = [(leaf.dimension, inside) for leaf, inside in leaves(query.filters)]
    if any(inside for _, inside in named):
        return False
    filtered = {dimension for dimension, _ in named}
    asked = {d for d in query.dimensions if not words.is_time(d)} | filtered
    if PAGE not in asked or not {SAME.get(d, d) for d in asked} <= {*DIMENSIONS, PAGE}:
        return False
    return not of_visits or (PAGE not in query.dimensions and _by_one_page(query.filters))


def _by_one_page(filters: tuple[Filter, ...]) -> bool:
    """Whether the filters name one page, beside what they say of the visit."""
    of_pages = [f for f in filters if any(leaf.dimension == PAGE for leaf, _ in leaves((f,)))]
    return len(of_pages) == 1 and len(visitplan.pages_of(of_pages[0])) == 1


def statement(
    query: Query, range_: Range, metrics: tuple[str, ...], over: str, cover: Cover, limit: int
) -> Texts | None:
    """The question with the columns of the raw statement; None when lines of pages do not tell."""
    of_visits = over == "visits"
    time = [d for d in query.dimensions if words.is_time(d)]
    table = visitplan.VISIT_METRICS if of_visits else visitplan.ROW_METRICS
    if (
        not cover.visits
        or not set(metrics) <= set(table)
        or any(bucket_of(d, range_) not in TIME for d in time)
        or not _asked(query, of_visits)
    ):
        return None
    parameters = Parameters()
    rows = "1" if of_visits else "held > 0"
    parts = PARTS if of_visits else ROW_PARTS
    where = f"{rows} AND {condition(query.filters, parameters, _column)}"
    dimensions = [TIME[bucket_of(d, range_)] if d in time else _column(d) for d in query.dimensions]
    unkeyed = "toUInt64(0)" if of_visits else "sum(unkeyed)"
    group = f"\nGROUP BY {', '.join(f'd{n}' for n in range(len(dimensions)))}" if dimensions else ""
    group += "\nHAVING sum(visits) > 0" if dimensions and of_visits else ""

    def source(narrower: str = "") -> str:
        return lines_of("visit_pages", parts, where + narrower)

    def select(table: dict[str, str], narrower: str = "", more: str = "") -> str:
        selected = columns(dimensions, [table[m] for m in metrics], table["visitors"], unkeyed)
        return f"SELECT {selected}{more}\n{source(narrower)}{group}\nLIMIT {limit}"

    values = {**parameters.values, **builds_of(cover), "first": range_.first_day, "last": range_.last_day}
    whole = Texts(select(table), values)
    if query.dimensions != (PAGE,):
        return whole
    crossed = crosscells.cross(query, {m: table[m] for m in metrics}, over, cover, whole, source, limit)
    if crossed is not None:
        return crossed
    bounds = select({**table, "visitors": at_least(KEYED)}, more=at_most(KEYED))
    return Texts(whole.sql, values, bounds, select(table, "\n  AND page IN {keys:Array(String)}"))
