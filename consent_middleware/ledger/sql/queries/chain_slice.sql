SELECT body, hash FROM entries
WHERE position >= :first AND position < :beyond
ORDER BY position
