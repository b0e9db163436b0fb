-- The sums of one cube, in sixteenths.
SELECT contribution.1 AS key, sumForEach(contribution.2) AS sums
FROM ($contributions)
ARRAY JOIN clipped AS contribution
GROUP BY key
