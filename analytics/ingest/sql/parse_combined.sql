-- Lines of the common or combined format -> typed columns. Cut at quotation marks: eight times as fast as a regular
-- expression. Parameters: staged Identifier, log String (a file).
INSERT INTO {staged:Identifier}
WITH
    splitByChar('"', line) AS parts,
    parts[1] AS head,
    position(head, '[') AS bracket,
    parseDateTimeOrNull(substring(head, bracket + 1, 26), '%d/%b/%Y:%H:%i:%s %z') AS parsed,
    splitByChar(' ', parts[2]) AS request,
    splitByChar(' ', parts[3]) AS numbers,
    toUInt16OrNull(numbers[2]) AS code
SELECT
    substring(head, 1, position(head, ' ') - 1),
    toInt64(toUnixTimestamp(coalesce(parsed, toDateTime(0)))) * 1000,
    request[1],
    request[2],
    substring(request[3], 6),
    coalesce(code, 0),
    toUInt64OrZero(numbers[3]),
    0,
    if(parts[4] = '-', '', parts[4]),
    if(parts[6] = '-', '', parts[6]),
    '',
    '',
    multiIf(
        line = '', 'the line is empty',
        length(parts) < 3, 'not in the common or combined format',
        isNull(parsed), 'no readable time',
        not startsWith(request[2], '/') and not match(request[2], '^(https?://|\\*$)'), 'no readable request',
        isNull(code) or code < 100 or code > 599, 'no readable status',
        '')
FROM file({log:String}, 'LineAsString', 'line String')
