-- The number of each visitor with a row in a span; a row without a key has none.
SELECT visitor, number
    FROM numbers
    WHERE site = {site:String} AND visitor IN (
        SELECT visitor FROM events
        WHERE site = {site:String} AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
            AND visitor != 0)
    UNION ALL SELECT toUInt64(0), toUInt32(0)
