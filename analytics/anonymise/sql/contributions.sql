-- What each visitor adds to a cube: at most {max_keys} keys, chosen by a salted hash; then L2 clipping of each metric,
-- in sixteenths: floor(v * least(16, sqrt(bound / sum of v^2))), whose squares sum to at most `bound`.
-- The one template of every cube and metric; metrics are (visitors, visits, pageviews, events, bounces) throughout, and
-- one with bound 0 adds nothing.
SELECT
    visitor,
    found,
    arraySlice(if(length(found) > {max_keys:UInt32}, arraySort(found), found), 1, {max_keys:UInt32}) AS chosen,
    arrayReduce('sumForEach', arrayMap(one -> arrayMap(v -> v * v, one.3), chosen)) AS norms,
    arrayMap(one -> (one.2, arrayMap(
        (v, norm, bound) -> toInt64(floor(v * least(16., sqrt(bound / greatest(norm, 1))))),
        one.3, norms, {bounds:Array(UInt64)})), chosen) AS clipped
FROM (
    SELECT visitor, groupArray((sipHash64({salt:String}, visitor, key), key, amounts)) AS found
    FROM (
        SELECT
            visitor,
            transform(pair, {known:Array(String)}, {known:Array(String)}, if({closed:UInt8}, '(other)', pair)) AS key,
            [1, uniqExact(visit), sum(pageviews), sum(events), uniqExactIf(visit, bounce)] AS amounts
        FROM (
            SELECT
                visitor, visit, pageviews, events, bounce,
                if({first:Identifier} = '', {empty_first:String}, {first:Identifier}) AS one,
                if({second:Identifier} = '', {empty_second:String}, {second:Identifier}) AS two,
                concat(
                    transform(one, {known_first:Array(String)}, {known_first:Array(String)},
                        if({closed_first:UInt8}, '(other)', one)),
                    {separator:String},
                    transform(two, {known_second:Array(String)}, {known_second:Array(String)},
                        if({closed_second:UInt8}, '(other)', two))) AS pair
            FROM {rows:Identifier}
            WHERE NOT ({skip_first:UInt8} AND {first:Identifier} = '') AND NOT ({skip_second:UInt8} AND {second:Identifier} = '')
        )
        GROUP BY visitor, key
    )
    GROUP BY visitor
)
