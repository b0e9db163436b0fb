"""The page about ways through the site: funnels, what comes before and after a page, and who comes back."""

from __future__ import annotations

from typing import Any

import msgspec

from analytics.reports import running
from analytics.reports.dashboard.views import View
from analytics.reports.errors import QueryError
from analytics.reports.reporting import Reporting
from analytics.reports.saved import Funnel


class Step(msgspec.Struct, frozen=True):
    """One step of a funnel; `visitors` None: too few."""

    name: str
    visitors: int | None
    share: float
    of_first: float | None
    lost: float | None


class Drawn(msgspec.Struct, frozen=True):
    """A funnel with its steps, or why it cannot be drawn."""

    name: str
    steps: tuple[Step, ...] = ()
    failed: str = ""


class Walks(msgspec.Struct, frozen=True):
    funnels: tuple[Drawn, ...]
    page: str
    before: list[dict[str, Any]]
    after: list[dict[str, Any]]
    cohorts: list[dict[str, Any]]
    weeks: int


def gather(reporting: Reporting, view: View, date_range: Any, page: str) -> Walks:
    """Raises QueryError, UnknownSite."""
    asked = {
        "date_range": date_range,
        "filters": [[operator, dimension, value.split("|")] for operator, dimension, value in view.filters],
    }
    defined = reporting.saved.all("funnel", view.site)
    running.expect(len(defined) + 3)  # a journey is two statements
    funnels = tuple(_drawn(reporting, view.site, asked, one) for _, one in defined)
    around = reporting.explore("journey", view.site, {**asked, "page": page})
    table = reporting.explore("cohorts", view.site, asked)
    weeks = max((len(row["visitors"]) for row in table), default=0)
    return Walks(funnels, page, around["previous"], around["next"], table, weeks)


def _drawn(reporting: Reporting, site: str, asked: dict[str, Any], wanted: Funnel) -> Drawn:
    try:
        steps = reporting.explore("funnel", site, {**asked, "steps": list(wanted.steps)})
    except QueryError as error:
        return Drawn(wanted.name, failed=error.reason)
    first = steps[0]["visitors"] or 0
    drawn = []
    before: int | None = None
    for step in steps:
        visitors = step["visitors"]
        lost = round(100 - visitors / before * 100, 1) if before and visitors is not None else None
        share = round(visitors / first * 100, 1) if first and visitors is not None else 0.0
        drawn.append(Step(step["step"], visitors, share, step["of_first"], lost))
        before = visitors
    return Drawn(wanted.name, tuple(drawn))


def retention(row: dict[str, Any]) -> list[tuple[int | None, int | None, int]]:
    """For a cohort: (visitors, percent, shade from 0 to 5) of each week."""
    size = row["visitors"][0]
    cells = []
    for count in row["visitors"]:
        percent = round(count / size * 100) if count is not None and size else None
        cells.append((count, percent, 0 if not percent else min(5, 1 + percent // 20)))
    return cells
