-- What is held, by site and basis.
SELECT
    site, basis, count() AS rows, uniqIf(visitor, visitor != 0) AS visitors, min(time), max(time), min(loaded)
FROM events
GROUP BY site, basis
ORDER BY site, basis
