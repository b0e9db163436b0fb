-- The consented hits of a period (of one bucket of its visitors), one row per visitor, its arrays in the order of time.
-- A visit ends after 30 minutes of inactivity and at the period's edge, so that one day's absence changes no other day.
-- Words are kept as 64-bit hashes, which makes everything after this several times faster; `profile` stands for what
-- does not change within a visit. One array of numbers per column: an array of tuples takes four times as long.
CREATE TABLE {hits:Identifier} ENGINE = Memory AS
SELECT
    visitor,
    arrayMap(moment -> toInt64(bitShiftRight(moment, 32)), moments) AS time,
    arrayCumSum((now, before) -> now - before > 1800000, time, arrayShiftRight(time, 1, toInt64(-1800001))) AS visit,
    arrayMap(moment -> toUInt8(bitAnd(moment, 1)), moments) AS pageviews,
    arrayMap(moment -> toUInt8(bitAnd(bitShiftRight(moment, 1), 1)), moments) AS events,
    arrayMap((page, viewed) -> if(viewed, page, cityHash64('')), place, pageviews) AS path,
    place,
    event,
    arrayMap(now -> transform(intDiv(now + {monday:Int64}, 3600000) % 168, range(168),
        arrayMap(key -> cityHash64(key), {hours:Array(String)}), toUInt64(0)), time) AS hour,
    profile
FROM (
    SELECT
        visitor,
        arraySort(unsorted) AS moments,
        arraySort((value, moment) -> moment, places, unsorted) AS place,
        arraySort((value, moment) -> moment, happened, unsorted) AS event,
        arraySort((value, moment) -> moment, profiles, unsorted) AS profile
    FROM (
        SELECT
            visitor,
            -- Milliseconds since the period began; then what orders hits of the same millisecond, whoever else came;
            -- then whether it is a page view and whether an event.
            groupArray(bitShiftLeft(toUInt64(toUnixTimestamp64Milli(time) - {start:Int64}), 32)
                + bitAnd(bitXor(place, bitXor(profile, event)), 4294967292) + happens * 2 + (kind = 'view')) AS unsorted,
            groupArray(place) AS places,
            groupArray(event) AS happened,
            groupArray(profile) AS profiles
        FROM (
            SELECT
                visitor, time, kind,
                kind = 'event' AND name != 'engagement' AS happens,
                materialize(cityHash64(path)) AS place,
                if(happens, materialize(cityHash64(name)), cityHash64('')) AS event,
                cityHash64(cityHash64(source), cityHash64(channel), cityHash64(utm_campaign), cityHash64(country),
                    cityHash64(language), cityHash64(browser), cityHash64(os), cityHash64(device)) AS profile
            FROM events
            WHERE site = {site:String}
                AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
                AND visitor % {buckets:UInt32} = {bucket:UInt32}
                AND basis = 'consent' AND kind != 'count' AND bot = '' AND visitor != 0
                AND visitor NOT IN (SELECT visitor FROM restricted WHERE site = {site:String})
                AND visitor NOT IN (SELECT visitor FROM objected WHERE site = {site:String})
        )
        GROUP BY visitor
    )
)
