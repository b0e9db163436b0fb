DELETE FROM salts WHERE day < :day RETURNING day
