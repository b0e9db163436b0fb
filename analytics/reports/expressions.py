"""The closed table from words of the query language to SQL: the only place where a dimension or metric becomes text.

Three shapes of a question: over *rows* (plain `events`), over *visits* (arrays of rows), over *attributed* rows
(the rows of the visits, each knowing its visit). A session value such as the source is that of the visit's first row;
country, device and browser are a row's own where rows are counted: they do not change within a visit.
"""

from __future__ import annotations

import msgspec

from analytics.reports.words import PROPERTY_PREFIX


class Column(msgspec.Struct, frozen=True):
    """`sql` is over a row of `events`; `of_visit` says that the visit's first row decides; `empty` is shown for ''."""

    sql: str
    of_visit: bool = False
    empty: str = "(not set)"
    edge: str = ""  # "first" or "last": the visit's first or last page view


COLUMNS: dict[str, Column] = {
    "event:name": Column("name"),
    "event:page": Column("path"),
    "event:hostname": Column("host"),
    "visit:entry_page": Column("path", of_visit=True, edge="first"),
    "visit:exit_page": Column("path", of_visit=True, edge="last"),
    "visit:entry_page_hostname": Column("host", of_visit=True, edge="first"),
    "visit:exit_page_hostname": Column("host", of_visit=True, edge="last"),
    "visit:source": Column("if(source = 'Direct / None', '', source)", of_visit=True, empty="Direct / None"),
    "visit:referrer": Column("referrer_host", of_visit=True, empty="Direct / None"),
    "visit:channel": Column("if(channel = 'Direct', '', channel)", of_visit=True, empty="Direct"),
    "visit:utm_medium": Column("utm_medium", of_visit=True),
    "visit:utm_source": Column("utm_source", of_visit=True),
    "visit:utm_campaign": Column("utm_campaign", of_visit=True),
    "visit:utm_content": Column("utm_content", of_visit=True),
    "visit:utm_term": Column("utm_term", of_visit=True),
    "visit:screen": Column("device"),
    "visit:device": Column("device"),
    "visit:browser": Column("browser"),
    "visit:browser_version": Column("browser_version"),
    "visit:os": Column("os"),
    "visit:os_version": Column("os_version"),
    "visit:country": Column("country"),
    "visit:country_name": Column("country"),
    "visit:region": Column("region"),
    "visit:region_name": Column("region"),
    "visit:city": Column("city"),
    "visit:city_name": Column("city"),
}
PROPERTY = Column("props[{%s:String}]", empty="(none)")

# Over an instant called `time`; {zone} and {first} are query parameters.
TIME = {
    "minute": "toUnixTimestamp(toStartOfMinute(toTimeZone($time, {zone:String})))",
    "hour": "toUnixTimestamp(toStartOfHour(toTimeZone($time, {zone:String})))",
    "day": "toDate(toTimeZone($time, {zone:String}))",
    "week": "greatest(toMonday(toDate(toTimeZone($time, {zone:String}))), {first:Date})",
    "month": "toStartOfMonth(toDate(toTimeZone($time, {zone:String})))",
}

# Of a few buyers among many visitors it is not told what they paid; a row without a key is taken for one more buyer.
_FEW_BUYERS = (
    "uniqExactIf(visitor, isNotNull($revenue) AND visitor != 0) + countIf(isNotNull($revenue) AND visitor = 0) "
    "BETWEEN 1 AND {few:UInt32}"
)

# Over rows. `$time`, `$view` ... are filled with the row's own columns, or with fields of an array's tuple.
ROW_METRICS = {
    "visitors": "uniqExactIf(visitor, visitor != 0)",
    "pageviews": "countIf($view)",
    "events": "countIf($counts)",
    "visits": "uniqExactIf(tuple(visitor, rows[1].1), visitor != 0)",
    "total_revenue": f"if({_FEW_BUYERS}, NULL, ifNull(sumIf($revenue, isNotNull($revenue)), 0))",
    "average_revenue": f"if({_FEW_BUYERS}, NULL, ifNull(avgIf(toFloat64($revenue), isNotNull($revenue)), 0))",
}
# Per visit and page first, then over them: needs the attributed rows. An average rests on those who scrolled or stayed;
# it is not told where these are too few.
PAGE_METRICS = {
    "scroll_depth": "if(uniqExactIf(visitor, scroll > 0) BETWEEN 1 AND {few:UInt32}, NULL, avgIf(scroll, scroll > 0))",
    "time_on_page": (
        "if(uniqExactIf(visitor, engaged > 0) BETWEEN 1 AND {few:UInt32}, NULL, "
        "sum(engaged) / 1000 / nullIf(countIf(engaged > 0), 0))"
    ),
}
VISIT_METRICS = {
    "visitors": "uniqExact(visitor)",
    "visits": "count()",
    "views_per_visit": "sum(arrayCount(row -> row.2, rows)) / nullIf(count(), 0)",
    "bounce_rate": (
        "100 * avg(arrayCount(row -> row.2, rows) <= 1 AND NOT arrayExists(row -> row.3 AND NOT row.2, rows))"
    ),
    "visit_duration": "avg(dateDiff('millisecond', rows[1].1, rows[-1].1)) / 1000",
}


def column(dimension: str) -> Column:
    return PROPERTY if dimension.startswith(PROPERTY_PREFIX) else COLUMNS[dimension]
