-- How many members each set has: what the largest groups are is known without reading the sets.
ALTER TABLE cells ${on_cluster} ADD COLUMN IF NOT EXISTS size UInt64 MATERIALIZED finalizeAggregation(visitors);

ALTER TABLE cells ${on_cluster} MATERIALIZE COLUMN size;
