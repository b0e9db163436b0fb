-- One line per visit of a whole day (on a site's clock): what its first row says, and the rest counted. Builds are
-- those of the cells and go with them. A visit whose country, device or browser changed has a line for each; only that
-- of its first row counts the visit. `before` and `after` are the rows of a visit on either side of a midnight, which
-- belong to different days but have one source: see analytics/reports/visitbuild.py.
CREATE TABLE IF NOT EXISTS visits ${on_cluster}
(
    build UInt64,
    day Date,
    part Enum8('inside' = 1, 'over' = 2, 'head' = 3, 'tail' = 4, 'before' = 5, 'after' = 6),
    number UInt32 CODEC(ZSTD),
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
    held UInt64 CODEC(ZSTD),
    unkeyed UInt64 CODEC(ZSTD),
    pageviews UInt64 CODEC(ZSTD),
    events UInt64 CODEC(ZSTD),
    visits UInt64 CODEC(ZSTD),
    visit_views UInt64 CODEC(ZSTD),
    bounces UInt64 CODEC(ZSTD),
    duration_ms UInt64 CODEC(ZSTD)
)
ENGINE = ${engine_everywhere}
PARTITION BY build
ORDER BY (part, source, country, device, browser, os)
SETTINGS ${short_lived};

-- What was counted before has no lines: it is counted again.
TRUNCATE TABLE IF EXISTS cell_builds ${on_cluster};

TRUNCATE TABLE IF EXISTS cells ${on_cluster};
