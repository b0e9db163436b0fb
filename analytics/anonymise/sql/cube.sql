-- The sums of one cube in sixteenths.
SELECT
    sum(c1), -- metric 1
    sum(c2), -- metric 2
    sum(c3), -- metric 3
    sum(c4), -- metric 4
    sum(c5), -- metric 5
    key
FROM ($contributions)
ARRAY JOIN
    c1, -- metric 1
    c2, -- metric 2
    c3, -- metric 3
    c4, -- metric 4
    c5, -- metric 5
    key
GROUP BY key
