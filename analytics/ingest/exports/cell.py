"""One cell of another tool's report, and the reports there are. Pure."""

from __future__ import annotations

import datetime as dt
import re
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from analytics.ingest.referrer import DIRECT, classify

# report -> the dimensions of its cells, in the words of the query language
REPORTS: Final = {
    "totals": (),
    "pages": ("event:page", "event:hostname"),
    "entry-pages": ("visit:entry_page",),
    "exit-pages": ("visit:exit_page",),
    "sources": (
        *("visit:source", "visit:channel", "visit:referrer", "visit:utm_source", "visit:utm_medium"),
        *("visit:utm_campaign", "visit:utm_content", "visit:utm_term"),
    ),
    "locations": ("visit:country", "visit:region", "visit:city"),
    "devices": ("visit:device",),
    "browsers": ("visit:browser", "visit:browser_version"),
    "systems": ("visit:os", "visit:os_version"),
    "events": ("event:name",),
}


class ExportError(ValueError):
    """What is wrong with an export, without the name of its file."""


class Cell(msgspec.Struct, frozen=True):
    """Counts of one combination of keys from the day `first` to the day `last`, both included."""

    report: str
    first: dt.date
    last: dt.date
    keys: dict[str, str] = {}
    visitors: int = 0
    visits: int = 0
    pageviews: int = 0
    events: int = 0
    bounces: int = 0
    visit_seconds: int = 0


def source_keys(source: str, medium: str = "", **others: str) -> dict[str, str]:
    """Source and channel in our words, of a source in those of another tool."""
    name = "" if source.lower() in ("", "(direct)", "direct", "(not set)", "direct entry", DIRECT.lower()) else source
    found = classify("", name, "" if medium in ("(none)", "(not set)", "organic", "referral") else medium)
    keys = {"visit:source": found.source, "visit:channel": found.channel}
    return keys | {f"visit:{key}": value for key, value in others.items() if value}


def count(text: str) -> int:
    """A count as tools write it: `1234`, `1,234`, `12.0`, or nothing. Raises ExportError."""
    plain = text.strip().replace(",", "").replace("\u00a0", "")
    if not plain or plain in ("-", "(not set)"):
        return 0
    try:
        number = float(plain)
    except ValueError:
        raise ExportError(f'"{text}" is not a count') from None
    if not 0 <= number < 2**63:
        raise ExportError(f'"{text}" is not a count')
    return round(number)


_UNITS: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(days?|hours?|h|min|m|s)\b")


def seconds(text: str) -> float:
    """A duration: seconds, `mm:ss` or `hh:mm:ss`, or in words as in `1 min 5s`. Raises ExportError."""
    plain = text.strip().lower().replace(",", "")
    parts = _PART.findall(plain)
    try:
        if parts:
            return sum(float(number) * _UNITS[unit[0]] for number, unit in parts)
        total = 0.0
        for part in plain.split(":"):
            total = total * 60 + float(part or 0)
    except ValueError:
        raise ExportError(f'"{text}" is not a duration') from None
    return total


def share(text: str) -> float:
    """A rate: `0.45` or `45%`, as a number from 0 to 1. Raises ExportError."""
    plain = text.strip().replace(",", ".")
    try:
        value = float(plain.removesuffix("%").strip() or 0)
    except ValueError:
        raise ExportError(f'"{text}" is not a rate') from None
    return min(1.0, max(0.0, value / 100 if plain.endswith("%") else value))


def day(text: str) -> dt.date:
    """`2026-11-13` or `20261113`. Raises ExportError."""
    plain = text.strip()
    try:
        return dt.date.fromisoformat(plain)
    except ValueError:
        raise ExportError(f'"{text}" is not a day such as 2026-11-13') from None


@cache
def _codes() -> dict[str, str]:
    raw = files("analytics.reports").joinpath("countries.json").read_bytes()
    return {name.lower(): code for code, name in msgspec.json.decode(raw, type=dict[str, str]).items()}


def country_code(text: str) -> str:
    """A country's code, of the code or of its English name; empty when it is neither."""
    plain = text.strip()
    if len(plain) == 2 and plain.isalpha():
        return plain.upper()
    return _codes().get(plain.lower(), "")
