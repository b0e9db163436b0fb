-- All rows of one visitor, oldest first. Parameters: site String, visitor UInt64.
SELECT
    time, kind, name, host, path, query, referrer_host, source, channel, utm_source, utm_medium, utm_campaign, utm_term,
    utm_content, method, status, bytes, duration_ms, protocol, language, country, region, city, browser,
    browser_version, os, os_version, device, screen, bot, engagement_ms, scroll, props, revenue, currency, basis,
    revision, loaded
FROM events
WHERE site = {site:String} AND visitor = {visitor:UInt64}
ORDER BY time
LIMIT {limit:UInt64}
