-- Lines of Caddy's JSON access log. Parameters: staged Identifier, log String (a file).
INSERT INTO {staged:Identifier}
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
    coalesce(nullIf(r.client_ip, ''), r.remote_ip),
    toUnixTimestamp64Milli(coalesce(parsed, toDateTime64(0, 3))),
    r.method,
    r.uri,
    substring(r.proto, 6),
    f.status,
    f.size,
    toUInt32(least(f.duration * 1000, 4294967295)),
    r.headers['Referer'][1],
    r.headers['User-Agent'][1],
    r.host,
    substring(r.headers['Accept-Language'][1], 1, 64),
    multiIf(
        line = '', 'the line is empty',
        not isValidJSON(line), 'not valid JSON',
        isNull(parsed), 'no readable time',
        not startsWith(r.uri, '/') and not match(r.uri, '^(https?://|\\*$)'), 'no readable request',
        f.status < 100 or f.status > 599, 'no readable status',
        '')
FROM file({log:String}, 'LineAsString', 'line String')
