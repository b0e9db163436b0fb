-- What was counted before lacks what follows: it is counted again. First of all, so that nobody takes emptied tables for
-- days without visits.
TRUNCATE TABLE IF EXISTS cell_builds ${on_cluster};

TRUNCATE TABLE IF EXISTS cells ${on_cluster};

-- Visitors are numbered from 1 now: 0 is the number of rows without a key.
TRUNCATE TABLE IF EXISTS numbers ${on_cluster};

-- Whether a build has its cells of two dimensions, which it can do without.
ALTER TABLE cell_builds ${on_cluster} ADD COLUMN IF NOT EXISTS crossed Bool;

-- Counts in lines are packed, since unpacking them took longer than the question that read them.
TRUNCATE TABLE IF EXISTS visits ${on_cluster};

ALTER TABLE visits ${on_cluster}
    MODIFY COLUMN number UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN held UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN unkeyed UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN pageviews UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN events UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN visits UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN visit_views UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN bounces UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN duration_ms UInt64 CODEC(T64, LZ4),
    MODIFY COLUMN country LowCardinality(String) CODEC(LZ4),
    MODIFY COLUMN region LowCardinality(String) CODEC(LZ4),
    MODIFY COLUMN city LowCardinality(String) CODEC(LZ4),
    MODIFY COLUMN browser LowCardinality(String) CODEC(LZ4),
    MODIFY COLUMN browser_version LowCardinality(String) CODEC(LZ4),
    MODIFY COLUMN os LowCardinality(String) CODEC(LZ4),
    MODIFY COLUMN os_version LowCardinality(String) CODEC(LZ4),
    MODIFY COLUMN device LowCardinality(String) CODEC(LZ4),
    MODIFY COLUMN counts Array(UInt32) CODEC(T64, LZ4);

TRUNCATE TABLE IF EXISTS visit_pages ${on_cluster};

ALTER TABLE visit_pages ${on_cluster}
    MODIFY COLUMN number UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN held UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN unkeyed UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN pageviews UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN events UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN visits UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN visit_views UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN bounces UInt32 CODEC(T64, LZ4),
    MODIFY COLUMN duration_ms UInt64 CODEC(T64, LZ4);

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
