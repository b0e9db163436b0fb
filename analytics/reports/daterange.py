"""Date ranges: from `7d` or a pair of dates to instants, in the site's time zone; and the labels of time buckets.

A day is what the site's clock says: 23 or 25 hours long when the clock changes. Ranges of days and months end with the
last full one, as in Plausible: `7d` is the seven days before today.
"""

from __future__ import annotations

import datetime as dt
import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from analytics.reports.errors import QueryError, did_you_mean
from analytics.reports.words import DATE_RANGES

PATH = "$.date_range"
MAX_MINUTE_BUCKETS = 24 * 60


class Range(msgspec.Struct, frozen=True):
    """From `start` (included) to `end` (excluded), both in UTC; `zone` is the clock that days are read on."""

    start: dt.datetime
    end: dt.datetime
    zone: str = "UTC"

    @property
    def first_day(self) -> dt.date:
        return self.start.astimezone(ZoneInfo(self.zone)).date()

    @property
    def last_day(self) -> dt.date:
        return (self.end - dt.timedelta(milliseconds=1)).astimezone(ZoneInfo(self.zone)).date()

    @property
    def days(self) -> int:
        return (self.last_day - self.first_day).days + 1

    def iso_pair(self) -> list[str]:
        zone = ZoneInfo(self.zone)
        last = self.end - dt.timedelta(seconds=1)
        return [self.start.astimezone(zone).isoformat(), last.astimezone(zone).isoformat()]


