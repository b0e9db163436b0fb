SELECT objected, at FROM suppressions
WHERE address = :address AND purpose = :purpose
ORDER BY number DESC LIMIT 1
