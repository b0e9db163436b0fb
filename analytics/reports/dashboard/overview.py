"""What the overview shows: which questions it asks on either lane, and their answers made ready for the template."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from analytics.anonymise.periods import Period
from analytics.reports.dashboard import charts
from analytics.reports.dashboard.patience import StillCounting
from analytics.reports.dashboard.views import TABS, TREND_METRICS, View
from analytics.reports.errors import QueryError, QueryStopped, QueryTimeout
from analytics.reports.goals import Goal
from analytics.reports.reconcile import Z95
from analytics.reports.released import bound_among
from analytics.reports.running import Progress
from analytics.reports.saved import Annotation
from analytics.reports.terminal import TITLES, dimension_title, part_shown, shown

Ask = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

HEADLINE = ("visitors", "visits", "pageviews", "views_per_visit", "bounce_rate", "visit_duration")
ROWS = 9
MORE_ROWS = 100
COUNTED: dict[str, tuple[str, ...]] = {
    "event:page": ("visitors", "pageviews"),
    "visit:entry_page": ("visitors", "visits"),
    "visit:exit_page": ("visitors", "visits"),
}
RELEASED_TABS = {
    "sources": {"source": "visit:source", "channel": "visit:channel", "campaign": "visit:utm_campaign"},
    "pages": {"top": "event:page", "entry": "visit:entry_page", "exit": "visit:exit_page"},
    "places": {"countries": "visit:country_name"},
    "devices": {"device": "visit:device", "browser": "visit:browser", "system": "visit:os"},
}
HEADINGS = {"visit:utm_campaign": "Campaign", "visit:os": "System", "visit:country_name": "Country"}
PANEL_TITLES = {"sources": "Sources", "pages": "Pages", "places": "Places", "devices": "Devices", "goals": "Goals"}


class Figure(msgspec.Struct, frozen=True):
    """One headline number; `change` in percent against the compared period, `interval` on the released lane."""

    metric: str
    title: str
    value: str
    change: int | None = None
    good: bool = True
    interval: str = ""
    url: str = ""


class Line(msgspec.Struct, frozen=True):
    """One row of a panel; `share` is its bar in percent, `reach` the ends of its interval in the same scale."""

    label: str
    url: str
    values: tuple[str, ...]
    share: float
    reach: tuple[float, float] | None = None


class Panel(msgspec.Struct, frozen=True):
    """A table: with rows, or with the reason why there are none."""

    id: str
    title: str
    heads: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()
    tabs: tuple[tuple[str, str, bool], ...] = ()  # label, address, open
    note: str = ""
    failed: str = ""
    by: str = ""
    waiting: Progress | None = None
    more: str = ""  # address of the same page with more of these rows, or with fewer
    expanded: bool = False


class Overview(msgspec.Struct, frozen=True):
    figures: tuple[Figure, ...]
    trend: charts.Trend | None
    series: dict[str, Any]
    numbers: tuple[tuple[str, str], ...]
    panels: tuple[Panel, ...]
    period: str
    without_key: float | None
    failed: str = ""
    empty: bool = False
    few: bool = False
    waiting: Progress | None = None

    @property
    def part_without_key(self) -> str:
        return part_shown(self.without_key or 0)

    @property
    def unfinished(self) -> bool:
        """Whether some answer is still being counted: the page comes again by itself."""
        return self.waiting is not None or any(panel.waiting for panel in self.panels)


async def internal(
    ask: Ask, view: View, now: dt.datetime, zone: str, goals: Sequence[Goal], notes: Sequence[Annotation]
) -> Overview:
    """The internal lane: exact numbers above the minimum cell."""
    today = now.astimezone(ZoneInfo(zone)).date()
    compare = {"compare": view.compare or "previous_period"} if view.period != "all" or view.first else {}
    head = ask(view.query(HEADLINE, today, include=compare))
    trend = ask(view.query([view.metric], today, ["time"], include={"time_labels": True, **compare}))
    panels = [_panel(ask, view, today, panel) for panel in TABS]
    if goals:
        panels.append(_goals(ask, view, today))
    headline, line, *rest = await asyncio.gather(head, trend, *panels, return_exceptions=True)
    panels_shown = tuple(panel for panel in rest if isinstance(panel, Panel))
    for failure in (headline, line, *rest):
        if isinstance(failure, QueryStopped):
            raise failure
    for failure in (headline, line):
        if isinstance(failure, StillCounting):
            return Overview((), None, {}, (), panels_shown, "", None, waiting=failure.progress)
    for failure in (headline, line):
        if isinstance(failure, BaseException):
            if not isinstance(failure, QueryError | QueryTimeout):
                raise failure
            return Overview((), None, {}, (), (), "", None, failed=str(failure))
    assert isinstance(headline, dict)
    assert isinstance(line, dict)
    values = headline["results"][0]["metrics"]
    labelled, points = _series(line, now.astimezone(ZoneInfo(zone)))
    before = _before(line, labelled)
    marks = [(labelled.index(note.day), note.name) for note in notes if note.day in labelled]
    axis = charts.axis_labels(labelled)
    series = {"labels": labelled, "shown": axis, "values": points, "before": before, "metric": TITLES[view.metric]}
    series["marks"] = [index for index, _ in marks]
    period = " to ".join(dict.fromkeys(instant[:10] for instant in headline["query"]["date_range"]))
    return Overview(
        figures=tuple(_figures(view, headline)),
        trend=charts.trend(axis, points, before, notes=marks),
        series=series,
        numbers=tuple((label, shown(view.metric, value)) for label, value in zip(labelled, points, strict=True)),
        panels=panels_shown,
        period=period,
        without_key=headline["meta"].get("share_without_key"),
        empty=headline["meta"].get("share_without_key") is None and not any(values) and None not in values,
        few=all(value is None for value in values),
    )


def _figures(view: View, answer: dict[str, Any]) -> list[Figure]:
    row = answer["results"][0]
    changes = (row.get("comparison") or {}).get("change") or [None] * len(HEADLINE)
    return [
        Figure(
            metric=metric,
            title=TITLES[metric],
            value=shown(metric, value),
            change=change,
            good=change is None or (change >= 0) is (metric != "bounce_rate"),
            url=view.url(metric=metric) if metric in TREND_METRICS else "",
        )
        for metric, value, change in zip(HEADLINE, row["metrics"], changes, strict=False)
    ]


def _series(answer: dict[str, Any], now: dt.datetime) -> tuple[list[str], list[Any]]:
    """Every bucket of the range that has begun: zero where nothing happened, None where too few came to show."""
    found = {row["dimensions"][0]: row["metrics"][0] for row in answer["results"]}
    hidden = answer["meta"].get("suppressed_rows") and all(value is None for value in found.values())
    absent = None if hidden else 0
    until = f"{now:%Y-%m-%d %H:%M:%S}"  # of hours that are still to come, zero would be a claim
    labelled = [label for label in answer["meta"]["time_labels"] if label <= until] or answer["meta"]["time_labels"]
    return labelled, [found.get(label, absent) for label in labelled]


def _before(answer: dict[str, Any], labelled: list[str]) -> list[Any]:
    found = {
        row["dimensions"][0]: (row["comparison"]["metrics"] or [None])[0]
        for row in answer["results"]
        if row.get("comparison")
    }
    return [found.get(label) for label in labelled] if any(v is not None for v in found.values()) else []


async def _panel(ask: Ask, view: View, today: dt.date, panel: str) -> Panel:
    open_tab = view.tab(panel)
    dimension = TABS[panel][open_tab]
    metrics = COUNTED.get(dimension, ("visitors", "visits") if panel == "sources" else ("visitors", "pageviews"))
    tabs = tuple((tab.capitalize(), view.with_tab(panel, tab), tab == open_tab) for tab in TABS[panel])
    limit = MORE_ROWS if view.more == panel else ROWS
    query = view.query(metrics, today, [dimension], pagination={"limit": limit}, include={"total_rows": True})
    try:
        answer = await ask(query)
    except (QueryError, QueryTimeout) as error:
        return Panel(panel, PANEL_TITLES[panel], tabs=tabs, failed=str(error))
    except StillCounting as counting:
        return Panel(panel, PANEL_TITLES[panel], tabs=tabs, waiting=counting.progress)
    return _filled(panel, view, dimension, metrics, answer, tabs)


def _filled(panel: str, view: View, dimension: str, metrics: Sequence[str], answer: dict[str, Any], tabs: Any) -> Panel:
    rows = answer["results"]
    top = max((_weight(row) for row in rows), default=0) or 1
    lines = [
        Line(
            label=str(row["dimensions"][0]),
            url=view.with_filter(dimension, str(row["dimensions"][0])),
            values=tuple(shown(m, v) for m, v in zip(metrics, row["metrics"], strict=True)),
            share=round(_weight(row) / top * 100, 1),
        )
        for row in rows
        if any(row["metrics"])  # rows without a key, which are no visitors: nothing to tell
    ]
    hidden, total = answer["meta"]["suppressed_rows"], answer["meta"].get("total_rows", len(rows))
    notes = []
    expanded = view.more == panel
    if total > len(rows):
        notes.append(f"{total - len(rows):,} more")
    if hidden:
        least = answer["meta"]["minimum_cell"]
        notes.append(f"{hidden:,} below {least} visitors, or hidden to protect a smaller one")
    return Panel(
        panel,
        PANEL_TITLES[panel],
        tuple(TITLES[m] for m in metrics),
        tuple(lines),
        tabs,
        ", ".join(notes),
        by=heading(dimension),
        more=view.url(more="" if expanded else panel) if panel in TABS and (expanded or total > len(rows)) else "",
        expanded=expanded,
    )


def heading(dimension: str) -> str:
    return HEADINGS.get(dimension) or dimension_title(dimension)


def _weight(row: dict[str, Any]) -> float:
    numbers = [value for value in row["metrics"] if isinstance(value, int | float)]
    return float(numbers[0]) if numbers else 0.0


async def _goals(ask: Ask, view: View, today: dt.date) -> Panel:
    metrics = ("visitors", "events", "conversion_rate")
    try:
        answer = await ask(view.query(metrics, today, ["event:goal"], pagination={"limit": ROWS}))
    except (QueryError, QueryTimeout) as error:
        return Panel("goals", "Goals", failed=str(error))
    except StillCounting as counting:
        return Panel("goals", "Goals", waiting=counting.progress)
    return _filled("goals", view, "event:goal", metrics, answer, ())


async def released(ask: Ask, view: View, held: Sequence[Period]) -> Overview:
    """The released lane: sealed cells with their intervals. `held` are the periods that were released."""
    period = chosen_period(view, held)
    if period is None:
        return Overview((), None, {}, (), (), "", None, empty=True)
    range_ = [period.first.isoformat(), period.last.isoformat()]
    common = {"site_id": view.site, "date_range": range_, "lane": "released", "with_intervals": True}
    head = ask({**common, "metrics": ["visitors", "visits", "pageviews", "bounce_rate"]})
    days = [p.first.isoformat() for p in held if p.kind == "day"]
    span = range_ if period.kind != "day" else [min(days[-14:]), max(days)]
    line = ask({**common, "date_range": span, "metrics": ["visitors"], "dimensions": ["time:day"]})
    panels = [_released_panel(ask, common, view, panel) for panel in RELEASED_TABS]
    headline, trend, *rest = await asyncio.gather(head, line, *panels, return_exceptions=True)
    for failure in (headline, trend, *rest):
        if isinstance(failure, BaseException) and not isinstance(failure, QueryError):
            raise failure
    figures = () if isinstance(headline, BaseException) else tuple(_released_figures(headline))
    chart, series = None, {}
    labelled: list[str] = []
    numbers: list[str] = []
    if isinstance(trend, dict) and trend["results"]:
        labelled = [row["dimensions"][0] for row in trend["results"]]
        points = [row["metrics"][0] for row in trend["results"]]
        intervals = [(row["intervals"][0][0], row["intervals"][0][1]) for row in trend["results"]]
        axis = charts.axis_labels(labelled)
        chart = charts.trend(axis, points, intervals=intervals)
        series = {"labels": labelled, "shown": axis, "values": points, "before": [], "metric": "Visitors"}
        series["low"], series["high"] = [i[0] for i in intervals], [i[1] for i in intervals]
        numbers = [f"{v:,} ({i[0]:,} to {i[1]:,})" for v, i in zip(points, intervals, strict=True)]
    shown_panels = tuple(panel for panel in rest if isinstance(panel, Panel))
    table = tuple(zip(labelled, numbers, strict=True))
    return Overview(figures, chart, series, table, shown_panels, str(period), None)


def chosen_period(view: View, held: Sequence[Period]) -> Period | None:
    """The period that the address names, else the newest week, else the newest of all."""
    named = next((period for period in held if str(period) == view.period), None)
    if named or not held:
        return named
    weeks = [period for period in held if period.kind == "week"]
    return max(weeks or held, key=lambda period: period.last)


def _released_figures(answer: Any) -> list[Figure]:
    row = answer["results"][0] if answer["results"] else {"metrics": [None] * 4, "intervals": [None] * 4}
    names = ("visitors", "visits", "pageviews", "bounce_rate")
    return [
        Figure(
            metric=metric,
            title=TITLES[metric],
            value="below noise" if value is None else shown(metric, value),
            interval=f"{interval[0]:,} to {interval[1]:,}{' %' if metric == 'bounce_rate' else ''}" if interval else "",
        )
        for metric, value, interval in zip(names, row["metrics"], row["intervals"], strict=True)
    ]


def stands_out(value: int, interval: Sequence[int], cells: int) -> bool:
    """Whether a number can be told from noise among all `cells` of its table; the interval shown stays its own."""
    low, high = interval
    sigma = (high - low) / 2 / Z95
    return low > 0 and value > bound_among(cells) * sigma


async def _released_panel(ask: Ask, common: dict[str, Any], view: View, panel: str) -> Panel:
    tabs = RELEASED_TABS[panel]
    open_tab = view.tab(panel) if view.tab(panel) in tabs else next(iter(tabs))
    links = tuple((tab.capitalize(), view.with_tab(panel, tab), tab == open_tab) for tab in tabs)
    query = {**common, "metrics": ["visitors"], "dimensions": [tabs[open_tab]], "include": {"total_rows": True}}
    try:
        answer = await ask({**query, "pagination": {"limit": ROWS}})
    except QueryError as error:
        return Panel(panel, PANEL_TITLES[panel], tabs=links, failed=str(error).partition(". The released")[0])
    rows = answer["results"]
    cells = max(answer["meta"].get("total_rows", 0), len(rows))
    shown_rows = [row for row in rows if stands_out(row["metrics"][0], row["intervals"][0], cells)]
    top = max((row["intervals"][0][1] for row in shown_rows), default=0) or 1
    lines = tuple(
        Line(
            label=str(row["dimensions"][0]) or "(none)",
            url="",
            values=(f"{row['metrics'][0]:,}", f"{row['intervals'][0][0]:,} to {row['intervals'][0][1]:,}"),
            share=round(row["metrics"][0] / top * 100, 1),
            reach=(round(row["intervals"][0][0] / top * 100, 1), round(row["intervals"][0][1] / top * 100, 1)),
        )
        for row in shown_rows
    )
    left = cells - len(lines)
    note = f"{left} more, or too small to tell from the noise" if left else ""
    return Panel(
        panel, PANEL_TITLES[panel], ("Visitors", "95 % interval"), lines, links, note, by=heading(tabs[open_tab])
    )
