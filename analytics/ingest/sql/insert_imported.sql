-- Parsed lines, joined with what their distinct values mean, into the store. A page is a view; what else was served is
-- a count without a visitor, so that totals of requests and bytes stay whole. The address ends here, in a key under a
-- salt that is destroyed after the import. Parameters: staged, agents, sources, countries Identifier; site, basis
-- String; salt_a, salt_b UInt64; static Array(String).
INSERT INTO events (site, time, kind, name, host, path, query, referrer_host, source, channel, utm_source, utm_medium,
    utm_campaign, utm_term, utm_content, method, status, bytes, duration_ms, protocol, language, country, browser,
    browser_version, os, os_version, device, bot, visitor, basis, loaded)
SELECT
    {site:String},
    fromUnixTimestamp64Milli(s.time, 'UTC'),
    if(page, 'view', 'count'),
    if(page, 'pageview', 'request'),
    substring(s.host, 1, 255),
    if(match(bare, '@|%40|[A-Za-z0-9_]{16}|[0-9a-fA-F-]{36}|[0-9][0-9 +.-]{11}|eyJ'),
        arrayStringConcat(arrayMap(
            part -> if(match(part, '[^@/]+(@|%40)[^@/]+\\.[A-Za-z]{2}|eyJ[A-Za-z0-9_-]{8}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-')
                or (match(part, '[A-Za-z0-9_]{16}') and match(part, '[0-9]') and match(part, '[A-Za-z]'))
                or match(part, '([0-9][ +.-]?){12,18}[0-9]'), '*', part),
            splitByChar('/', bare)), '/'),
        bare) AS path,
    if(page, o.kept, ''),
    if(page, o.host, ''),
    if(page, o.source, ''),
    if(page, o.channel, ''),
    if(page, o.utm_source, ''),
    if(page, o.utm_medium, ''),
    if(page, o.utm_campaign, ''),
    if(page, o.utm_term, ''),
    if(page, o.utm_content, ''),
    substring(s.method, 1, 16),
    s.status,
    s.bytes,
    s.duration_ms,
    substring(s.protocol, 1, 8),
    if(page, extract(s.language, '^[a-zA-Z]{2,3}(?:-[A-Za-z]{2})?'), ''),
    if(page, c.country, ''),
    if(page, a.browser, ''),
    if(page, a.browser_version, ''),
    if(page, a.os, ''),
    if(page, a.os_version, ''),
    if(page, a.device, ''),
    a.bot,
    if(page, greatest(sipHash64Keyed(({salt_a:UInt64}, {salt_b:UInt64}), s.address, s.user_agent), 1), 0),
    {basis:String},
    now()
FROM
(
    SELECT
        *,
        tagged,
        substring(cutQueryString(if(startsWith(target, '/'), target, path(target))), 1, 1024) AS bare,
        method = 'GET' AND (status < 300 OR status = 304 OR status >= 400)
            AND NOT has({static:Array(String)}, lower(extract(bare, '\\.([A-Za-z0-9]{1,11})$'))) AS page
    FROM {staged:Identifier}
    WHERE reason = ''
) AS s
ANY LEFT JOIN {agents:Identifier} AS a ON s.user_agent = a.user_agent
ANY LEFT JOIN {sources:Identifier} AS o ON s.referrer = o.referrer AND s.tagged = o.query
ANY LEFT JOIN {countries:Identifier} AS c ON s.address = c.address
