-- What was counted before lacks what follows: it is counted again. First of all, so that nobody takes emptied tables for
-- days without visits.
TRUNCATE TABLE IF EXISTS cell_builds ${on_cluster};

TRUNCATE TABLE IF EXISTS cells ${on_cluster};

-- Visitors are numbered from 1 now: 0 is the number of rows without a key.
TRUNCATE TABLE IF EXISTS numbers ${on_cluster};

-- Whether a build has its cells of two dimensions, which it can do without.
ALTER TABLE cell_builds ${on_cluster} ADD COLUMN IF NOT EXISTS crossed Bool;

-- Lines of visits and of their pages anew: counts are packed, since unpacking them took longer than the question that read
-- them.
DROP TABLE IF EXISTS visits ${on_cluster} SYNC;

DROP TABLE IF EXISTS visit_pages ${on_cluster} SYNC;

CREATE TABLE visits ${on_cluster}
(
    build UInt64,
    day Date,
    part Enum8('inside' = 1, 'over' = 2, 'head' = 3, 'tail' = 4, 'before' = 5, 'after' = 6),
    number UInt32 CODEC(T64, LZ4),
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
    country LowCardinality(String),
    region LowCardinality(String),
    city LowCardinality(String),
    browser LowCardinality(String),
    browser_version LowCardinality(String),
    os LowCardinality(String),
    os_version LowCardinality(String),
    device LowCardinality(String),
    held UInt32 CODEC(T64, LZ4),
    unkeyed UInt32 CODEC(T64, LZ4),
    pageviews UInt32 CODEC(T64, LZ4),
    events UInt32 CODEC(T64, LZ4),
    visits UInt32 CODEC(T64, LZ4),
    visit_views UInt32 CODEC(T64, LZ4),
    bounces UInt32 CODEC(T64, LZ4),
    duration_ms UInt64 CODEC(T64, LZ4),
    pages Array(LowCardinality(String)),
    names Array(LowCardinality(String)),
    counts Array(UInt32) CODEC(T64, LZ4)
)
ENGINE = ${engine_everywhere}
PARTITION BY build
ORDER BY (part, source, number)
SETTINGS min_bytes_for_wide_part = 1000000, max_compress_block_size = 65536, ${short_lived};

CREATE TABLE visit_pages ${on_cluster}
(
    build UInt64,
    day Date,
    part Enum8('inside' = 1, 'over' = 2, 'head' = 3, 'tail' = 4, 'before' = 5, 'after' = 6),
    page LowCardinality(String) CODEC(ZSTD),
    number UInt32 CODEC(T64, LZ4),
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
    held UInt32 CODEC(T64, LZ4),
    unkeyed UInt32 CODEC(T64, LZ4),
    pageviews UInt32 CODEC(T64, LZ4),
    events UInt32 CODEC(T64, LZ4),
    visits UInt32 CODEC(T64, LZ4),
    visit_views UInt32 CODEC(T64, LZ4),
    bounces UInt32 CODEC(T64, LZ4),
    duration_ms UInt64 CODEC(T64, LZ4)
)
ENGINE = ${engine_everywhere}
PARTITION BY build
ORDER BY (part, source, page, number)
SETTINGS min_bytes_for_wide_part = 1000000, max_compress_block_size = 65536, ${short_lived};

-- Cells of two dimensions: of each page (seen, entered by, left by), for each value of what a visit says that people
-- click on. From the lines of the same build, and read in their stead. `visitors` has the members where `kept`, which is
-- where they are many; `size` is how many there are, kept or not. Builds are those of the cells and go with them.
CREATE TABLE IF NOT EXISTS cross_cells ${on_cluster}
(
    build UInt64,
    day Date,
    part Enum8('inside' = 1, 'over' = 2, 'head' = 3, 'tail' = 4, 'before' = 5, 'after' = 6),
    cube LowCardinality(String),
    dimension LowCardinality(String),
    value LowCardinality(String),
    key String CODEC(ZSTD),
    visitors AggregateFunction(groupBitmap, UInt32),
    kept UInt8,
    size UInt32 CODEC(T64, LZ4),
    unkeyed UInt32 CODEC(T64, LZ4),
    pageviews UInt32 CODEC(T64, LZ4),
    events UInt32 CODEC(T64, LZ4),
    visits UInt32 CODEC(T64, LZ4),
    visit_views UInt32 CODEC(T64, LZ4),
    bounces UInt32 CODEC(T64, LZ4),
    duration_ms UInt64 CODEC(T64, LZ4)
)
ENGINE = ${engine_everywhere}
PARTITION BY build
ORDER BY (cube, dimension, value, part, key)
SETTINGS index_granularity = 128, min_bytes_for_wide_part = 1000000, max_compress_block_size = 65536, ${short_lived};
