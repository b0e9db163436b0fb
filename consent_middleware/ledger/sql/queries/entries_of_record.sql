SELECT position, body, hash FROM entries WHERE record = :record ORDER BY position
