-- The visits of the hits, one row per visitor; who came and what brought them is what a visit's first hit says.
CREATE TABLE {visits:Identifier} ENGINE = Memory AS
SELECT
    visitor, visit, entry_path, exit_path, pageviews, events,
    arrayMap((viewed, happened) -> toUInt8(viewed <= 1 AND happened = 0), pageviews, events) AS bounce,
    arrayMap(seconds -> transform(
        arrayCount(edge -> seconds >= edge, {edges:Array(UInt32)}), range(length({lengths:Array(String)})),
        arrayMap(key -> cityHash64(key), {lengths:Array(String)}), toUInt64(0)), lasted) AS visit_length,
    arrayMap(profile -> joinGet({profiles:String}, 'source', profile), profiles) AS source,
    arrayMap(profile -> joinGet({profiles:String}, 'channel', profile), profiles) AS channel,
    arrayMap(profile -> joinGet({profiles:String}, 'campaign', profile), profiles) AS campaign,
    arrayMap(profile -> joinGet({profiles:String}, 'country', profile), profiles) AS country,
    arrayMap(profile -> joinGet({profiles:String}, 'language', profile), profiles) AS language,
    arrayMap(profile -> joinGet({profiles:String}, 'browser', profile), profiles) AS browser,
    arrayMap(profile -> joinGet({profiles:String}, 'os', profile), profiles) AS os,
    arrayMap(profile -> joinGet({profiles:String}, 'device', profile), profiles) AS device
FROM (
    SELECT
        visitor,
        arrayMap((now, next) -> now != next, hit.visit, arrayShiftLeft(hit.visit, 1, toUInt64(0))) AS ends,
        arrayShiftRight(ends, 1, toUInt8(1)) AS starts,
        arrayFilter((value, here) -> here, hit.visit, ends) AS visit,
        arrayFilter((value, here) -> here, place, starts) AS entry_path,
        arrayFilter((value, here) -> here, place, ends) AS exit_path,
        arrayFilter((value, here) -> here, profile, starts) AS profiles,
        arrayMap((last, first) -> intDiv(last - first, 1000),
            arrayFilter((value, here) -> here, time, ends), arrayFilter((value, here) -> here, time, starts)) AS lasted,
        arrayPopFront(arrayDifference(arrayPushFront(
            arrayFilter((value, here) -> here, arrayCumSum(hit.pageviews), ends), 0))) AS pageviews,
        arrayPopFront(arrayDifference(arrayPushFront(
            arrayFilter((value, here) -> here, arrayCumSum(hit.events), ends), 0))) AS events
    FROM {hits:Identifier} AS hit
)
