"""What is held, at this moment: a fingerprint of the raw rows, and the cells that were counted from them.

A day's cells may be read when the raw rows of that day look as they did when they were counted, or when they were
counted less than `LAG_SECONDS` ago: that is how far behind an answer from cells may be, for rows that came in and for
rows that were erased. Fingerprints come from the engine's list of parts, which costs a few milliseconds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import msgspec

from analytics.reports.daterange import Range, midnight
from analytics.store import StoreError

LAG_SECONDS = 300.0
# Below this many rows in a range the raw rows answer as fast, and are always up to date.
RAW_ROWS = 2_000_000
# A day is settled when no visit of it can go on any more: half an hour after its end, and a while for the loader.
SETTLED = dt.timedelta(minutes=40)
# The engine's codes for a column and a table that are not there.
UNKNOWN = (47, 60)
Print = tuple[int, int, int]


class Engine(Protocol):
    """What is needed of the store."""

    def query(self, sql: str, params: Mapping[str, Any] | None = None, **settings: Any) -> list[tuple[Any, ...]]: ...


class Cover(msgspec.Struct, frozen=True):
    """The builds that hold a range. `whole` may stand in for `days` where no time bucket is asked for."""

    first: dt.date
    last: dt.date
    days: tuple[int, ...]
    whole: tuple[int, ...]
    midnights: tuple[int, ...]
    visits: bool  # whether every visit of the range is in a cell
    crossed: bool = False  # whether each build has its cells of two dimensions


class Build(msgspec.Struct, frozen=True):
    """One counted day (of either kind), midnight or week."""

    level: str
    day: dt.date
    number: int
    state: str
    edges: str
    long: int
    built: dt.datetime
    crossed: bool = False


class Raw:
    """The parts of the raw rows at one moment."""

    def __init__(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self.partitions: dict[str, Print] = {}
        switches = []
        for table, partition, held, block, version in sorted(rows):
            if table == "events":
                self.partitions[str(partition)] = (int(held), int(block), int(version))
            else:
                switches.append((str(table), int(held), int(block), int(version)))
        self.switches = tuple(switches)

    @property
    def fingerprint(self) -> str:
        """Of all rows and all switches together."""
        return msgspec.json.encode([sorted(self.partitions.items()), self.switches]).decode()

    @property
    def total(self) -> int:
        """How many rows there are, of whatever site."""
        return sum(held for held, _, _ in self.partitions.values())

    def of(self, start: dt.datetime, end: dt.datetime) -> list[tuple[str, Print]]:
        """The partitions that may hold rows of a span: by day, and imported ones by month."""
        day, last = start.astimezone(dt.UTC).date(), (end - dt.timedelta(milliseconds=1)).astimezone(dt.UTC).date()
        names: dict[str, None] = {}
        while day <= last:
            names[day.strftime("%Y%m%d")] = names[day.strftime("%Y%m")] = None
            day += dt.timedelta(days=1)
        return [(name, self.partitions[name]) for name in names if name in self.partitions]

    def state(self, start: dt.datetime, end: dt.datetime) -> str:
        """A text that changes when a row of the span comes or goes; "" when there is none."""
        found = self.of(start, end)
        return msgspec.json.encode([found, self.switches]).decode() if found else ""

    def rows(self, start: dt.datetime, end: dt.datetime) -> int:
        """How many rows lie in the partitions of a span, of whatever site."""
        return sum(held for _, (held, _, _) in self.of(start, end))


def day_span(day: dt.date, zone: str) -> tuple[dt.datetime, dt.datetime]:
    """Both ends of a day on a site's clock, in UTC."""
    clock = ZoneInfo(zone)
    return midnight(day, clock), midnight(day + dt.timedelta(days=1), clock)


def midnight_span(day: dt.date, zone: str) -> tuple[dt.datetime, dt.datetime]:
    """The two days around the midnight with which `day` begins."""
    return day_span(day - dt.timedelta(days=1), zone)[0], day_span(day, zone)[1]


