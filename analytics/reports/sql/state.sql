-- What the raw rows look like, by partition: a row more, a row less or a rewritten part changes it; a merge does not.
SELECT table, partition, sum(rows), max(max_block_number), max(if(data_version > max_block_number, data_version, 0))
FROM system.parts
WHERE database = currentDatabase() AND active AND table IN ('events', 'restricted', 'objected')
GROUP BY table, partition
