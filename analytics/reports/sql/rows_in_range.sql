-- How many rows a question about a range reads at most, from the index alone.
EXPLAIN ESTIMATE SELECT visitor FROM events
WHERE site = {site:String} AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
