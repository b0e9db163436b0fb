"""Counts the cells of a busy site: day by day, midnight by midnight, week by week, beside the loader.

A build is written under a number of its own and becomes visible by its line in `cell_builds`; the one before it stays
for 25 minutes, for those who are reading it. What went in - the look of the raw rows - is noted before
anything is read, so that rows which arrive meanwhile make the build out of date instead of wrong.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import time
from collections.abc import Callable, Iterator
from string import Template
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from analytics.reports import cellplan, expressions
from analytics.reports.conditions import Builder, Fields, Parameters
from analytics.reports.holdings import (
    SETTLED,
    Build,
    Raw,
    day_span,
    midnight_span,
    read_builds,
    read_raw,
    week_state,
)
from analytics.reports.planner import sql_text
from analytics.reports.visitbuild import write_crossed, write_lines, write_pages
from analytics.store import Store, StoreError

GAP = dt.timedelta(minutes=30)
SLICE_ROWS = 300_000  # a slice of visitors is sorted into visits in memory
PATIENCE = 120.0  # seconds between two builds of one day
READERS = dt.timedelta(minutes=25)  # longer than a question waits for its turn and is counted
UNREST = dt.timedelta(minutes=2)  # a week whose days were counted since is put together in the next round
INTERRUPTED = dt.timedelta(hours=1)  # longer than one build takes
LIMITS = {"max_threads": 1, "max_memory_usage": 450_000_000, "max_bytes_before_external_group_by": 150_000_000}
MOST_PAGES = 50_000  # of a day; with more, most have few visitors, and their cells would fill the memory of readers
OUT_OF_MEMORY = 241  # of the engine's codes
TABLES = ("cells", "visits", "visit_pages", "cross_cells")
Now = Callable[[], dt.datetime]
log = logging.getLogger("analytics")
Turn = Callable[[], contextlib.AbstractContextManager[None]]


class Due(msgspec.Struct, frozen=True):
    """A day, or the midnight before it, whose cells are to be counted; how the raw rows look now."""

    level: str
    day: dt.date
    state: str
    edges: str


def count_cells(
    store: Store, site: str, zone: str, now: Now, seconds: float = 10.0, turn: Turn = contextlib.nullcontext
) -> list[Due]:
    """Count what is out of date, the newest first, for about `seconds`, each in a `turn`; what was counted."""
    started = time.monotonic()
    raw, builds = read_raw(store), read_builds(store, site, zone)
    done: list[Due] = []
    for due in overdue(store, site, zone, raw, builds, now()):
        if done and time.monotonic() - started > seconds:
            return done
        with turn():
            _count(store, site, zone, due, now)
        done.append(due)
    builds = read_builds(store, site, zone)
    with turn():
        _count_weeks(store, site, zone, builds, now)
    _forget(store, site, zone, raw, now())
    return done


def overdue(
    store: Store, site: str, zone: str, raw: Raw, builds: dict[tuple[str, dt.date], Build], now: dt.datetime
) -> list[Due]:
    """Days and midnights whose builds do not say what the raw rows say; today first."""
    today = now.astimezone(ZoneInfo(zone)).date()
    days = list(_days(raw, zone, today))
    edges = _edges(store, site, zone, sorted({*days, *(day + dt.timedelta(days=1) for day in days)}))
    found = []
    for day in sorted(days, reverse=True):
        after = edges[day + dt.timedelta(days=1)]
        for level, span in (("day", day_span(day, zone)), ("midnight", midnight_span(day, zone))):
            due = Due(level, day, raw.state(*span), f"{edges[day]},{after}")
            if due.state and not _counted(builds.get((level, day)), due, span[1], now):
                found.append(due)
    return found


def _counted(build: Build | None, due: Due, end: dt.datetime, now: dt.datetime) -> bool:
    if build is None:
        return False
    if (now - build.built).total_seconds() < PATIENCE:
        return True
    settled = build.built >= end + SETTLED or now < end
    return settled and (build.state, build.edges) == (due.state, due.edges)


def _days(raw: Raw, zone: str, today: dt.date) -> Iterator[dt.date]:
    """Every day on the site's clock that the partitions touch, up to today."""
    firsts = [_first_day(name) for name in raw.partitions]
    day = min(firsts, default=today) - dt.timedelta(days=1)
    while day <= today:
        if raw.of(*midnight_span(day, zone)):
            yield day
        day += dt.timedelta(days=1)


