-- Staged rows, joined with what their distinct values mean, into the store. Parameters: staged, agents and sources
-- Identifier; ids Array(UInt64) and until Array(Int64): rows of erased visitors up to a time in ms.
INSERT INTO events
SELECT
    s.site,
    fromUnixTimestamp64Milli(s.time, 'UTC'),
    s.kind,
    s.name,
    s.host,
    s.path,
    s.query,
    s.referrer,
    o.source,
    o.channel,
    o.utm_source,
    o.utm_medium,
    decodeURLFormComponent(extractURLParameter(s.q, 'utm_campaign')),
    decodeURLFormComponent(extractURLParameter(s.q, 'utm_term')),
    decodeURLFormComponent(extractURLParameter(s.q, 'utm_content')),
    s.method,
    s.status,
    s.bytes,
    s.duration_ms,
    s.protocol,
    s.language,
    s.country,
    s.region,
    s.city,
    a.browser,
    a.browser_version,
    a.os,
    a.os_version,
    a.device,
    s.screen,
    multiIf(s.kind != 'count', a.bot, s.automated = 1, 'unknown', ''),
    s.visitor,
    s.engagement_ms,
    s.scroll,
    s.props,
    s.revenue,
    s.currency,
    s.basis,
    s.revision,
    now()
FROM
(
    SELECT *, if(query = '', '', concat('?', query)) AS q
    FROM {staged:Identifier}
    WHERE NOT (has({ids:Array(UInt64)}, visitor)
        AND time <= transform(visitor, {ids:Array(UInt64)}, {until:Array(Int64)}, toInt64(0)))
) AS s
ANY LEFT JOIN {agents:Identifier} AS a ON s.user_agent = a.user_agent AND s.hints = a.hints
ANY LEFT JOIN {sources:Identifier} AS o ON s.referrer = o.referrer AND s.query = o.query
