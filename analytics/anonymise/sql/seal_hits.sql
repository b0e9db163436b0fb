-- The consented hits of a period (of one bucket of its visitors) with the visit that each belongs to. A visit ends after
-- 30 minutes of inactivity and at the period's edge, so that one day's absence changes no other day.
-- Words are kept as 64-bit hashes, which makes everything after this several times faster; `profile` stands for what
-- does not change within a visit.
CREATE TABLE {hits:Identifier} ENGINE = Memory AS
SELECT visitor, visit, time, pageviews, events, path, place, event, hour, profile, cityHash64('') AS nothing
FROM (
    SELECT
        visitor,
        arrayCumSum(arrayMap((now, before) -> now - before > 1800000,
            found.1, arrayPushFront(arrayPopBack(found.1), toInt64(0)))) AS visit,
        found.1 AS time, found.2 AS pageviews, found.3 AS events, found.4 AS path, found.5 AS place, found.6 AS event,
        found.7 AS hour, found.8 AS profile
    FROM (
        SELECT
            visitor,
            arraySort(groupArray((
                toUnixTimestamp64Milli(time),
                toUInt8(kind = 'view'),
                toUInt8(kind = 'event' AND name != 'engagement'),
                cityHash64(if(kind = 'view', path, '')),
                cityHash64(path),
                cityHash64(if(kind = 'event' AND name != 'engagement', name, '')),
                arrayMap(key -> cityHash64(key), {hours:Array(String)})
                    [(toDayOfWeek(time, 0, 'UTC') - 1) * 24 + toHour(time, 'UTC') + 1],
                cityHash64(source, channel, utm_campaign, country, language, browser, os, device)
            ))) AS found
        FROM events
        WHERE site = {site:String}
            AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
            AND visitor % {buckets:UInt32} = {bucket:UInt32}
            AND basis = 'consent' AND kind != 'count' AND bot = '' AND visitor != 0
            AND visitor NOT IN (SELECT visitor FROM restricted WHERE site = {site:String})
            AND visitor NOT IN (SELECT visitor FROM objected WHERE site = {site:String})
        GROUP BY visitor
    )
)
ARRAY JOIN visit, time, pageviews, events, path, place, event, hour, profile
