-- A week's cells, from those of its seven days: over rows, and over visits that no midnight touches.
INSERT INTO cells
SELECT {build:UInt64}, kind, cube, {day:Date}, part, key, groupBitmapMergeState(visitors), sum(held), sum(unkeyed),
    sum(pageviews), sum(events), sum(visits), sum(visit_views), sum(bounces), sum(duration_ms)
FROM cells
WHERE part = 'inside' AND build IN {builds:Array(UInt64)}
GROUP BY kind, part, cube, key
