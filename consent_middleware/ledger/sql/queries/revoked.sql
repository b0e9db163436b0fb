SELECT position, body FROM entries
WHERE revokes = 1 AND position >= :first AND position < :beyond
ORDER BY position
