-- Staged lines of a log, with what their distinct values mean, into the store. Counts of what is no page have their place
-- here so that totals of requests and bytes stay whole. The dictionaries are asked once for each distinct value, because
-- their keys are LowCardinality. Parameters: staged Identifier; agents, sources, countries String (dictionaries); site,
-- basis String.
INSERT INTO events (site, time, kind, name, host, path, query, referrer_host, source, channel, utm_source, utm_medium,
    utm_campaign, utm_term, utm_content, method, status, bytes, duration_ms, protocol, language, country, browser,
    browser_version, os, os_version, device, bot, visitor, basis, loaded)
SELECT
    {site:String},
    time,
    if(page, 1, 3),
    if(page, 'pageview', 'request'),
    host,
    path,
    dictGet({sources:String}, 'kept', link),
    dictGet({sources:String}, 'host', link),
    dictGet({sources:String}, 'source', link),
    dictGet({sources:String}, 'channel', link),
    dictGet({sources:String}, 'utm_source', link),
    dictGet({sources:String}, 'utm_medium', link),
    dictGet({sources:String}, 'utm_campaign', link),
    dictGet({sources:String}, 'utm_term', link),
    dictGet({sources:String}, 'utm_content', link),
    method,
    status,
    bytes,
    duration_ms,
    protocol,
    language,
    dictGet({countries:String}, 'country', network),
    dictGet({agents:String}, 'browser', agent),
    dictGet({agents:String}, 'browser_version', agent),
    dictGet({agents:String}, 'os', agent),
    dictGet({agents:String}, 'os_version', agent),
    dictGet({agents:String}, 'device', agent),
    dictGet({agents:String}, 'bot', agent),
    visitor,
    {basis:String},
    now()
FROM {staged:Identifier}
WHERE reason = ''
