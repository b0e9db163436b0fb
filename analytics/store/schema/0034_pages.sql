-- One line for each page of a visit's line, in order of pages: what people from one source saw, and who saw one page,
-- are read from a part of them. `held` and the next three are the rows of this page (none where only another line of
-- the visit has them); `visits` and the rest are the visit's, and stand once under each page. Builds are those of the
-- cells and go with them.
CREATE TABLE IF NOT EXISTS visit_pages ${on_cluster}
(
    build UInt64,
    day Date,
    part Enum8('inside' = 1, 'over' = 2, 'head' = 3, 'tail' = 4, 'before' = 5, 'after' = 6),
    page LowCardinality(String) CODEC(ZSTD),
    number UInt32 CODEC(Delta, ZSTD),
    source LowCardinality(String) CODEC(ZSTD),
    referrer LowCardinality(String) CODEC(ZSTD),
    channel LowCardinality(String) CODEC(ZSTD),
    utm_medium LowCardinality(String) CODEC(ZSTD),
    utm_source LowCardinality(String) CODEC(ZSTD),
    utm_campaign LowCardinality(String) CODEC(ZSTD),
    utm_content LowCardinality(String) CODEC(ZSTD),
    utm_term LowCardinality(String) CODEC(ZSTD),
    country LowCardinality(String) CODEC(ZSTD),
    region LowCardinality(String) CODEC(ZSTD),
    city LowCardinality(String) CODEC(ZSTD),
    browser LowCardinality(String) CODEC(ZSTD),
    browser_version LowCardinality(String) CODEC(ZSTD),
    os LowCardinality(String) CODEC(ZSTD),
    os_version LowCardinality(String) CODEC(ZSTD),
    device LowCardinality(String) CODEC(ZSTD),
    held UInt32 CODEC(ZSTD),
    unkeyed UInt32 CODEC(ZSTD),
    pageviews UInt32 CODEC(ZSTD),
    events UInt32 CODEC(ZSTD),
    visits UInt32 CODEC(ZSTD),
    visit_views UInt32 CODEC(ZSTD),
    bounces UInt32 CODEC(ZSTD),
    duration_ms UInt64 CODEC(ZSTD)
)
ENGINE = ${engine_everywhere}
PARTITION BY build
ORDER BY (part, source, page, number)
SETTINGS min_bytes_for_wide_part = 1000000, ${short_lived};

-- Lines of visits anew: the numbers of one source rise, so that each is put at the end of a set; and each column is a
-- file of its own, since a question reads a few of them.
DROP TABLE IF EXISTS visits ${on_cluster} SYNC;

CREATE TABLE visits ${on_cluster}
(
    build UInt64,
    day Date,
    part Enum8('inside' = 1, 'over' = 2, 'head' = 3, 'tail' = 4, 'before' = 5, 'after' = 6),
    number UInt32 CODEC(Delta, ZSTD),
    entry_page LowCardinality(String),
    exit_page LowCardinality(String),
    entry_page_hostname LowCardinality(String),
    exit_page_hostname LowCardinality(String),
    source LowCardinality(String),
    referrer LowCardinality(String),
    channel LowCardinality(String),
    utm_medium LowCardinality(String),
    utm_source LowCardinality(String),
    utm_campaign LowCardinality(String),
    utm_content LowCardinality(String),
    utm_term LowCardinality(String),
    country LowCardinality(String) CODEC(ZSTD),
    region LowCardinality(String) CODEC(ZSTD),
    city LowCardinality(String) CODEC(ZSTD),
    browser LowCardinality(String) CODEC(ZSTD),
    browser_version LowCardinality(String) CODEC(ZSTD),
    os LowCardinality(String) CODEC(ZSTD),
    os_version LowCardinality(String) CODEC(ZSTD),
    device LowCardinality(String) CODEC(ZSTD),
    held UInt64 CODEC(ZSTD),
    unkeyed UInt64 CODEC(ZSTD),
    pageviews UInt64 CODEC(ZSTD),
    events UInt64 CODEC(ZSTD),
    visits UInt64 CODEC(ZSTD),
    visit_views UInt64 CODEC(ZSTD),
    bounces UInt64 CODEC(ZSTD),
    duration_ms UInt64 CODEC(ZSTD),
    pages Array(LowCardinality(String)),
    names Array(LowCardinality(String)),
    counts Array(UInt32) CODEC(ZSTD)
)
ENGINE = ${engine_everywhere}
PARTITION BY build
ORDER BY (part, source, number)
SETTINGS min_bytes_for_wide_part = 1000000, ${short_lived};

-- Cells anew, in granules of 16: a question about a few cells reads their sets, and as few of their neighbours' as may
-- be; and each column in a file of its own, since thousands of sizes are looked at before the first set is read.
DROP TABLE IF EXISTS cells ${on_cluster} SYNC;

CREATE TABLE cells ${on_cluster}
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
    duration_ms UInt64,
    size UInt64 MATERIALIZED finalizeAggregation(visitors)
)
ENGINE = ${engine_everywhere}
PARTITION BY build
ORDER BY (kind, cube, part, key)
SETTINGS index_granularity = 16, min_bytes_for_wide_part = 1000000, ${short_lived};

-- What was counted before has no lines of pages: it is counted again.
TRUNCATE TABLE IF EXISTS cell_builds ${on_cluster};
