-- Keys that a hit has, where nobody asks for visits.
SELECT visitor, {first:Identifier} AS one, {second:Identifier} AS two, pageviews, events, toUInt8(0) AS bounce
FROM {hits:Identifier}
