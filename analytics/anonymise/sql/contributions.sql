-- What each visitor adds to a cube: at most {max_keys} keys, chosen by a salted hash; then L2 clipping of each metric,
-- in sixteenths: floor(v * least(16, sqrt(bound / sum of v^2))), whose squares sum to at most `bound`.
-- The one template of every cube and metric: 1 visitors, 2 visits, 3 page views, 4 events, 5 bounces; lines of a metric
-- that nobody asks for are left out. Keys outside a known domain are counted under `(other)` before anything is bounded.
WITH
    length(keys) <= {max_keys:UInt32} AS few,
    -- Empty for nearly everybody: nothing is hashed where nothing is left out.
    arraySlice(arraySort(i -> sipHash64({salt:String}, visitor, keys[i]), arrayEnumerate(if(few, [], keys))),
        1, {max_keys:UInt32}) AS drawn
SELECT
    v2, -- metric 2
    v3, -- metric 3
    v4, -- metric 4
    v5, -- metric 5
    if(few, v2, arrayMap(i -> v2[i], drawn)) AS w2, -- metric 2
    if(few, v3, arrayMap(i -> v3[i], drawn)) AS w3, -- metric 3
    if(few, v4, arrayMap(i -> v4[i], drawn)) AS w4, -- metric 4
    if(few, v5, arrayMap(i -> v5[i], drawn)) AS w5, -- metric 5
    least(16., sqrt({bound_1:UInt64} / length(key))) AS f1, -- metric 1
    least(16., sqrt({bound_2:UInt64} / greatest(arraySum(v -> v * v, w2), 1))) AS f2, -- metric 2
    least(16., sqrt({bound_3:UInt64} / greatest(arraySum(v -> v * v, w3), 1))) AS f3, -- metric 3
    least(16., sqrt({bound_4:UInt64} / greatest(arraySum(v -> v * v, w4), 1))) AS f4, -- metric 4
    least(16., sqrt({bound_5:UInt64} / greatest(arraySum(v -> v * v, w5), 1))) AS f5, -- metric 5
    arrayMap(v -> toInt64(floor(f1)), key) AS c1, -- metric 1
    arrayMap(v -> toInt64(floor(v * f2)), w2) AS c2, -- metric 2
    arrayMap(v -> toInt64(floor(v * f3)), w3) AS c3, -- metric 3
    arrayMap(v -> toInt64(floor(v * f4)), w4) AS c4, -- metric 4
    arrayMap(v -> toInt64(floor(v * f5)), w5) AS c5, -- metric 5
    if(few, keys, arrayMap(i -> keys[i], drawn)) AS key,
    keys,
    visitor
FROM (
    SELECT
        groupArray(visits) AS v2, -- metric 2
        groupArray(pageviews) AS v3, -- metric 3
        groupArray(events) AS v4, -- metric 4
        groupArray(bounces) AS v5, -- metric 5
        groupArray(key) AS keys,
        visitor
    FROM (
        SELECT
            toUInt32(count()) AS visits, -- metric 2
            toUInt32(sum(row.pageviews)) AS pageviews, -- metric 3
            toUInt32(sum(row.events)) AS events, -- metric 4
            toUInt32(sum(bounce)) AS bounces, -- metric 5
            key,
            visitor
        FROM (
            SELECT
                visitor, pageviews, events, bounce,
                transform(one, known_first, known_first, if({closed_first:UInt8}, other, one)) AS left,
                transform(two, known_second, known_second, if({closed_second:UInt8}, other, two)) AS right,
                if({pair:UInt8}, cityHash64(left, right), left) AS both,
                transform(both, known, known, if({closed:UInt8}, other, both)) AS key,
                cityHash64('(other)') AS other,
                arrayMap(word -> cityHash64(word), {known_first:Array(String)}) AS known_first,
                arrayMap(word -> cityHash64(word), {known_second:Array(String)}) AS known_second,
                arrayMap((a, b) -> if({pair:UInt8}, cityHash64(cityHash64(a), cityHash64(b)), cityHash64(a)),
                    {known_left:Array(String)}, {known_right:Array(String)}) AS known
            FROM ($rows)
            WHERE NOT ({skip_first:UInt8} AND one = cityHash64('')) AND NOT ({skip_second:UInt8} AND two = cityHash64(''))
        ) AS row
        GROUP BY visitor, key
    )
    GROUP BY visitor
)
