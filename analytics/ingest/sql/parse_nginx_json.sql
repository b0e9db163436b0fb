-- Lines of JSON as nginx's log_format is commonly written, under the names of nginx's own variables.
-- Parameter: log String (a file).
WITH
    JSONExtract(line, 'Tuple(remote_addr String, client_ip String, realip_remote_addr String, time_iso8601 String,
        time_local String, timestamp String, time String, msec String, request String, request_method String,
        method String, request_uri String, uri String, server_protocol String, status String, body_bytes_sent String,
        bytes_sent String, request_time String, http_referer String, http_referrer String, http_user_agent String,
        http_accept_language String, host String, http_host String)') AS f,
    coalesce(nullIf(f.time_iso8601, ''), nullIf(f.timestamp, ''), nullIf(f.time, '')) AS iso,
    coalesce(
        parseDateTime64BestEffortOrNull(assumeNotNull(iso), 3, 'UTC'),
        toDateTime64(parseDateTimeOrNull(coalesce(nullIf(f.time_local, ''), assumeNotNull(iso)),
            '%d/%b/%Y:%H:%i:%s %z'), 3),
        if(toFloat64OrZero(f.msec) > 0, fromUnixTimestamp64Milli(toInt64(toFloat64OrZero(f.msec) * 1000)), NULL)
    ) AS parsed,
    splitByChar(' ', f.request) AS request,
    toUInt16OrNull(f.status) AS code,
    coalesce(nullIf(f.request_uri, ''), nullIf(request[2], ''), f.uri) AS wanted_target
SELECT
    coalesce(nullIf(f.remote_addr, ''), nullIf(f.client_ip, ''), f.realip_remote_addr) AS address,
    toUnixTimestamp64Milli(coalesce(parsed, toDateTime64(0, 3))) AS time,
    toLowCardinality(coalesce(nullIf(f.request_method, ''), nullIf(f.method, ''), request[1])) AS method,
    toLowCardinality(wanted_target) AS target,
    toLowCardinality(substring(coalesce(nullIf(f.server_protocol, ''), request[3]), 6)) AS protocol,
    coalesce(code, 0) AS status,
    toUInt64OrZero(coalesce(nullIf(f.body_bytes_sent, ''), f.bytes_sent)) AS bytes,
    toUInt32(toFloat64OrZero(f.request_time) * 1000) AS duration_ms,
    if(f.http_referer = '-', '', coalesce(nullIf(f.http_referer, ''), f.http_referrer)) AS referrer,
    if(f.http_user_agent = '-', '', f.http_user_agent) AS user_agent,
    coalesce(nullIf(f.host, ''), f.http_host) AS host,
    substring(f.http_accept_language, 1, 64) AS language,
    multiIf(
        line = '', 'the line is empty',
        not isValidJSON(line), 'not valid JSON',
        isNull(parsed), 'no readable time',
        not match(wanted_target, '^(/|https?://|\\*$)'), 'no readable request',
        isNull(code) or code < 100 or code > 599, 'no readable status',
        '') AS reason,
    line
FROM file({log:String}, 'LineAsString', 'line String')
