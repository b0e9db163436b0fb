SELECT chain, size, tombstone FROM tombstones ORDER BY chain, size
