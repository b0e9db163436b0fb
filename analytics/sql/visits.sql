-- Visits of a site: a visitor's rows in the order of their time, cut after 30 minutes without activity and at the
-- edges of the range. Whatever order the rows arrived in, the answer is the same. Columns that the outer query does
-- not ask for are not read. Parameters: site String, from and to DateTime64(3).
SELECT
    visitor,
    fromUnixTimestamp64Milli(times[order[first]], 'UTC') AS start,
    fromUnixTimestamp64Milli(times[order[last]], 'UTC') AS end,
    toUInt32(intDiv(times[order[last]] - times[order[first]], 1000)) AS duration_s,
    toUInt32(arraySum(arrayMap(i -> views[i], members))) AS pageviews,
    toUInt32(arraySum(arrayMap(i -> actions[i], members))) AS events,
    toUInt8(pageviews <= 1 AND events = 0) AS bounce,
    paths[order[first]] AS entry_path,
    paths[order[last]] AS exit_path,
    sources[order[first]] AS source,
    channels[order[first]] AS channel,
    referrers[order[first]] AS referrer_host,
    utm_sources[order[first]] AS utm_source,
    utm_mediums[order[first]] AS utm_medium,
    utm_campaigns[order[first]] AS utm_campaign,
    countries[order[first]] AS country,
    languages[order[first]] AS language,
    browsers[order[first]] AS browser,
    systems[order[first]] AS os,
    devices[order[first]] AS device
FROM
(
    SELECT
        *,
        first_and_last.1 AS first,
        first_and_last.2 AS last,
        arraySlice(order, first, last - first + 1) AS members
    FROM
    (
        SELECT
            *,
            arraySort(i -> times[i], arrayEnumerate(times)) AS order,
            arrayFilter(
                i -> i = 1 OR times[order[i]] - times[order[i - 1]] > 1800000, arrayEnumerate(order)
            ) AS firsts,
            arrayZip(
                firsts, arrayPushBack(arrayMap(i -> toUInt32(i - 1), arraySlice(firsts, 2)), toUInt32(length(order)))
            ) AS spans
        FROM
        (
            SELECT
                visitor,
                groupArray(toUnixTimestamp64Milli(time)) AS times,
                groupArray(toUInt8(kind = 'view')) AS views,
                groupArray(toUInt8(kind = 'event' AND name != 'engagement')) AS actions,
                groupArray(path) AS paths,
                groupArray(source) AS sources,
                groupArray(channel) AS channels,
                groupArray(referrer_host) AS referrers,
                groupArray(utm_source) AS utm_sources,
                groupArray(utm_medium) AS utm_mediums,
                groupArray(utm_campaign) AS utm_campaigns,
                groupArray(country) AS countries,
                groupArray(language) AS languages,
                groupArray(browser) AS browsers,
                groupArray(os) AS systems,
                groupArray(device) AS devices
            FROM events
            WHERE site = {site:String} AND time >= {from:DateTime64(3)} AND time < {to:DateTime64(3)}
                AND visitor != 0 AND kind != 'count' AND bot = ''
                AND visitor NOT IN (SELECT visitor FROM restricted WHERE site = {site:String})
                AND visitor NOT IN (SELECT visitor FROM objected WHERE site = {site:String})
            GROUP BY visitor
        )
    )
    ARRAY JOIN spans AS first_and_last
)
