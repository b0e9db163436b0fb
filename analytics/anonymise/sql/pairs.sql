-- Which pair of hashes each pair key stands for.
SELECT DISTINCT
    cityHash64(left, right) AS id,
    transform(one, known_first, known_first, if({closed_first:UInt8}, other, one)) AS left,
    transform(two, known_second, known_second, if({closed_second:UInt8}, other, two)) AS right,
    cityHash64('(other)') AS other,
    arrayMap(word -> cityHash64(word), {known_first:Array(String)}) AS known_first,
    arrayMap(word -> cityHash64(word), {known_second:Array(String)}) AS known_second
FROM ($rows)
ARRAY JOIN one, two
