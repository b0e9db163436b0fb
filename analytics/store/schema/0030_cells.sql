-- Numbers for visitors, dense per site, so that a set of visitors is a small bitmap. A row goes with its visitor.
CREATE TABLE IF NOT EXISTS numbers ${on_cluster}
(
    site LowCardinality(String),
    visitor UInt64,
    number UInt32
)
ENGINE = ${engine_everywhere}
ORDER BY (site, visitor)
SETTINGS ${short_lived};

-- Exact cells of whole days (on a site's clock) and of the weeks made of them. A build is one day or week, counted
-- once; a newer build of the same day replaces it, and the old one goes when nobody can be reading it any more.
-- `part` says what a visit has to do with the midnights around its day: see analytics/cells.py.
CREATE TABLE IF NOT EXISTS cells ${on_cluster}
(
    build UInt64,
    kind Enum8('rows' = 1, 'visits' = 2),
    cube LowCardinality(String),
    day Date,
    part Enum8('inside' = 1, 'over' = 2, 'head' = 3, 'tail' = 4),
    key String,
    visitors AggregateFunction(groupBitmap, UInt32),
    held UInt64,
    unkeyed UInt64,
    pageviews UInt64,
    events UInt64,
    visits UInt64,
    visit_views UInt64,
    bounces UInt64,
    duration_ms UInt64
)
ENGINE = ${engine_everywhere}
PARTITION BY build
ORDER BY (kind, cube, part, key)
SETTINGS index_granularity = 64, ${short_lived};

-- Which builds there are. `state` and `edges` are what the raw rows looked like when it was counted; `long` counts
-- visits that no cell can hold, because they lie across two midnights.
CREATE TABLE IF NOT EXISTS cell_builds ${on_cluster}
(
    site LowCardinality(String),
    zone LowCardinality(String),
    level Enum8('day' = 1, 'midnight' = 2, 'week' = 3),
    day Date,
    build UInt64,
    state String,
    edges String,
    long UInt64,
    built DateTime64(3, 'UTC')
)
ENGINE = ${engine_everywhere}
ORDER BY (site, zone, level, day, build)
SETTINGS ${short_lived};
