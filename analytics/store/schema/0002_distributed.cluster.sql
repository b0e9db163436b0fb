-- On a cluster only: one name for the rows of all shards. A visitor lives on one shard, so that visits and
-- contribution bounds are computed where the rows are.
CREATE TABLE IF NOT EXISTS events ${on_cluster} AS ${events}
ENGINE = Distributed('${cluster}', currentDatabase(), '${events}', cityHash64(visitor));
