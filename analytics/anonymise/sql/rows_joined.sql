-- Keys of hits and of their visits together: one row per visit and pair of keys.
SELECT
    visitor, {first:Identifier} AS one, {second:Identifier} AS two,
    sum(hit.pageviews) AS pageviews, sum(hit.events) AS events, any(visit.bounce) AS bounce
FROM {hits:Identifier} AS hit
INNER JOIN (SELECT * EXCEPT (pageviews, events, nothing) FROM {visits:Identifier}) AS visit USING (visitor, visit)
GROUP BY visitor, visit, one, two
