"""The closed vocabulary of the query language: metrics, dimensions, date ranges. Pure data; SQL lives elsewhere."""

from __future__ import annotations

from typing import Literal, get_args

Metric = Literal[
    "visitors",
    "visits",
    "pageviews",
    "views_per_visit",
    "bounce_rate",
    "visit_duration",
    "events",
    "scroll_depth",
    "time_on_page",
    "percentage",
    "conversion_rate",
    "group_conversion_rate",
    "total_revenue",
    "average_revenue",
]
METRICS: tuple[str, ...] = get_args(Metric)

VISIT_METRICS = frozenset({"visits", "views_per_visit", "bounce_rate", "visit_duration"})
SESSION_METRICS = frozenset({"views_per_visit", "bounce_rate", "visit_duration"})
PAGE_METRICS = frozenset({"scroll_depth", "time_on_page"})
RATE_METRICS = frozenset({"conversion_rate", "group_conversion_rate"})
REVENUE_METRICS = frozenset({"total_revenue", "average_revenue"})

EVENT_DIMENSIONS = ("event:name", "event:page", "event:hostname", "event:goal")
PROPERTY_PREFIX = "event:props:"
VISIT_DIMENSIONS = (
    "visit:entry_page",
    "visit:exit_page",
    "visit:entry_page_hostname",
    "visit:exit_page_hostname",
    "visit:source",
    "visit:referrer",
    "visit:channel",
    "visit:utm_medium",
    "visit:utm_source",
    "visit:utm_campaign",
    "visit:utm_content",
    "visit:utm_term",
    "visit:screen",
    "visit:device",
    "visit:browser",
    "visit:browser_version",
    "visit:os",
    "visit:os_version",
    "visit:country",
    "visit:region",
    "visit:city",
    "visit:country_name",
    "visit:region_name",
    "visit:city_name",
)
TIME_DIMENSIONS = ("time", "time:minute", "time:hour", "time:day", "time:week", "time:month")
DIMENSIONS = (*EVENT_DIMENSIONS, *VISIT_DIMENSIONS, *TIME_DIMENSIONS)

DATE_RANGES = (
    "day",
    "24h",
    "7d",
    "28d",
    "30d",
    "91d",
    "month",
    "6mo",
    "12mo",
    "year",
    "all",
    "realtime",
    "realtime_30m",
)


def is_property(dimension: str) -> bool:
    return dimension.startswith(PROPERTY_PREFIX) and len(dimension) > len(PROPERTY_PREFIX)


def is_time(dimension: str) -> bool:
    return dimension == "time" or dimension.startswith("time:")


def is_event(dimension: str) -> bool:
    return dimension.startswith("event:")