def zone_of(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise QueryError("$.timezone", f'"{name}" is not a time zone') from None


def midnight(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    """The first instant of a day; where the clock jumps over midnight, the first instant after the jump."""
    return dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC)


def of_days(first: dt.date, last: dt.date, zone: str) -> Range:
    clock = zone_of(zone)
    return Range(midnight(first, clock), midnight(last + dt.timedelta(days=1), clock), zone)


def resolve(
    value: str | tuple[str, str],
    *,
    now: dt.datetime,
    zone: str = "UTC",
    earliest: dt.datetime | None = None,
) -> Range:
    """The instants that a date range means at `now`; `earliest` is where `all` begins. Raises QueryError."""
    if not isinstance(value, str):
        return _pair(value[0], value[1], zone)
    today = now.astimezone(zone_of(zone)).date()
    if value == "day":
        return of_days(today, today, zone)
    if value == "24h":
        return Range(now - dt.timedelta(hours=24), now, zone)
    if value in ("realtime", "realtime_30m"):
        minutes = 5 if value == "realtime" else 30
        return Range(now - dt.timedelta(minutes=minutes), now + dt.timedelta(seconds=5), zone)
    if value == "month":
        return of_days(today.replace(day=1), _month_end(today), zone)
    if value == "year":
        return of_days(today.replace(month=1, day=1), today.replace(month=12, day=31), zone)
    if value == "all":
        first = earliest.astimezone(zone_of(zone)).date() if earliest else today
        return of_days(min(first, today), today, zone)
    if match := re.fullmatch(r"([1-9]\d{0,3})(d|mo)", value):
        count = int(match[1])
        if match[2] == "d":
            return of_days(today - dt.timedelta(days=count), today - dt.timedelta(days=1), zone)
        if count <= 100:
            last = today.replace(day=1) - dt.timedelta(days=1)
            return of_days(_shift_months(last.replace(day=1), 1 - count), last, zone)
    allowed = f"{', '.join(DATE_RANGES)}, any other number of days (14d) or months (3mo), or first and last day"
    raise QueryError(PATH, f'"{value}" is not a date range{did_you_mean(value, DATE_RANGES)}; allowed are {allowed}')


def _pair(first: str, last: str, zone: str) -> Range:
    try:
        if len(first) == 10 and len(last) == 10:
            range_ = of_days(dt.date.fromisoformat(first), dt.date.fromisoformat(last), zone)
        else:
            start, end = dt.datetime.fromisoformat(first), dt.datetime.fromisoformat(last)
            if start.tzinfo is None or end.tzinfo is None:
                raise QueryError(PATH, "a timestamp needs its offset from UTC, as in 2026-01-31T12:00:00+01:00")
            range_ = Range(start.astimezone(dt.UTC), end.astimezone(dt.UTC) + dt.timedelta(seconds=1), zone)
    except (ValueError, OverflowError) as error:
        if isinstance(error, QueryError):
            raise
        raise QueryError(PATH, f'["{first}", "{last}"] is not a pair of ISO 8601 dates or timestamps') from None
    if range_.start >= range_.end:
        raise QueryError(PATH, "the range ends before it begins")
    if not range_.start.year >= 1971 or not range_.end.year < 2200:
        raise QueryError(PATH, "the range must lie between 1971 and 2200")
    return range_


def _month_end(day: dt.date) -> dt.date:
    return _shift_months(day.replace(day=1), 1) - dt.timedelta(days=1)


def _shift_months(day: dt.date, months: int) -> dt.date:
    index = day.year * 12 + day.month - 1 + months
    return dt.date(index // 12, index % 12 + 1, 1)


def bucket_of(dimension: str, range_: Range) -> str:
    """The bucket that plain `time` means for this range: hours up to two days, then days, weeks, months."""
    if dimension != "time":
        return dimension.removeprefix("time:")
    if range_.end - range_.start <= dt.timedelta(hours=1):
        return "minute"
    if range_.days <= 2:
        return "hour"
    return "day" if range_.days <= 92 else "week" if range_.days <= 365 else "month"


def label(bucket: str, value: dt.date | dt.datetime, zone: str) -> str:
    """A bucket's label on the site's clock; an hour that the clock shows twice also says its offset."""
    if not isinstance(value, dt.datetime):
        return value.isoformat()
    local = value.astimezone(ZoneInfo(zone))
    text = local.strftime("%Y-%m-%d %H:%M:%S")
    if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset():
        text += local.strftime("%z")
    return text


def labels(dimension: str, range_: Range) -> list[str]:
    """Every bucket of the range, in order, with or without data."""
    bucket = bucket_of(dimension, range_)
    if bucket in ("minute", "hour"):
        return _instant_labels(bucket, range_)
    days = [range_.first_day + dt.timedelta(days=n) for n in range(range_.days)]
    if bucket == "week":
        days = [day for day in days if day == range_.first_day or day.weekday() == 0]
    elif bucket == "month":
        days = sorted({day.replace(day=1) for day in days})
    return [day.isoformat() for day in days]


def _instant_labels(bucket: str, range_: Range) -> list[str]:
    step = dt.timedelta(minutes=1) if bucket == "minute" else dt.timedelta(hours=1)
    if bucket == "minute" and (range_.end - range_.start) / step > MAX_MINUTE_BUCKETS + 60:
        raise QueryError("$.dimensions", "time:minute answers at most one day")
    zone, instant, found = ZoneInfo(range_.zone), range_.start, []
    offset = instant.astimezone(zone).utcoffset() or dt.timedelta()
    instant -= ((instant + offset) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) % step
    while instant < range_.end:
        found.append(label(bucket, instant, range_.zone))
        instant += step
    return found


def previous(range_: Range, how: str | tuple[str, str]) -> Range:
    """The range to compare with: the one just before, the same days a year earlier, or one that is named."""
    if not isinstance(how, str):
        return _pair(how[0], how[1], range_.zone)
    first, last = range_.first_day, range_.last_day
    if how == "year_over_year":
        return of_days(_year_before(first), _year_before(last), range_.zone)
    if range_.end - range_.start < dt.timedelta(hours=23):
        return Range(range_.start - (range_.end - range_.start), range_.start, range_.zone)
    return of_days(first - dt.timedelta(days=range_.days), first - dt.timedelta(days=1), range_.zone)


def _year_before(day: dt.date) -> dt.date:
    return day.replace(year=day.year - 1, day=28 if (day.month, day.day) == (2, 29) else day.day)
