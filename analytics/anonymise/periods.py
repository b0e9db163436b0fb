"""Day, week, month: what a release covers, in UTC. Pure."""

from __future__ import annotations

import datetime as dt
import re

import msgspec

KINDS = ("day", "week", "month")
_DAY = dt.timedelta(days=1)


class Period(msgspec.Struct, frozen=True, order=True):
    """A closed set of whole UTC days: `day:2026-11-20`, `week:2026-W47` (ISO 8601) or `month:2026-11`."""

    kind: str
    first: dt.date
    last: dt.date

    @classmethod
    def parse(cls, text: str) -> Period:
        """Raises ValueError with what is expected."""
        kind, _, value = text.partition(":")
        try:
            if kind == "day" and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
                return cls.of("day", dt.date.fromisoformat(value))
            if kind == "week" and (match := re.fullmatch(r"(\d{4})-W(\d{2})", value)):
                return cls.of("week", dt.date.fromisocalendar(int(match[1]), int(match[2]), 1))
            if kind == "month" and (match := re.fullmatch(r"(\d{4})-(\d{2})", value)):
                return cls.of("month", dt.date(int(match[1]), int(match[2]), 1))
        except ValueError as error:
            raise ValueError(f'"{text}" is not a period: {error}') from None
        raise ValueError(f'"{text}" is not a period: write day:2026-11-20, week:2026-W47 or month:2026-11')

    @classmethod
    def of(cls, kind: str, day: dt.date) -> Period:
        """The period of that kind which holds `day`."""
        if kind == "day":
            return cls("day", day, day)
        if kind == "week":
            monday = day - _DAY * day.weekday()
            return cls("week", monday, monday + 6 * _DAY)
        first = day.replace(day=1)
        return cls("month", first, (first + 31 * _DAY).replace(day=1) - _DAY)

    def __str__(self) -> str:
        if self.kind == "day":
            return f"day:{self.first.isoformat()}"
        if self.kind == "week":
            year, week, _ = self.first.isocalendar()
            return f"week:{year:04d}-W{week:02d}"
        return f"month:{self.first.year:04d}-{self.first.month:02d}"

    @property
    def file_stem(self) -> str:
        return str(self).replace(":", "-")

    @property
    def start(self) -> dt.datetime:
        return dt.datetime.combine(self.first, dt.time(), dt.UTC)

    @property
    def end(self) -> dt.datetime:
        """The first moment after the period."""
        return dt.datetime.combine(self.last + _DAY, dt.time(), dt.UTC)

    @property
    def days(self) -> list[dt.date]:
        return [self.first + _DAY * number for number in range((self.last - self.first).days + 1)]
