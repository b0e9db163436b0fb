INSERT INTO tombstones (chain, size, tombstone) VALUES (:chain, :size, :tombstone)
