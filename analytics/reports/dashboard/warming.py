"""The overview's questions, asked before anybody comes: the first look of the morning is as quick as the second."""

from __future__ import annotations

import asyncio
from typing import Any

from analytics.reports.dashboard import overview
from analytics.reports.dashboard.views import View
from analytics.reports.query import parse_object
from analytics.reports.reporting import Reporting


def warm(reporting: Reporting, site: str) -> None:
    """Have the overview, as it opens, counted and kept. It is shown to nobody, so nothing is logged."""

    async def ask(query: dict[str, Any]) -> dict[str, Any]:
        return reporting.ask(parse_object(query))

    goals = reporting.saved.goals(site)
    asyncio.run(overview.internal(ask, View(site), reporting.now(), reporting.zone, goals, ()))
