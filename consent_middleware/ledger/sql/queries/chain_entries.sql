SELECT position, record, revokes, body, hash FROM entries
WHERE position >= :first AND position < :beyond
ORDER BY position
