-- Keys that a hit has, where nobody asks for visits.
SELECT
    visitor,
    pageviews AS n3, -- metric 3
    events AS n4, -- metric 4
    {second:Identifier} AS two, -- pair
    {first:Identifier} AS one
FROM {hits:Identifier}
