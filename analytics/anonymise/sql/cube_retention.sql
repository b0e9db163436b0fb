-- The sums of one cube in sixteenths, and how much its clipping kept: two more keys, 0 and 1, with each visitor's
-- sums after and before clipping, bounded together, so that their ratio stays that visitor's own.
SELECT
    sum(d1), -- metric 1
    sum(d2), -- metric 2
    sum(d3), -- metric 3
    sum(d4), -- metric 4
    sum(d5), -- metric 5
    all_keys
FROM (
    SELECT
        arraySum(c1) AS kept_1, -- metric 1
        16 * length(keys) AS seen_1, -- metric 1
        least(1., sqrt({retained_1:UInt64} / greatest(kept_1 * kept_1 + seen_1 * seen_1, 1))) AS g1, -- metric 1
        arrayConcat(c1, [toInt64(floor(kept_1 * g1)), toInt64(floor(seen_1 * g1))]) AS d1, -- metric 1
        arraySum(c2) AS kept_2, -- metric 2
        16 * arraySum(v2) AS seen_2, -- metric 2
        least(1., sqrt({retained_2:UInt64} / greatest(kept_2 * kept_2 + seen_2 * seen_2, 1))) AS g2, -- metric 2
        arrayConcat(c2, [toInt64(floor(kept_2 * g2)), toInt64(floor(seen_2 * g2))]) AS d2, -- metric 2
        arraySum(c3) AS kept_3, -- metric 3
        16 * arraySum(v3) AS seen_3, -- metric 3
        least(1., sqrt({retained_3:UInt64} / greatest(kept_3 * kept_3 + seen_3 * seen_3, 1))) AS g3, -- metric 3
        arrayConcat(c3, [toInt64(floor(kept_3 * g3)), toInt64(floor(seen_3 * g3))]) AS d3, -- metric 3
        arraySum(c4) AS kept_4, -- metric 4
        16 * arraySum(v4) AS seen_4, -- metric 4
        least(1., sqrt({retained_4:UInt64} / greatest(kept_4 * kept_4 + seen_4 * seen_4, 1))) AS g4, -- metric 4
        arrayConcat(c4, [toInt64(floor(kept_4 * g4)), toInt64(floor(seen_4 * g4))]) AS d4, -- metric 4
        arraySum(c5) AS kept_5, -- metric 5
        16 * arraySum(v5) AS seen_5, -- metric 5
        least(1., sqrt({retained_5:UInt64} / greatest(kept_5 * kept_5 + seen_5 * seen_5, 1))) AS g5, -- metric 5
        arrayConcat(c5, [toInt64(floor(kept_5 * g5)), toInt64(floor(seen_5 * g5))]) AS d5, -- metric 5
        arrayConcat(key, [toUInt64(0), toUInt64(1)]) AS all_keys
    FROM ($contributions)
)
ARRAY JOIN
    d1, -- metric 1
    d2, -- metric 2
    d3, -- metric 3
    d4, -- metric 4
    d5, -- metric 5
    all_keys
GROUP BY all_keys
