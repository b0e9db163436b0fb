-- Keys that a visit has: the visits as they are.
SELECT
    visitor,
    arrayMap(visit -> 1, visit) AS n2, -- metric 2
    pageviews AS n3, -- metric 3
    events AS n4, -- metric 4
    bounce AS n5, -- metric 5
    {second:Identifier} AS two, -- pair
    {first:Identifier} AS one
FROM {visits:Identifier}
