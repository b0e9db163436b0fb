-- The sums of one cube in sixteenths.
SELECT key, sum(c1), sum(c2), sum(c3), sum(c4), sum(c5)
FROM ($contributions)
ARRAY JOIN key, c1, c2, c3, c4, c5
GROUP BY key
