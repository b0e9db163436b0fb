"""A report put together from several questions: which sections it has on either lane, and what is said below them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from analytics.reports.terminal import Section, part_shown

Ask = Callable[[dict[str, Any]], dict[str, Any]]
Wanted = Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]]

SECTIONS: Wanted = {
    "overview": (
        "Overview",
        (),
        ("visitors", "visits", "pageviews", "views_per_visit", "bounce_rate", "visit_duration"),
    ),
    "trend": ("Trend", ("time",), ("pageviews", "visitors")),
    "pages": ("Top pages", ("event:page",), ("pageviews", "visitors")),
    "sources": ("Sources", ("visit:source",), ("visitors", "visits")),
    "countries": ("Countries", ("visit:country_name",), ("visitors", "pageviews")),
    "devices": ("Devices", ("visit:device",), ("visitors", "pageviews")),
    "browsers": ("Browsers", ("visit:browser",), ("visitors", "pageviews")),
}
NOTHING = "Nothing is counted in this period: bots never are, nor is what was captured in the last seconds."
RELEASED: Wanted = {
    "overview": ("Overview", (), ("visitors", "visits", "pageviews")),
    "trend": ("Trend", ("time:day",), ("visitors",)),
    "pages": ("Top pages", ("event:page",), ("visitors", "pageviews")),
    "sources": ("Sources", ("visit:source",), ("visitors",)),
    "countries": ("Countries", ("visit:country_name",), ("visitors",)),
    "devices": ("Devices", ("visit:device",), ("visitors",)),
    "browsers": ("Browsers", ("visit:browser",), ("visitors",)),
}


class Report(msgspec.Struct, frozen=True):
    site: str
    period: str
    lane: str
    sections: list[Section]
    notes: list[str]


def compose(
    ask: Ask, site: str, date_range: Any, wanted: Wanted, *, lane: str = "internal", filters: Any = (), limit: int = 10
) -> Report:
    """Ask for each section. What `ask` raises is passed on."""
    common: dict[str, Any] = {"site_id": site, "date_range": date_range, "filters": list(filters), "lane": lane}
    common["with_intervals"] = lane == "released"
    found, meta, period = [], {}, ""
    for name, (title, dimensions, metrics) in wanted.items():
        rows = 10_000 if name == "trend" else limit
        answer = ask({**common, "metrics": metrics, "dimensions": dimensions, "pagination": {"limit": rows}})
        meta = answer["meta"]
        period = " to ".join(dict.fromkeys(instant[:10] for instant in answer["query"]["date_range"]))
        # Rows without a key alone make a line of zeros, which tells nobody anything; a day of zeros does.
        keep = name == "trend" or not dimensions
        lines = [line for line in answer["results"] if keep or any(line["metrics"])]
        found.append(Section(name, title, dimensions, metrics, lines, meta.get("suppressed_rows", 0)))
    return Report(site, period, lane, found, _notes(meta, found, lane))


def _notes(meta: dict[str, Any], found: list[Section], lane: str) -> list[str]:
    if lane == "released":
        return [
            "Anonymous release: each number carries noise; in brackets, where the true one lies in 95 of 100 draws."
        ]
    notes = []
    hidden = sum(section.suppressed for section in found)
    if not hidden and not any(any(line["metrics"]) for section in found for line in section.rows):
        notes.append(NOTHING)
    if hidden:
        least, rows = meta["minimum_cell"], "1 row is" if hidden == 1 else f"{hidden} rows are"
        notes.append(f"{rows} not shown: fewer than {least} visitors, or hidden to protect a smaller group.")
    if share := meta.get("share_without_key"):
        part = part_shown(share)
        notes.append(f"{part} of what is counted carries no visitor key: it counts as page views, never as visitors.")
    return notes
