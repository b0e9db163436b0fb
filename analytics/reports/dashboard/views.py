"""A view is what an address says: site, lane, period, filters, open tabs. Pure; a page takes every link from here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

import msgspec

from analytics.reports import words
from analytics.reports.errors import QueryError

PERIODS = {
    "day": "Today",
    "7d": "7 days",
    "30d": "30 days",
    "month": "This month",
    "12mo": "12 months",
    "all": "All",
}
OPERATORS = {
    "is": "is",
    "is_not": "is not",
    "contains": "contains",
    "contains_not": "does not contain",
    "matches": "matches",
    "matches_not": "does not match",
}
TABS: dict[str, dict[str, str]] = {
    "sources": {
        "source": "visit:source",
        "channel": "visit:channel",
        "campaign": "visit:utm_campaign",
        "referrer": "visit:referrer",
    },
    "pages": {"top": "event:page", "entry": "visit:entry_page", "exit": "visit:exit_page"},
    "places": {"countries": "visit:country_name", "regions": "visit:region", "cities": "visit:city"},
    "devices": {"device": "visit:device", "browser": "visit:browser", "system": "visit:os"},
}
TREND_METRICS = ("visitors", "visits", "pageviews", "bounce_rate", "visit_duration")


class View(msgspec.Struct, frozen=True):
    """One state of the overview."""

    site: str = ""
    lane: str = "internal"
    period: str = "30d"
    first: str = ""
    last: str = ""
    filters: tuple[tuple[str, str, str], ...] = ()
    compare: str = ""
    metric: str = "visitors"
    tabs: tuple[tuple[str, str], ...] = ()
    more: str = ""  # the panel that shows more of its rows

    def tab(self, panel: str) -> str:
        chosen = dict(self.tabs).get(panel, "")
        return chosen if chosen in TABS[panel] else next(iter(TABS[panel]))

    def url(self, path: str = "/", **changes: Any) -> str:
        """The address of this view with some parts changed."""
        view = msgspec.structs.replace(self, **changes)
        plain = View(site="")
        pairs: list[tuple[str, str]] = [("site", view.site)] if view.site else []
        for name, key in (("lane", "lane"), ("period", "period"), ("first", "from"), ("last", "to")):
            if getattr(view, name) != getattr(plain, name):
                pairs.append((key, getattr(view, name)))
        pairs += [("f", ",".join(each)) for each in view.filters]
        for name in ("compare", "metric"):
            if getattr(view, name) != getattr(plain, name):
                pairs.append((name, getattr(view, name)))
        pairs += [(panel, tab) for panel, tab in view.tabs if tab != next(iter(TABS[panel]))]
        pairs += [("more", view.more)] if view.more else []
        return f"{path}?{urlencode(pairs)}" if pairs else path

    def with_tab(self, panel: str, tab: str) -> str:
        more = "" if self.more == panel else self.more
        return self.url(tabs=(*(each for each in self.tabs if each[0] != panel), (panel, tab)), more=more)

    def with_filter(self, dimension: str, value: str) -> str:
        kept = tuple(each for each in self.filters if each[1] != dimension)
        return self.url(filters=(*kept, ("is", dimension, value)))

    def without_filter(self, index: int) -> str:
        return self.url(filters=tuple(each for n, each in enumerate(self.filters) if n != index))

    def date_range(self, today: dt.date) -> str | list[str]:
        """What the API is asked. The dashboard's ranges include today: people look for what just happened."""
        if self.first and self.last:
            return [self.first, self.last]
        if self.period.endswith("d") and self.period[:-1].isdigit():
            first = today - dt.timedelta(days=int(self.period[:-1]) - 1)
            return [first.isoformat(), today.isoformat()]
        if self.period.endswith("mo") and self.period[:-2].isdigit():
            months = today.year * 12 + today.month - int(self.period[:-2])
            return [dt.date(months // 12, months % 12 + 1, 1).isoformat(), today.isoformat()]
        return self.period

    def query(
        self, metrics: Iterable[str], today: dt.date, dimensions: Iterable[str] = (), **more: Any
    ) -> dict[str, Any]:
        """A query of this view's site, range and filters."""
        return {
            "site_id": self.site,
            "metrics": list(metrics),
            "date_range": self.date_range(today),
            "dimensions": list(dimensions),
            "filters": [[operator, dimension, value.split("|")] for operator, dimension, value in self.filters],
            **more,
        }


def parse(pairs: Iterable[tuple[str, str]], default_site: str) -> View:
    """The view of a query string; unknown parts are ignored, wrong ones raise QueryError."""
    given: dict[str, str] = {}
    filters = []
    for key, value in pairs:
        if key == "f":
            filters.append(_filter(value))
        else:
            given[key] = value
    if given.get("fv") and "fd" in given:
        filters.append(_filter(f"{given.get('fo', 'is')},{given['fd']},{given['fv']}"))
    lane = given.get("lane", "internal")
    if lane not in ("internal", "released"):
        raise QueryError("lane", f'"{lane}" is not a lane: internal or released')
    metric = given.get("metric", "visitors")
    first, last = given.get("from", ""), given.get("to", "")
    if first and last and first > last:
        first, last = last, first
    return View(
        site=given.get("site") or default_site,
        lane=lane,
        period=given.get("period", "30d"),
        first=first if last else "",
        last=last if first else "",
        filters=tuple(filters[:20]),
        compare=given.get("compare", "") if given.get("compare") in ("previous_period", "year_over_year") else "",
        metric=metric if metric in TREND_METRICS else "visitors",
        tabs=tuple((panel, given[panel]) for panel in TABS if panel in given),
        more=given["more"] if given.get("more") in TABS else "",
    )


def _filter(text: str) -> tuple[str, str, str]:
    operator, _, rest = text.partition(",")
    dimension, _, value = rest.partition(",")
    known = dimension in words.DIMENSIONS or words.is_property(dimension) or dimension == "segment"
    if operator not in OPERATORS or not known or not value:
        raise QueryError("f", f'"{text}" is not a filter: write operator,dimension,value')
    return operator, dimension, value
