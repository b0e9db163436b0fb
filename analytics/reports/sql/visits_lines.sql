-- Lines over visits, one slice of the visitors at a time. `$pieces` says which rows of a visit count for which day.
INSERT INTO visits ($columns)
SELECT
    {build:UInt64} AS build,
    piece_day AS day,
    piece_part AS part,
    number,
    $columns_of_fields,
    sum(length(own)) AS held,
    sumIf(length(own), visitor = 0) AS unkeyed,
    sum(arrayCount(row -> row.2, own)) AS pageviews,
    sum(arrayCount(row -> row.3, own)) AS events,
    countIf(counted) AS visits,
    sumIf(views, counted) AS visit_views,
    countIf(counted AND bounce) AS bounces,
    sumIf(duration, counted) AS duration_ms,
    steps.1 AS pages,
    steps.2 AS names,
    sumForEach(own_steps) AS counts
FROM
(
    SELECT
        visitor,
        piece.1 AS piece_part,
        piece.2 AS piece_day,
        piece.3 AS part_rows,
        piece.4 AS rows,
        look,
        arrayFilter(row -> $look_of_row = look, part_rows) AS own,
        visitor != 0 AND look = $look_of_first AND piece_part NOT IN ('before', 'after') AS counted,
        arrayCount(row -> row.2, part_rows) AS views,
        views <= 1 AND NOT arrayExists(row -> row.3 AND NOT row.2, part_rows) AS bounce,
        dateDiff('millisecond', part_rows[1].1, part_rows[-1].1) AS duration,
        arraySort(arrayDistinct(arrayMap(row -> $step, rows))) AS steps,
        -- Every step once more than it was done, in order: the last number of each run is how often it stands there.
        arrayEnumerateUniq(arraySort(arrayConcat(steps, arrayMap(row -> $step, own)))) AS runs,
        arrayMap(
            (times, next) -> times - 1,
            arrayFilter((times, next) -> next = 1, runs, arrayPushBack(arrayPopFront(runs), 1)),
            steps) AS own_steps,
        $fields
    FROM
    (
        SELECT visitor, rows AS visit, arrayFilter(row -> row.1 < {cut:DateTime64(3, 'UTC')}, rows) AS before,
            arrayFilter(row -> row.1 >= {cut:DateTime64(3, 'UTC')}, rows) AS after
        FROM ($visits)
    )
    ARRAY JOIN $pieces AS piece
    ARRAY JOIN arrayDistinct(arrayMap(row -> $look_of_row, piece.3)) AS look
) AS held
INNER JOIN
(
    $numbers
) AS numbered USING visitor
GROUP BY piece_day, piece_part, number, $columns_of_fields, steps
