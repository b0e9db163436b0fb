"""Made-up traffic of a known shape, written by the engine: for benchmarks and audits of releases."""

from __future__ import annotations

import datetime as dt
from typing import Any

# Per visitor: a visit, sometimes more; per visit a geometric number of page views, one visitor in a hundred a heavy
# one; paths by Zipf's law. Everything follows from hashes of (seed, visitor, number), so a seed names one data set.
TRAFFIC = """
INSERT INTO events (site, time, kind, name, path, source, channel, utm_campaign, country, language, browser, os, device,
    visitor, basis)
WITH
    (a, b, c) -> (cityHash64({seed:UInt64}, a, b, c) % 1000000007 + 1) / 1000000008. AS uniform,
    (u, n) -> toUInt32(floor(exp(u * log(n + 1.)))) AS zipf
SELECT
    {site:String},
    toDateTime64({day:String}, 3, 'UTC') + least(86399, toUInt32(uniform(person, visit, 1) * 80000) + step * 40),
    if(uniform(person, visit, 1000 + step) < 0.05, 'event', 'view') AS kind,
    if(kind = 'view', 'pageview', ['signup', 'download', 'outbound', 'search'][zipf(uniform(person, visit, 2), 4)]),
    concat('/page/', toString(zipf(uniform(person, visit, 100000 + step), {paths:UInt32}))),
    ['Direct / None', 'Google', 'Bing', 'LinkedIn', 'news.example', 'blog.example', 'ChatGPT', 'forum.example']
        [zipf(uniform(person, visit, 3), 8)],
    ['Direct', 'Organic Search', 'Organic Social', 'Referral', 'AI Assistant'][zipf(uniform(person, visit, 3), 5)],
    if(uniform(person, visit, 4) < 0.1, ['spring', 'autumn', 'members'][zipf(uniform(person, visit, 5), 3)], ''),
    ['GB', 'DE', 'FR', 'IE', 'US', 'ES', 'IT', 'NL', 'PL', 'SE'][zipf(uniform(person, 0, 6), 10)],
    ['en', 'de', 'fr', 'es', 'it', 'nl', 'pl'][zipf(uniform(person, 0, 7), 7)],
    ['Chrome', 'Safari', 'Firefox', 'Edge', 'Samsung Internet'][zipf(uniform(person, 0, 8), 5)],
    ['Windows', 'iOS', 'Android', 'Mac OS X', 'Linux'][zipf(uniform(person, 0, 9), 5)],
    ['desktop', 'mobile', 'tablet'][zipf(uniform(person, 0, 10), 3)],
    cityHash64('visitor', {cohort:UInt64}, person),
    'consent'
FROM (
    SELECT
        number AS person,
        arrayJoin(range(if(uniform(number, 0, 11) < 0.25, 2, 1))) AS visit,
        arrayJoin(range(least(400, 1 + toUInt32(-log(uniform(number, visit, 12))
            * {mean:Float64} * if(uniform(number, 0, 13) < 0.02, 4, 1))))) AS step
    FROM numbers({visitors:UInt64})
)
"""


def fill(
    store: Any,
    *,
    site: str = "example.org",
    day: dt.date,
    visitors: int,
    paths: int = 2000,
    pages_per_visit: float = 7.0,
    seed: int = 1,
    cohort: int = 1,
) -> int:
    """Insert one day of traffic; returns the number of page views."""
    parameters = {
        "site": site,
        "day": f"{day.isoformat()} 00:00:00.000",
        "visitors": visitors,
        "paths": paths,
        "mean": pages_per_visit,
        "seed": seed,
        "cohort": cohort,
    }
    store.command(TRAFFIC, parameters)
    ((views,),) = store.query(
        "SELECT count() FROM events WHERE site = {site:String} AND toDate(time) = {day:Date} AND kind = 'view'",
        {"site": site, "day": day.isoformat()},
    )
    return int(views)
