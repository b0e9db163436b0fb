-- Totals that another tool counted and exported: one row per cell of one of its reports, of a day or of a longer period.
-- Nothing here is a visitor's row, and nothing here reaches a release. Counted from the import, as imported rows are.
CREATE TABLE IF NOT EXISTS imported_cells ${on_cluster}
(
    site LowCardinality(String),
    tool LowCardinality(String),
    report LowCardinality(String),
    first Date,
    last Date,
    keys Map(LowCardinality(String), String),
    visitors UInt64,
    visits UInt64,
    pageviews UInt64,
    events UInt64,
    bounces UInt64,
    visit_seconds UInt64,
    batch String,
    loaded DateTime('UTC')
)
ENGINE = ${engine_everywhere}
ORDER BY (site, report, first)
TTL loaded + INTERVAL 25 MONTH
SETTINGS ${deduplication} = 10000, ${short_lived};
