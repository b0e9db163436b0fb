-- Cells of pages under each value of other dimensions, of one build, from its lines. `$table` has a line of each visit
-- or of each of its pages, and `$counted` says which of them count.
INSERT INTO cross_cells
SELECT
    {build:UInt64} AS build, day, part, '$cube' AS cube, pair.1 AS dimension, pair.2 AS value, key,
    if(kept, members, arrayReduce('groupBitmapState', emptyArrayUInt32())) AS visitors,
    bitmapCardinality(members) >= if({midnight:Bool}, 1, {least:UInt32}) AS kept,
    bitmapCardinality(members) AS size,
    sums.1 AS unkeyed, sums.2 AS pageviews, sums.3 AS events,
    sums.4 AS visits, sums.5 AS visit_views, sums.6 AS bounces, sums.7 AS duration_ms
FROM
(
    SELECT
        day, part, pair, toString(path) AS key,
        groupBitmapStateIf(number, v.unkeyed = 0) AS members,
        ($sums) AS sums
    FROM
    (
        SELECT *, $path AS path
        FROM $table
        WHERE build = {build:UInt64} AND $counted
    ) AS v
    ARRAY JOIN [$pairs] AS pair
    GROUP BY day, part, pair, path
)
