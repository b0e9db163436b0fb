-- One row per page view, event or identifier-free count. A month of imported rows is one partition, otherwise a day,
-- so that retention drops whole partitions. Old parts go within seconds: an erasure has to be gone from the disk.
CREATE TABLE IF NOT EXISTS ${events} ${on_cluster}
(
    site LowCardinality(String),
    time DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    kind Enum8('view' = 1, 'event' = 2, 'count' = 3),
    name LowCardinality(String),
    host LowCardinality(String),
    path LowCardinality(String),
    query String CODEC(ZSTD),
    referrer_host LowCardinality(String),
    source LowCardinality(String),
    channel LowCardinality(String),
    utm_source LowCardinality(String),
    utm_medium LowCardinality(String),
    utm_campaign LowCardinality(String),
    utm_term LowCardinality(String),
    utm_content LowCardinality(String),
    method LowCardinality(String),
    status UInt16,
    bytes UInt64 CODEC(ZSTD),
    duration_ms UInt32 CODEC(ZSTD),
    protocol LowCardinality(String),
    language LowCardinality(String),
    country LowCardinality(String),
    region LowCardinality(String),
    city LowCardinality(String),
    browser LowCardinality(String),
    browser_version LowCardinality(String),
    os LowCardinality(String),
    os_version LowCardinality(String),
    device LowCardinality(String),
    screen LowCardinality(String),
    bot LowCardinality(String),
    visitor UInt64 CODEC(ZSTD),
    engagement_ms UInt32 CODEC(ZSTD),
    scroll UInt8 CODEC(ZSTD),
    props Map(LowCardinality(String), String) CODEC(ZSTD),
    revenue Nullable(Decimal(18, 3)),
    currency LowCardinality(String),
    basis LowCardinality(String),
    revision UInt32 CODEC(ZSTD),
    loaded DateTime('UTC') CODEC(ZSTD)
)
ENGINE = ${engine}
PARTITION BY if(basis = 'imported', toYYYYMM(time), toYYYYMMDD(time))
ORDER BY (site, toStartOfHour(time), visitor, time)
TTL if(basis = 'imported', loaded, toDateTime(time)) + INTERVAL 35 DAY
SETTINGS ${deduplication} = 10000, fsync_after_insert = 1, fsync_part_directory = 1,
    merge_with_ttl_timeout = 3600, ${short_lived};

-- Visitors whose rows are left out of every query and every seal.
CREATE TABLE IF NOT EXISTS restricted ${on_cluster}
(
    visitor UInt64,
    site LowCardinality(String),
    time DateTime64(3, 'UTC')
)
ENGINE = ${engine_everywhere}
ORDER BY (site, visitor)
SETTINGS ${short_lived};

CREATE TABLE IF NOT EXISTS objected ${on_cluster}
(
    visitor UInt64,
    site LowCardinality(String),
    time DateTime64(3, 'UTC')
)
ENGINE = ${engine_everywhere}
ORDER BY (site, visitor)
SETTINGS ${short_lived};

-- Visitors whose rows up to `time` go, and stay out while older segments may still be on their way.
CREATE TABLE IF NOT EXISTS erased ${on_cluster}
(
    visitor UInt64,
    site LowCardinality(String),
    time DateTime64(3, 'UTC')
)
ENGINE = ${engine_everywhere}
ORDER BY (site, visitor)
SETTINGS ${short_lived};

-- A queue: who is to be taken out of the two tables of switches.
CREATE TABLE IF NOT EXISTS lifted ${on_cluster}
(
    visitor UInt64
)
ENGINE = ${engine_everywhere}
ORDER BY visitor
SETTINGS ${short_lived};
