-- Lines of Caddy's JSON access log. Parameter: log String (a file).
WITH
    JSONExtract(line, 'Tuple(ts String, status UInt16, size UInt64, duration Float64, request Tuple(remote_ip String,
        client_ip String, proto String, method String, host String, uri String, headers Map(String, Array(String))))'
    ) AS f,
    f.request AS r,
    coalesce(
        if(toFloat64OrZero(f.ts) > 0, fromUnixTimestamp64Milli(toInt64(toFloat64OrZero(f.ts) * 1000)), NULL),
        parseDateTime64BestEffortOrNull(f.ts, 3, 'UTC')
    ) AS parsed
SELECT
    coalesce(nullIf(r.client_ip, ''), r.remote_ip) AS address,
    toUnixTimestamp64Milli(coalesce(parsed, toDateTime64(0, 3))) AS time,
    toLowCardinality(r.method) AS method,
    toLowCardinality(r.uri) AS target,
    toLowCardinality(substring(r.proto, 6)) AS protocol,
    f.status AS status,
    f.size AS bytes,
    toUInt32(least(f.duration * 1000, 4294967295)) AS duration_ms,
    r.headers['Referer'][1] AS referrer,
    r.headers['User-Agent'][1] AS user_agent,
    r.host AS host,
    substring(r.headers['Accept-Language'][1], 1, 64) AS language,
    multiIf(
        line = '', 'the line is empty',
        not isValidJSON(line), 'not valid JSON',
        isNull(parsed), 'no readable time',
        not match(r.uri, '^(/|https?://|\\*$)'), 'no readable request',
        f.status < 100 or f.status > 599, 'no readable status',
        '') AS reason,
    line
FROM file({log:String}, 'LineAsString', 'line String')
