-- What each visitor adds to a cube: at most {max_keys} keys, chosen by a salted hash; then L2 clipping of each metric,
-- in sixteenths: floor(v * least(16, sqrt(bound / sum of v^2))), whose squares sum to at most `bound`.
-- The one template of every cube and metric: v1 visitors, v2 visits, v3 page views, v4 events, v5 bounces; a metric with
-- bound 0 is not asked for, costs nothing, and its column is to be ignored. Keys outside a known domain are counted under `(other)` before anything is bounded.
WITH arraySlice(arraySort(i -> sipHash64({salt:String}, visitor, keys[i]), arrayEnumerate(keys)), 1, {max_keys:UInt32})
    AS drawn
SELECT
    visitor, keys, v2, v3, v4, v5,
    length(keys) <= {max_keys:UInt32} AS few,
    if(few, keys, arrayMap(i -> keys[i], drawn)) AS key,
    if(few, v2, arrayMap(i -> v2[i], drawn)) AS w2,
    if(few, v3, arrayMap(i -> v3[i], drawn)) AS w3,
    if(few, v4, arrayMap(i -> v4[i], drawn)) AS w4,
    if(few, v5, arrayMap(i -> v5[i], drawn)) AS w5,
    least(16., sqrt({bound_1:UInt64} / length(key))) AS f1,
    least(16., sqrt({bound_2:UInt64} / greatest(arraySum(v -> v * v, w2), 1))) AS f2,
    least(16., sqrt({bound_3:UInt64} / greatest(arraySum(v -> v * v, w3), 1))) AS f3,
    least(16., sqrt({bound_4:UInt64} / greatest(arraySum(v -> v * v, w4), 1))) AS f4,
    least(16., sqrt({bound_5:UInt64} / greatest(arraySum(v -> v * v, w5), 1))) AS f5,
    arrayMap(v -> toInt64(floor(f1)), key) AS c1,
    if({bound_2:UInt64} = 0, c1, arrayMap(v -> toInt64(floor(v * f2)), w2)) AS c2,
    if({bound_3:UInt64} = 0, c1, arrayMap(v -> toInt64(floor(v * f3)), w3)) AS c3,
    if({bound_4:UInt64} = 0, c1, arrayMap(v -> toInt64(floor(v * f4)), w4)) AS c4,
    if({bound_5:UInt64} = 0, c1, arrayMap(v -> toInt64(floor(v * f5)), w5)) AS c5
FROM (
    SELECT
        visitor,
        groupArray(key) AS keys,
        groupArray(visits) AS v2, groupArray(pageviews) AS v3, groupArray(events) AS v4, groupArray(bounces) AS v5
    FROM (
        SELECT
            visitor, key,
            toUInt32(count()) AS visits,
            toUInt32(sum(row.pageviews)) AS pageviews,
            toUInt32(sum(row.events)) AS events,
            toUInt32(sum(bounce)) AS bounces
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
