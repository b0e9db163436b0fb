-- Lines of a log -> staged rows, with the keys under which their distinct values are explained. A page is a view; what
-- else was served is a count without a visitor: its keys say so (an empty link, a NUL before the user agent), because an
-- `if` between two columns of the insert would make strings of all rows. The address ends here,
-- in a key under a salt that is destroyed after the import; its network (/24 or /48) is enough for a country. What is
-- computed from a LowCardinality column is computed once for each of its values. The innermost question is one of the parse_*.sql.
-- Parameters: staged Identifier; log String (a file); salt_a, salt_b UInt64; wanted Array(String): what a query must
-- contain to be looked at.
INSERT INTO {staged:Identifier}
WITH
    toLowCardinality(concat(if(page, '', '\0'), user_agent)) AS agent,
    substring(cutQueryString(if(startsWith(target, '/'), target, path(target))), 1, 1024) AS bare,
    method = 'GET' AND (status < 300 OR status = 304 OR status >= 400)
        AND NOT match(bare, '(?i)\\.(css|m?js|map|json|xml|txt|csv|wasm|webmanifest|png|jpe?g|gif|svg|ico|webp|avif|bmp|woff2?|ttf|otf|eot|mp[34]|webm|wav|ogg|pdf|zip|gz|docx?|xlsx?|pptx?)$')
        AS page,
    if(startsWith(address, '::ffff:'), substring(address, 8), address) AS plain
SELECT
    fromUnixTimestamp64Milli(time, 'UTC'),
    page,
    page * greatest(sipHash64Keyed(({salt_a:UInt64}, {salt_b:UInt64}), plain, sipHash64(agent)), 1),
    page * if(position(plain, ':') = 0,
        bitShiftRight(toUInt64(IPv4StringToNumOrDefault(plain)), 8),
        bitOr(bitShiftLeft(toUInt64(1), 48),
            bitShiftRight(reinterpretAsUInt64(reverse(substring(IPv6StringToNumOrDefault(plain), 1, 8))), 16))),
    substring(method, 1, 16),
    if(match(bare, '@|%40|[A-Za-z0-9_]{16}|[0-9a-fA-F-]{36}|[0-9][0-9 +.-]{11}|eyJ'),
        arrayStringConcat(arrayMap(
            part -> if(match(part, '[^@/]+(@|%40)[^@/]+\\.[A-Za-z]{2}|eyJ[A-Za-z0-9_-]{8}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-')
                or (match(part, '[A-Za-z0-9_]{16}') and match(part, '[0-9]') and match(part, '[A-Za-z]'))
                or match(part, '([0-9][ +.-]?){12,18}[0-9]'), '*', part),
            splitByChar('/', bare)), '/'),
        bare),
    if(page, concat(referrer, '\n', if(multiSearchAny(target, {wanted:Array(String)}), queryString(target), '')), ''),
    agent,
    substring(protocol, 1, 8),
    status,
    bytes,
    duration_ms,
    substring(host, 1, 255),
    if(page, extract(language, '^[a-zA-Z]{2,3}(?:-[A-Za-z]{2})?'), ''),
    reason,
    if(reason = '', '', substring(line, 1, 100))
FROM
(
${parse}
)
