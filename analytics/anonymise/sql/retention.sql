-- How much clipping kept: per metric the sums of (kept, seen), bounded together per visitor as in the cube itself.
SELECT sumForEach(kept), sumForEach(seen)
FROM (
    SELECT
        arrayReduce('sumForEach', arrayMap(one -> one.2, clipped)) AS kept_all,
        arrayReduce('sumForEach', arrayMap(one -> arrayMap(v -> 16 * v, one.3), found)) AS seen_all,
        arrayMap((k, s, bound) -> least(1., sqrt(bound / greatest(k * k + s * s, 1))), kept_all, seen_all,
            {retention_bounds:Array(UInt64)}) AS factors,
        arrayMap((v, factor) -> toInt64(floor(v * factor)), kept_all, factors) AS kept,
        arrayMap((v, factor) -> toInt64(floor(v * factor)), seen_all, factors) AS seen
    FROM ($contributions)
)
