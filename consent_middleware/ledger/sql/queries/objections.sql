SELECT address, objected FROM suppressions ORDER BY number
