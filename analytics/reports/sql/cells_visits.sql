-- Cells over visits, one slice of the visitors at a time. `$pieces` says which parts of a visit count for which day.
INSERT INTO cells
SELECT
    {build:UInt64} AS build,
    'visits' AS kind,
    pair.1 AS cube,
    piece_day AS day,
    piece_part AS part,
    pair.2 AS key,
    groupBitmapStateIf(number, visitor != 0) AS visitors,
    sum(length(rows)) AS held,
    sumIf(length(rows), visitor = 0) AS unkeyed,
    sum(views) AS pageviews,
    sum(counted) AS events,
    countIf(visitor != 0) AS visits,
    sumIf(views, visitor != 0) AS visit_views,
    countIf(visitor != 0 AND bounce) AS bounces,
    sumIf(duration, visitor != 0) AS duration_ms
FROM
(
    SELECT
        visitor,
        piece.1 AS piece_part,
        piece.2 AS piece_day,
        piece.3 AS rows,
        arrayCount(row -> row.2, rows) AS views,
        arrayCount(row -> row.3, rows) AS counted,
        views <= 1 AND NOT arrayExists(row -> row.3 AND NOT row.2, rows) AS bounce,
        dateDiff('millisecond', rows[1].1, rows[-1].1) AS duration,
        $cubes AS cubes
    FROM
    (
        SELECT visitor, rows AS visit, arrayFilter(row -> row.1 < {cut:DateTime64(3, 'UTC')}, rows) AS before,
            arrayFilter(row -> row.1 >= {cut:DateTime64(3, 'UTC')}, rows) AS after
        FROM ($visits)
    )
    ARRAY JOIN $pieces AS piece
) AS held
INNER JOIN
(
    $numbers
) AS numbered USING visitor
ARRAY JOIN cubes AS pair
GROUP BY pair, piece_day, piece_part
