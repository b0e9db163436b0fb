-- The consented hits of a period with the number of the visit each belongs to. A visit ends after 30 minutes of
-- inactivity and at the period's edge, so that one day's absence changes no other day.
CREATE TABLE {hits:Identifier} ENGINE = Memory AS
SELECT
    visitor,
    toUInt32(sum(starts) OVER (PARTITION BY visitor ORDER BY time, kind, path ROWS UNBOUNDED PRECEDING)) AS visit,
    time,
    path AS hit_path,
    if(kind = 'view', path, '') AS path,
    if(kind = 'event' AND name != 'engagement', name, '') AS event_name,
    toLowCardinality(concat(
        ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'][toDayOfWeek(time, 0, 'UTC')], '-',
        leftPad(toString(toHour(time, 'UTC')), 2, '0'))) AS weekday_hour,
    toUInt32(kind = 'view') AS pageviews,
    toUInt32(kind = 'event' AND name != 'engagement') AS events,
    toUInt8(0) AS bounce,
    source,
    channel,
    utm_campaign AS campaign,
    country,
    lower(splitByChar('-', language)[1]) AS language,
    browser,
    os,
    device,
    '' AS nothing
FROM (
    SELECT
        *,
        dateDiff('millisecond', lagInFrame(time, 1, toDateTime64('1970-01-01 00:00:00', 3, 'UTC'))
            OVER (PARTITION BY visitor ORDER BY time, kind, path ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
            time) > 1800000 AS starts
    FROM events
    WHERE site = {site:String}
        AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
        AND basis = 'consent' AND kind != 'count' AND bot = '' AND visitor != 0
        AND visitor NOT IN (SELECT visitor FROM restricted WHERE site = {site:String})
        AND visitor NOT IN (SELECT visitor FROM objected WHERE site = {site:String})
)
