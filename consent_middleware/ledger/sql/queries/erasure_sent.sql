DELETE FROM owed_erasures WHERE ticket = :ticket
