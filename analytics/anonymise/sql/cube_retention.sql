-- The sums of one cube in sixteenths, and how much its clipping took: three more keys, 0, 1 and 2, with what each
-- visitor kept, what it lost up to a first bound, and what it lost beyond that up to a second: three bounded numbers.
SELECT
    sum(d1), -- metric 1
    sum(d2), -- metric 2
    sum(d3), -- metric 3
    sum(d4), -- metric 4
    sum(d5), -- metric 5
    all_keys
FROM (
    SELECT
        16 * length(keys) - arraySum(c1) AS lost_1, -- metric 1
        arrayConcat(c1, [toInt64(least(arraySum(c1), {kept_1:UInt64})), -- metric 1
            toInt64(least(lost_1, {lost_1:UInt64})), -- metric 1
            toInt64(least(greatest(lost_1 - {lost_1:UInt64}, 0), {beyond_1:UInt64}))]) AS d1, -- metric 1
        16 * arraySum(v2) - arraySum(c2) AS lost_2, -- metric 2
        arrayConcat(c2, [toInt64(least(arraySum(c2), {kept_2:UInt64})), -- metric 2
            toInt64(least(lost_2, {lost_2:UInt64})), -- metric 2
            toInt64(least(greatest(lost_2 - {lost_2:UInt64}, 0), {beyond_2:UInt64}))]) AS d2, -- metric 2
        16 * arraySum(v3) - arraySum(c3) AS lost_3, -- metric 3
        arrayConcat(c3, [toInt64(least(arraySum(c3), {kept_3:UInt64})), -- metric 3
            toInt64(least(lost_3, {lost_3:UInt64})), -- metric 3
            toInt64(least(greatest(lost_3 - {lost_3:UInt64}, 0), {beyond_3:UInt64}))]) AS d3, -- metric 3
        16 * arraySum(v4) - arraySum(c4) AS lost_4, -- metric 4
        arrayConcat(c4, [toInt64(least(arraySum(c4), {kept_4:UInt64})), -- metric 4
            toInt64(least(lost_4, {lost_4:UInt64})), -- metric 4
            toInt64(least(greatest(lost_4 - {lost_4:UInt64}, 0), {beyond_4:UInt64}))]) AS d4, -- metric 4
        16 * arraySum(v5) - arraySum(c5) AS lost_5, -- metric 5
        arrayConcat(c5, [toInt64(least(arraySum(c5), {kept_5:UInt64})), -- metric 5
            toInt64(least(lost_5, {lost_5:UInt64})), -- metric 5
            toInt64(least(greatest(lost_5 - {lost_5:UInt64}, 0), {beyond_5:UInt64}))]) AS d5, -- metric 5
        arrayConcat(key, [toUInt64(0), toUInt64(1), toUInt64(2)]) AS all_keys
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
