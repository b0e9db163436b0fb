"""Sessionisation: rows of `events` -> visits, in the engine."""

from __future__ import annotations

from typing import Final

from analytics.store.client import load_sql

VISIT_GAP_SECONDS: Final = 1800
VISIT_COLUMNS: Final = (
    "visitor",
    "start",
    "end",
    "duration_s",
    "pageviews",
    "events",
    "bounce",
    "entry_path",
    "exit_path",
    "source",
    "channel",
    "referrer_host",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "country",
    "language",
    "browser",
    "os",
    "device",
)


def visits_sql() -> str:
    """A subquery, in parentheses, of the visits of `{site:String}` in `[{from:DateTime64(3)}, {to:DateTime64(3)})`.

    Bots, counts, and restricted and objecting visitors are left out. Times are UTC.
    """
    return f"(\n{load_sql('visits').strip()}\n)"
