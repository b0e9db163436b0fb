SELECT position FROM entries WHERE position >= :first ORDER BY position LIMIT 1
