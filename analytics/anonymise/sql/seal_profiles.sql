-- The distinct profiles of a period: the hash of each word, and the words themselves; to be looked up by `joinGet`.
CREATE TABLE {profiles:Identifier} ENGINE = Join(ANY, LEFT, profile) AS
SELECT
    profile, words,
    arrayMap(word -> cityHash64(word), words) AS hashes,
    hashes[1] AS source, hashes[2] AS channel, hashes[3] AS campaign, hashes[4] AS country,
    hashes[5] AS language, hashes[6] AS browser, hashes[7] AS os, hashes[8] AS device
FROM (
    SELECT
        cityHash64(cityHash64(source), cityHash64(channel), cityHash64(utm_campaign), cityHash64(country),
            cityHash64(language), cityHash64(browser), cityHash64(os), cityHash64(device)) AS profile,
        [toString(any(source)), toString(any(channel)), toString(any(utm_campaign)), toString(any(country)),
            lower(splitByChar('-', toString(any(language)))[1]), toString(any(browser)), toString(any(os)),
            toString(any(device))] AS words
    FROM events
    WHERE site = {site:String}
        AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
        AND basis = 'consent' AND kind != 'count' AND bot = '' AND visitor != 0
        AND visitor NOT IN (SELECT visitor FROM restricted WHERE site = {site:String})
        AND visitor NOT IN (SELECT visitor FROM objected WHERE site = {site:String})
    GROUP BY profile
)
