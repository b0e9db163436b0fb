-- All that a visitor did, under the one key of a cube without columns.
SELECT
    visitor,
    [toUInt64(length(pageviews))] AS n2, -- metric 2
    [toUInt64(arraySum(pageviews))] AS n3, -- metric 3
    [toUInt64(arraySum(events))] AS n4, -- metric 4
    [toUInt64(arraySum(bounce))] AS n5, -- metric 5
    [cityHash64('')] AS one
FROM {visits:Identifier}
