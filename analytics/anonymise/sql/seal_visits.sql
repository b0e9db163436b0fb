-- One row per visit; who came and what brought them is what its first hit says.
CREATE TABLE {visits:Identifier} ENGINE = Memory AS
SELECT
    visitor, visit, entry_path, exit_path, pageviews, events, bounce,
    arrayMap(key -> cityHash64(key), {lengths:Array(String)})[1 + arrayCount(edge -> seconds >= edge, {edges:Array(UInt32)})]
        AS visit_length,
    source, channel, campaign, country, language, browser, os, device, cityHash64('') AS nothing
FROM (
    SELECT
        visitor,
        visit,
        argMin(place, time) AS entry_path,
        argMax(place, time) AS exit_path,
        argMin(hit.profile, time) AS profile,
        intDiv(max(time) - min(time), 1000) AS seconds,
        toUInt32(sum(hit.pageviews)) AS pageviews,
        toUInt32(sum(hit.events)) AS events,
        toUInt8(pageviews <= 1 AND events = 0) AS bounce
    FROM {hits:Identifier} AS hit
    GROUP BY visitor, visit
) AS visit
INNER JOIN {profiles:Identifier} AS known ON visit.profile = known.profile
