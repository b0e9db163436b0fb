-- One row per visit, holding its rows as an array of tuples in order of time; 30 minutes of inactivity ends a visit.
-- The first three fields of a tuple are: time, is it a page view, does it count as an event.
SELECT visitor, rows
FROM
(
    SELECT visitor,
           arraySort(row -> row.1, groupArray($row)) AS sorted,
           arraySplit(
               (row, gap) -> gap > 1800000,
               sorted,
               arrayDifference(arrayMap(row -> toUnixTimestamp64Milli(row.1), sorted))
           ) AS visits
    FROM events
    WHERE $scope AND visitor != 0 AND kind != 'count'
    GROUP BY visitor
)
ARRAY JOIN visits AS rows
