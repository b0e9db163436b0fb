-- Give a number to every visitor of a span who has none yet.
INSERT INTO numbers
SELECT {site:String}, visitor, toUInt32({next:UInt64} + rowNumberInAllBlocks())
FROM
(
    SELECT DISTINCT visitor
    FROM events
    WHERE site = {site:String} AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
        AND visitor != 0
        AND visitor NOT IN (SELECT visitor FROM numbers WHERE site = {site:String})
)
