-- What happened in the visit of a line: every page and name of an event in it, and how many rows of the line itself
-- (none where only another line of the same visit has them).
ALTER TABLE visits ${on_cluster}
    ADD COLUMN IF NOT EXISTS pages Array(LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS names Array(LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS counts Array(UInt32) CODEC(ZSTD);

-- What was counted before has none, and weeks hold visits now: all is counted again.
TRUNCATE TABLE IF EXISTS cell_builds ${on_cluster};

TRUNCATE TABLE IF EXISTS cells ${on_cluster};

TRUNCATE TABLE IF EXISTS visits ${on_cluster};
