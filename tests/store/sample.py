"""Fills a store with random visits, in the engine: a million rows in seconds."""

from __future__ import annotations

import datetime as dt
from typing import Final

from analytics.store import Store

INSERT: Final = """
INSERT INTO events (site, time, kind, name, host, path, query, referrer_host, source, channel, utm_source, utm_medium,
    utm_campaign, method, status, bytes, duration_ms, protocol, language, country, browser, browser_version, os,
    os_version, device, screen, bot, visitor, engagement_ms, scroll, basis, revision, loaded)
WITH
    cityHash64(number, {seed:UInt64}) AS r,
    intDiv(number, {rows_per_visit:UInt64}) AS visit,
    cityHash64(visit, {seed:UInt64}, 'visit') AS rv,
    1 + cityHash64(rv % {visitors:UInt64}, {seed:UInt64}, 'visitor') AS who,
    toUnixTimestamp({from:DateTime}) AS first,
    toUnixTimestamp({to:DateTime}) AS past
SELECT
    {site:String},
    fromUnixTimestamp64Milli(toInt64(least(
        toInt64(past) * 1000 - 1,
        (first + rv % (past - first)) * 1000 + (number % {rows_per_visit:UInt64}) * 40000 + r % 40000)), 'UTC'),
    if(r % 20 = 0, 'event', 'view'),
    if(r % 20 = 0, ['Outbound Link: Click', 'File Download', 'signup'][1 + r % 3], 'pageview'),
    {site:String},
    ['/', '/services', '/people', '/news', '/contact', '/join', '/events', '/training']
        [1 + toUInt32(floor(8 * pow((r % 1000) / 1000, 2)))]
        || if(r % 7 = 0, concat('/', toString(r % 200)), ''),
    '',
    ['', '', '', 'google.com', 'bing.com', 'facebook.com', 'chatgpt.com', 'example.net'][1 + rv % 8] AS ref,
    transform(ref, ['google.com', 'bing.com', 'facebook.com', 'chatgpt.com', 'example.net', ''],
        ['Google', 'Bing', 'Facebook', 'ChatGPT', 'example.net', 'Direct / None'], ''),
    transform(ref, ['google.com', 'bing.com', 'facebook.com', 'chatgpt.com', 'example.net', ''],
        ['Organic Search', 'Organic Search', 'Organic Social', 'AI Assistant', 'Referral', 'Direct'], ''),
    if(rv % 16 = 1, 'newsletter', ''), if(rv % 16 = 1, 'email', ''), if(rv % 16 = 1, 'autumn', ''),
    'GET', if(r % 50 = 0, 404, 200), 2000 + r % 50000, r % 300, '1.1',
    ['en-GB', 'en-US', 'de', 'fr'][1 + who % 4],
    ['GB', 'GB', 'GB', 'IE', 'US', 'DE', 'FR', 'IN'][1 + who % 8],
    ['Chrome', 'Chrome', 'Safari', 'Firefox', 'Edge'][1 + who % 5], '130',
    ['Windows', 'Mac OS X', 'Android', 'iOS', 'Linux'][1 + who % 5], '11',
    ['desktop', 'mobile', 'desktop', 'tablet'][1 + who % 4],
    ['', 'large', 'small'][1 + who % 3],
    if(rv % 33 = 0, 'search', ''),
    who, 0, 0, {basis:String}, 1, now()
FROM numbers({rows:UInt64})
"""


def keep_for_ever(store: Store) -> None:
    """Take the table's own retention away: rows of a fixed date must not expire while the calendar goes on."""
    table = store.local("events")
    held = store.query(
        "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        {"table": table},
    )
    if " TTL " in str(held):
        store.command(f"ALTER TABLE {table} REMOVE TTL")


def fill(
    store: Store,
    rows: int,
    *,
    first: dt.date = dt.date(2026, 11, 1),
    last: dt.date = dt.date(2026, 11, 7),
    site: str = "example.org",
    visitors: int = 0,
    rows_per_visit: int = 4,
    basis: str = "consent",
    seed: int = 1,
) -> None:
    """`rows` rows of consented visits on the days from `first` to `last`, both included; the same for the same seed.

    About one visit in 33 is a bot's, one row in 20 an event. `visitors` is how many there are to draw from; 0: a
    tenth of the rows.
    """
    keep_for_ever(store)
    day = dt.timedelta(days=1)
    store.command(
        INSERT,
        {
            "site": site,
            "rows": rows,
            "from": dt.datetime.combine(first, dt.time()),
            "to": dt.datetime.combine(last + day, dt.time()),
            "visitors": visitors or max(1, rows // 10),
            "rows_per_visit": rows_per_visit,
            "basis": basis,
            "seed": seed,
        },
        max_partitions_per_insert_block=0,
    )