def _first_day(partition: str) -> dt.date:
    """Of a partition of a day, or of a month of imported rows."""
    return dt.datetime.strptime(partition if len(partition) == 8 else f"{partition}01", "%Y%m%d").date()


def _edges(store: Store, site: str, zone: str, days: list[dt.date]) -> dict[dt.date, int]:
    """How many rows lie within half an hour of the midnight that begins each day: they decide which visits cross it."""
    middles = {day: day_span(day, zone)[0] for day in days}
    values: dict[str, Any] = {"site": site}
    if not middles:
        return {}
    columns = []
    for number, middle in enumerate(middles.values()):
        values[f"a{number}"], values[f"z{number}"] = _instant(middle - GAP), _instant(middle + GAP)
        inside = f"time >= {{a{number}:DateTime64(3, 'UTC')}} AND time < {{z{number}:DateTime64(3, 'UTC')}}"
        columns.append(f"SELECT {number} AS n, count() FROM events WHERE site = {{site:String}} AND {inside}")
    counts = {int(n): int(count) for n, count in store.query("\nUNION ALL\n".join(columns), values)}
    return {day: counts.get(number, 0) for number, day in enumerate(middles)}


def _count(store: Store, site: str, zone: str, due: Due, now: Now) -> None:
    number = _build_number()
    start, end = day_span(due.day, zone) if due.level == "day" else midnight_span(due.day, zone)
    span = {"site": site, "from": _instant(start - GAP), "to": _instant(end + GAP)}
    ((following, held),) = store.query(
        "SELECT if(count() = 0, 1, max(number) + 1), "
        "(SELECT count() FROM events WHERE site = {site:String} AND time >= {from:DateTime64(3, 'UTC')} "
        "AND time < {to:DateTime64(3, 'UTC')}) FROM numbers WHERE site = {site:String}",
        span,
    )
    store.command(sql_text("number_visitors"), {**span, "next": int(following)}, **(LIMITS | {"max_threads": 1}))
    long = 0
    if due.level == "day":
        slices = max(1, -(-int(held) // SLICE_ROWS))
        _count_day(store, site, zone, due.day, number, slices)
    else:
        long = _count_midnight(store, site, zone, due.day, number)
    write_pages(store, number, LIMITS)
    crossed = _cross(store, number, due)
    _note(store, (site, zone, due.level, due.day, number, due.state, due.edges, long, now(), crossed))


def _cross(store: Store, build: int, due: Due) -> bool:
    """The cells of two dimensions, which a build can do without: its lines say the same, if not as quickly. A day with
    so many pages that most have to be joined from lines anyway gets none."""
    pages = "SELECT uniqExact(page) FROM visit_pages WHERE build = {build:UInt64}"
    if store.query(pages, {"build": build}, **LIMITS)[0][0] > MOST_PAGES:
        return False
    try:
        write_crossed(store, build, LIMITS, midnight=due.level == "midnight")
    except StoreError as error:
        if error.code != OUT_OF_MEMORY:
            raise
        log.warning("%s %s has no cells of two dimensions: %s", due.level, due.day, error)
        store.command(f"ALTER TABLE cross_cells DROP PARTITION {build}")
        return False
    return True


def _count_day(store: Store, site: str, zone: str, day: dt.date, build: int, slices: int) -> None:
    start, end = day_span(day, zone)
    given = {"site": site, "from": _instant(start), "to": _instant(end), "build": build, "day": day.isoformat()}
    cubes = [(name, f"toString({expressions.COLUMNS[name].sql})") for name in cellplan.ROW_CUBES]
    text = Template(sql_text("cells_rows")).substitute(
        cubes=_cubes(cubes), scope=sql_text("scope").strip(), numbers=sql_text("visitor_numbers").strip()
    )
    store.command(text, given, **LIMITS)
    given |= {"from": _instant(start - GAP), "to": _instant(end + GAP), "first": _instant(start), "past": _instant(end)}
    given |= {"cut": _instant(start), "slices": slices}
    # A visit that no midnight touches; a row without a key is one by itself.
    fits = "visit[1].1 >= {first:DateTime64(3, 'UTC')} AND visit[-1].1 < {past:DateTime64(3, 'UTC')}"
    pieces = f"if({fits}, [('inside', {{day:Date}}, visit)], [])"
    for number in range(slices):
        scope = f"{sql_text('scope').strip()}\n  AND visitor % {{slices:UInt32}} = {{slice:UInt32}}"
        _count_visits(store, {**given, "slice": number}, scope, pieces, loose=number == 0)
        lines = f"if({fits}, [('inside', {{day:Date}}, visit, visit)], [])"
        write_lines(store, {**given, "slice": number}, scope, lines, LIMITS, loose=number == 0)


def _count_midnight(store: Store, site: str, zone: str, day: dt.date, build: int) -> int:
    """The visits that lie across a midnight, whole and in two; how many reach over another one as well."""
    start, end = midnight_span(day, zone)
    cut = day_span(day, zone)[0]
    given: dict[str, Any] = {"site": site, "from": _instant(start - GAP), "to": _instant(end + GAP), "build": build}
    given |= {"cut": _instant(cut), "early": _instant(cut - GAP), "late": _instant(cut + GAP)}
    given |= {"day": day.isoformat(), "eve": (day - dt.timedelta(days=1)).isoformat()}
    given |= {"first": _instant(start), "past": _instant(end)}
    near = "SELECT visitor FROM events WHERE site = {site:String} AND visitor != 0 AND kind != 'count'"
    span = "AND time >= {%s:DateTime64(3, 'UTC')} AND time < {%s:DateTime64(3, 'UTC')}"
    scope = (
        f"{sql_text('scope').strip()}\n  AND visitor IN ({near} {span % ('early', 'cut')})"
        f"\n  AND visitor IN ({near} {span % ('cut', 'late')})"
    )
    crosses = "notEmpty(before) AND notEmpty(after)"
    whole, head, tail = "('over', {eve:Date}, visit)", "('head', {eve:Date}, before)", "('tail', {day:Date}, after)"
    pieces = f"if({crosses}, [{whole}, {head}, {tail}], [])"
    _count_visits(store, given, scope, pieces, loose=False)
    parts = [
        ("over", "eve", "visit", "visit"),
        ("head", "eve", "before", "before"),
        ("tail", "day", "after", "after"),
        ("before", "eve", "before", "visit"),
        ("after", "day", "after", "visit"),
    ]
    lines = ", ".join(f"('{part}', {{{day}:Date}}, {rows}, {whole})" for part, day, rows, whole in parts)
    write_lines(store, given, scope, f"if({crosses}, [{lines}], [])", LIMITS, loose=False)
    visits = Template(sql_text("visits_with_rows")).substitute(row=Fields().tuple_sql, scope=scope)
    outside = "rows[1].1 < {first:DateTime64(3, 'UTC')} OR rows[-1].1 >= {past:DateTime64(3, 'UTC')}"
    across = "rows[1].1 < {cut:DateTime64(3, 'UTC')} AND rows[-1].1 >= {cut:DateTime64(3, 'UTC')}"
    return int(store.query(f"SELECT count() FROM ({visits}) WHERE {across} AND ({outside})", given, **LIMITS)[0][0])


def _count_visits(store: Store, given: dict[str, Any], scope: str, pieces: str, *, loose: bool) -> None:
    builder = Builder(Parameters(), Fields(), "visits")
    cubes = [(name, f"toString({builder.visit_value(name)})") for name in cellplan.VISIT_CUBES]
    row = builder.fields.tuple_sql
    visits = Template(sql_text("visits_with_rows")).substitute(row=row, scope=scope)
    if loose:
        alone = Template(sql_text("rows_without_key")).substitute(row=row, scope=sql_text("scope").strip())
        visits = f"{visits}\nUNION ALL\n{alone}"
    text = Template(sql_text("cells_visits")).substitute(
        cubes=_cubes(cubes), pieces=pieces, visits=visits, numbers=sql_text("visitor_numbers").strip()
    )
    store.command(text, given, **LIMITS)


def _cubes(cubes: list[tuple[str, str]]) -> str:
    """The keys of one row or visit, as an array of (cube, key)."""
    return ", ".join(["[('total', '')", *(f"('{name}', {sql})" for name, sql in cubes)]) + "]"


def _count_weeks(store: Store, site: str, zone: str, builds: dict[tuple[str, dt.date], Build], now: Now) -> None:
    days = {day: build.number for (level, day), build in builds.items() if level == "day"}
    for monday in sorted({day - dt.timedelta(days=day.weekday()) for day in days}):
        span = [monday + dt.timedelta(days=n) for n in range(7)]
        if not all(day in days for day in span):
            continue
        state, held = week_state(days, monday), builds.get(("week", monday))
        newest = max(builds["day", day].built for day in span)
        if (held and held.state == state) or now() - newest < UNREST:
            continue
        number = _build_number()
        given = {"build": number, "day": monday.isoformat(), "builds": [days[day] for day in span]}
        store.command(sql_text("cells_week"), given, **LIMITS)
        _note(store, (site, zone, "week", monday, number, state, "", 0, now(), False))


def _note(store: Store, line: tuple[Any, ...]) -> None:
    site, zone, level, day, build, state, edges, long, built, crossed = line
    store.command(
        "INSERT INTO cell_builds VALUES ({site:String}, {zone:String}, {level:String}, {day:Date}, {build:UInt64}, "
        "{state:String}, {edges:String}, {long:UInt64}, {built:DateTime64(3, 'UTC')}, {crossed:Bool})",
        {
            "site": site,
            "zone": zone,
            "level": level,
            "day": day.isoformat(),
            "build": build,
            "state": state,
            "edges": edges,
            "long": long,
            "built": _instant(built),
            "crossed": crossed,
        },
    )


def forget_builds(store: Store, now: dt.datetime) -> int:
    """Take away what was counted from rows that are gone, of every site, busy or not any more, and what an interrupted
    count left behind; how many builds."""
    raw = read_raw(store)
    held = store.query("SELECT DISTINCT site, zone FROM cell_builds")
    gone = sum(_forget(store, site, zone, raw, now) for site, zone in held)
    unknown = "WHERE build NOT IN (SELECT build FROM cell_builds) AND build < {limit:UInt64}"
    sql = " UNION DISTINCT ".join(f"SELECT build FROM {table} {unknown}" for table in TABLES)
    limit = int((now - INTERRUPTED).timestamp() * 1_000_000)
    left = [int(build) for (build,) in store.query(sql, {"limit": limit})]
    for build in left:
        _drop(store, build)
    return gone + len(left)


def _drop(store: Store, build: int) -> None:
    for table in TABLES:
        store.command(f"ALTER TABLE {table} DROP PARTITION {build}")


def _forget(store: Store, site: str, zone: str, raw: Raw, now: dt.datetime) -> int:
    """Take away builds that a newer one replaced a while ago, and those of days that are past their retention."""
    newest = read_builds(store, site, zone)
    keep = {
        build.number
        for (level, day), build in newest.items()
        if raw.of(*(midnight_span(day, zone) if level == "midnight" else day_span(day, zone)))
    }
    rows = store.query(
        "SELECT build, built FROM cell_builds WHERE site = {site:String} AND zone = {zone:String}",
        {"site": site, "zone": zone},
    )
    limit = (now - READERS).replace(tzinfo=None)
    gone = [int(build) for build, built in rows if int(build) not in keep and built.replace(tzinfo=None) < limit]
    if not gone:
        return 0
    for build in gone:
        _drop(store, build)
    store.command(
        "ALTER TABLE cell_builds DELETE WHERE build IN {builds:Array(UInt64)}", {"builds": gone}, mutations_sync=2
    )
    return len(gone)


def forget_numbers(store: Store) -> None:
    """Take away the numbers of visitors of whom no row is left."""
    without = "visitor NOT IN (SELECT visitor FROM events)"
    if store.query(f"SELECT count() FROM numbers WHERE {without}")[0][0]:
        store.command(f"ALTER TABLE numbers {store.on_cluster} DELETE WHERE {without}", mutations_sync=2)


_last = 0


def _build_number() -> int:
    """Rising, and never the same twice in this process, which is the only one that builds."""
    global _last
    _last = max(_last + 1, time.time_ns() // 1000)
    return _last


def _instant(value: dt.datetime) -> str:
    value = value.astimezone(dt.UTC)
    return value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03}"
