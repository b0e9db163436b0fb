-- Rows that carry no visitor key stand alone: each is its own array.
SELECT toUInt64(0) AS nobody, [$row] AS rows
FROM events
WHERE $scope AND (visitor = 0 OR kind = 'count')
