SELECT size, tombstone FROM tombstones WHERE chain = :chain ORDER BY size DESC LIMIT 1
