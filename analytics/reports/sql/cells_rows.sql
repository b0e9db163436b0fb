-- Cells of one day over its rows, for every cube that a row's own columns decide.
INSERT INTO cells
SELECT
    {build:UInt64} AS build,
    'rows' AS kind,
    pair.1 AS cube,
    {day:Date} AS day,
    'inside' AS part,
    pair.2 AS key,
    groupBitmapStateIf(number, visitor != 0) AS visitors,
    count() AS held,
    countIf(visitor = 0) AS unkeyed,
    countIf(name = 'pageview') AS pageviews,
    countIf(name != 'engagement') AS events,
    0 AS visits,
    0 AS visit_views,
    0 AS bounces,
    0 AS duration_ms
FROM
(
    SELECT visitor, toString(name) AS name, $cubes AS cubes
    FROM events
    WHERE $scope
) AS held
INNER JOIN
(
    $numbers
) AS numbered USING visitor
ARRAY JOIN cubes AS pair
GROUP BY pair
