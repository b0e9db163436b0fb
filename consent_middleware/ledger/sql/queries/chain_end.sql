SELECT position, hash FROM entries
WHERE position >= :first AND position < :beyond
ORDER BY position DESC LIMIT 1
