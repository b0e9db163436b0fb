-- A week's cells over rows, from those of its seven days.
INSERT INTO cells
SELECT {build:UInt64}, kind, cube, {day:Date}, part, key, groupBitmapMergeState(visitors), sum(held), sum(unkeyed),
    sum(pageviews), sum(events), sum(visits), sum(visit_views), sum(bounces), sum(duration_ms)
FROM cells
WHERE kind = 'rows' AND build IN {builds:Array(UInt64)}
GROUP BY kind, part, cube, key
