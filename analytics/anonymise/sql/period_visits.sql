-- One row per visit; what brought it (source, channel, campaign) and who came is what its first hit says.
CREATE TABLE {visits:Identifier} ENGINE = Memory AS
SELECT
    visitor,
    visit,
    argMin(source, time) AS source,
    argMin(channel, time) AS channel,
    argMin(campaign, time) AS campaign,
    argMin(country, time) AS country,
    argMin(language, time) AS language,
    argMin(browser, time) AS browser,
    argMin(os, time) AS os,
    argMin(device, time) AS device,
    argMin(hit_path, time) AS entry_path,
    argMax(hit_path, time) AS exit_path,
    toLowCardinality(['0s', '1-9s', '10-29s', '30-59s', '1-2m', '3-9m', '10-29m', '30m+'][1 + arrayCount(
        edge -> intDiv(dateDiff('millisecond', min(time), max(time)), 1000) >= edge, [1, 10, 30, 60, 180, 600, 1800])
        ]) AS visit_length,
    toUInt32(sum(h.pageviews)) AS pageviews,
    toUInt32(sum(h.events)) AS events,
    toUInt8(sum(h.pageviews) <= 1 AND sum(h.events) = 0) AS bounce,
    '' AS nothing
FROM {hits:Identifier} AS h
GROUP BY visitor, visit