def read_raw(engine: Engine) -> Raw:
    from analytics.reports.planner import sql_text

    return Raw(engine.query(sql_text("state")))


def read_builds(engine: Engine, site: str, zone: str) -> dict[tuple[str, dt.date], Build]:
    """The newest build of each day, midnight and week. None in a store that an older version made and nobody has opened
    for writing since: its rows answer."""
    sql = (
        "SELECT level, day, build, state, edges, long, toUnixTimestamp64Milli(built), crossed FROM cell_builds "
        "WHERE site = {site:String} AND zone = {zone:String} ORDER BY build"
    )
    try:
        rows = engine.query(sql, {"site": site, "zone": zone})
    except StoreError as error:
        if error.code not in UNKNOWN:
            raise
        return {}
    found = {}
    for level, day, number, state, edges, long, built, crossed in rows:
        at = dt.datetime.fromtimestamp(built / 1000, dt.UTC)
        found[str(level), day] = Build(str(level), day, int(number), state, edges, int(long), at, bool(crossed))
    return found


def current(build: Build | None, state: str, end: dt.datetime, now: dt.datetime) -> bool:
    """Whether a build says what the raw rows say, or said so a moment ago."""
    if build is None:
        return False
    settled = build.built >= end + SETTLED or now < end
    return (build.state == state and settled) or (now - build.built).total_seconds() <= LAG_SECONDS


def whole_days(range_: Range) -> bool:
    """Whether a range begins and ends at midnight on its clock."""
    return (range_.start, range_.end) == (
        day_span(range_.first_day, range_.zone)[0],
        day_span(range_.last_day, range_.zone)[1],
    )


def cover(
    raw: Raw, builds: Mapping[tuple[str, dt.date], Build], range_: Range, now: dt.datetime, least: int = RAW_ROWS
) -> Cover | None:
    """The builds that answer for a range; None when some are missing or out of date, or the raw rows are few."""
    if not whole_days(range_) or raw.rows(range_.start, range_.end) < least:
        return None
    zone, today = range_.zone, now.astimezone(ZoneInfo(range_.zone)).date()
    last = min(range_.last_day, today)
    days: dict[dt.date, int] = {}
    crossed = True
    for day in _days(range_.first_day, last):
        start, end = day_span(day, zone)
        state = raw.state(start, end)
        build = builds.get(("day", day))
        if build is not None and current(build, state, end, now):
            days[day] = build.number
            crossed = crossed and build.crossed
        elif state:
            return None
    midnights, all_visits = [], True
    for day in _days(range_.first_day, min(range_.last_day + dt.timedelta(days=1), today)):
        start, end = midnight_span(day, zone)
        state = raw.state(start, end)
        build = builds.get(("midnight", day))
        if build is not None and current(build, state, end, now):
            midnights.append(build.number)
            crossed = crossed and build.crossed
            all_visits = all_visits and not build.long
        elif state:
            all_visits = False
    return Cover(
        first=range_.first_day,
        last=range_.last_day,
        days=tuple(days.values()),
        whole=_with_weeks(days, builds),
        midnights=tuple(midnights),
        visits=all_visits,
        crossed=crossed,
    )


def week_state(days: Mapping[dt.date, int], monday: dt.date) -> str:
    """What a week's cells were made of: its days' builds."""
    return ",".join(str(days.get(monday + dt.timedelta(days=n), "")) for n in range(7))


def _with_weeks(days: Mapping[dt.date, int], builds: Mapping[tuple[str, dt.date], Build]) -> tuple[int, ...]:
    """As few builds as will do: whole weeks where their days are unchanged, days for the rest."""
    left = dict(days)
    weeks = []
    for (level, monday), build in builds.items():
        span = [monday + dt.timedelta(days=n) for n in range(7)]
        if level == "week" and all(day in days for day in span) and build.state == week_state(days, monday):
            weeks.append(build.number)
            for day in span:
                left.pop(day, None)
    return (*weeks, *left.values())


def _days(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
