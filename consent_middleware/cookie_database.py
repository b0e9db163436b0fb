"""Reads the Open Cookie Database's CSV (https://github.com/jkwakman/Open-Cookie-Database), the user's own download."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

import msgspec

from consent_middleware.inventory import matches
from consent_middleware.policy_checks import lifetime_seconds

MAX_BYTES = 50_000_000
# The database's five categories, as purposes. "Security" and "Functional" are not all necessary: the user decides.
_PURPOSES = {
    "functional": "functional",
    "personalization": "preferences",
    "analytics": "analytics",
    "marketing": "marketing",
    "security": "necessary",
}
_COLUMNS = {
    "platform": ("platform",),
    "category": ("category",),
    "name": ("cookie / data key name", "cookie/data key name", "cookie name", "cookie", "name"),
    "domain": ("domain",),
    "description": ("description",),
    "retention": ("retention period", "retention"),
    "controller": ("data controller",),
    "wildcard": ("wildcard match",),
}
_REQUIRED = ("category", "name", "description")
_UNITS = r"(second|minute|hour|day|week|month|year)s?"


class BadDatabase(ValueError):
    """The file is not the database; the message says what is missing."""


class KnownCookie(msgspec.Struct, frozen=True):
    """One row. `pattern` is the name, with a `*` where the database says that anything may follow."""

    pattern: str
    category: str
    provider: str
    description: str
    retention: str
    domain: str

    @property
    def purpose(self) -> str:
        return _PURPOSES.get(self.category.lower(), "functional")

    @property
    def lifetime(self) -> str:
        """The retention in the policy file's words; "" when it can't be read."""
        found = re.search(rf"(\d+)\s*{_UNITS}", self.retention.lower())
        if found:
            text = f"{int(found.group(1))} {found.group(2)}{'s' if int(found.group(1)) != 1 else ''}"
            return text if lifetime_seconds(text) else ""
        return "session" if "session" in self.retention.lower() else ""


def read_database(raw: bytes) -> tuple[KnownCookie, ...]:
    """The rows of the CSV file. Raises BadDatabase."""
    if len(raw) > MAX_BYTES:
        raise BadDatabase(f"{len(raw)} bytes; at most {MAX_BYTES} are read")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadDatabase(f"byte {error.start} is not UTF-8") from None
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        places = {key: _place(header, names) for key, names in _COLUMNS.items()}
        missing = [_COLUMNS[key][0] for key in _REQUIRED if places[key] is None]
        if missing:
            raise BadDatabase(f"no column {', '.join(repr(name) for name in missing)} in its first line")
        return tuple(cookie for row in rows if (cookie := _row(row, places)).pattern.strip("*"))
    except csv.Error as error:
        raise BadDatabase(f"line {rows.line_num}: {error}") from None


def _place(header: list[str], names: Iterable[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _row(row: list[str], places: dict[str, int | None]) -> KnownCookie:
    def cell(key: str) -> str:
        place = places[key]
        return " ".join(row[place].split()) if place is not None and place < len(row) else ""

    name = cell("name")
    return KnownCookie(
        pattern=f"{name}*" if cell("wildcard") == "1" and "*" not in name else name,
        category=cell("category"),
        provider=cell("platform") or cell("controller"),
        description=cell("description"),
        retention=cell("retention"),
        domain=cell("domain"),
    )


def look_up(database: Iterable[KnownCookie], name: str) -> KnownCookie | None:
    """The row for a cookie or a pattern: the same name first, then the longest pattern that covers it."""
    fitting = [known for known in database if known.pattern == name or matches(known.pattern, name)]
    return max(fitting, key=lambda known: (known.pattern == name, len(known.pattern)), default=None)
