-- What the hashes stand for.
SELECT DISTINCT cityHash64(word) AS id, word
FROM (
    SELECT DISTINCT toString(path) AS word
    FROM events
    WHERE site = {site:String}
        AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
        AND basis = 'consent' AND kind != 'count' AND bot = '' AND visitor != 0
        AND visitor NOT IN (SELECT visitor FROM restricted WHERE site = {site:String})
        AND visitor NOT IN (SELECT visitor FROM objected WHERE site = {site:String})
    UNION ALL
    SELECT DISTINCT toString(name) AS word
    FROM events
    WHERE site = {site:String}
        AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
        AND basis = 'consent' AND kind = 'event' AND bot = '' AND visitor != 0
        AND visitor NOT IN (SELECT visitor FROM restricted WHERE site = {site:String})
        AND visitor NOT IN (SELECT visitor FROM objected WHERE site = {site:String})
    UNION ALL
    SELECT DISTINCT arrayJoin(words) AS word
    FROM {profiles:Identifier}
    UNION ALL
    SELECT arrayJoin({words:Array(String)}) AS word
)
