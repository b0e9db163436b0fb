-- What each visitor adds to a cube: at most {max_keys} keys, chosen by a salted hash; then L2 clipping of each metric,
-- in sixteenths: floor(v * least(16, sqrt(bound / sum of v^2))), whose squares sum to at most `bound`.
-- The one template of every cube and metric: 1 visitors, 2 visits, 3 page views, 4 events, 5 bounces; lines of what
-- nobody asks for are left out. Keys outside a known domain are counted under `(other)` before anything is bounded.
-- A row holds one visitor's arrays, and no lambda captures an array: the engine would copy it for each element.
WITH
    length(keys) <= {max_keys:UInt32} AS few,
    -- Empty for nearly everybody: nothing is hashed where nothing is left out.
    arrayMap(key -> sipHash64({salt:String}, visitor, key), if(few, [], keys)) AS lots
SELECT
    v2, -- metric 2
    v3, -- metric 3
    v4, -- metric 4
    v5, -- metric 5
    if(few, v2, arraySlice(arraySort((v, lot) -> lot, if(few, [], v2), lots), 1, {max_keys:UInt32})) AS w2, -- metric 2
    if(few, v3, arraySlice(arraySort((v, lot) -> lot, if(few, [], v3), lots), 1, {max_keys:UInt32})) AS w3, -- metric 3
    if(few, v4, arraySlice(arraySort((v, lot) -> lot, if(few, [], v4), lots), 1, {max_keys:UInt32})) AS w4, -- metric 4
    if(few, v5, arraySlice(arraySort((v, lot) -> lot, if(few, [], v5), lots), 1, {max_keys:UInt32})) AS w5, -- metric 5
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
    if(few, keys, arraySlice(arraySort((v, lot) -> lot, if(few, [], keys), lots), 1, {max_keys:UInt32})) AS key,
    keys,
    visitor
FROM (
    -- Each key once, with the sum of its entries: entries in the order of their keys, cumulated, read at the last of each.
    SELECT
        arrayPopFront(arrayDifference(arrayPushFront(arrayFilter((sum, here) -> here, -- metric 2
            arrayCumSum(arraySort((n, place) -> place, s2, places)), last), 0))) AS v2, -- metric 2
        arrayPopFront(arrayDifference(arrayPushFront(arrayFilter((sum, here) -> here, -- metric 3
            arrayCumSum(arraySort((n, place) -> place, s3, places)), last), 0))) AS v3, -- metric 3
        arrayPopFront(arrayDifference(arrayPushFront(arrayFilter((sum, here) -> here, -- metric 4
            arrayCumSum(arraySort((n, place) -> place, s4, places)), last), 0))) AS v4, -- metric 4
        arrayPopFront(arrayDifference(arrayPushFront(arrayFilter((sum, here) -> here, -- metric 5
            arrayCumSum(arraySort((n, place) -> place, s5, places)), last), 0))) AS v5, -- metric 5
        arraySort(places) AS sorted,
        arrayMap((place, next) -> place != next, sorted, arrayShiftLeft(sorted, 1, toUInt64(0))) AS last,
        arrayFilter((place, here) -> here, sorted, last) AS keys,
        visitor
    FROM (
        SELECT
            arrayFilter((n, here) -> here, n2, wanted) AS s2, -- metric 2
            arrayFilter((n, here) -> here, n3, wanted) AS s3, -- metric 3
            arrayFilter((n, here) -> here, n4, wanted) AS s4, -- metric 4
            arrayFilter((n, here) -> here, n5, wanted) AS s5, -- metric 5
            arrayMap(first -> NOT ({skip_first:UInt8} AND first = cityHash64('')), one) AS wanted, -- single
            arrayMap((first, second) -> NOT ({skip_first:UInt8} AND first = cityHash64('')) -- pair
                AND NOT ({skip_second:UInt8} AND second = cityHash64('')), one, two) AS wanted, -- pair
            one AS both, -- single
            arrayMap((first, second) -> cityHash64( -- pair
                transform(first, known_first, known_first, if({closed_first:UInt8}, other, first)), -- pair
                transform(second, known_second, known_second, if({closed_second:UInt8}, other, second))), -- pair
                one, two) AS both, -- pair
            arrayFilter((place, here) -> here,
                arrayMap(place -> transform(place, known, known, if({closed:UInt8}, other, place)), both), wanted) AS places,
            cityHash64('(other)') AS other,
            arrayMap(word -> cityHash64(word), {known_first:Array(String)}) AS known_first, -- pair
            arrayMap(word -> cityHash64(word), {known_second:Array(String)}) AS known_second, -- pair
            arrayMap(word -> cityHash64(word), {known_left:Array(String)}) AS known, -- single
            arrayMap((left, right) -> cityHash64(cityHash64(left), cityHash64(right)), -- pair
                {known_left:Array(String)}, {known_right:Array(String)}) AS known, -- pair
            visitor
        FROM ($rows)
    )
)
