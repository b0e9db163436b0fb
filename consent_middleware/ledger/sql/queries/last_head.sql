SELECT number, at, head FROM heads ORDER BY number DESC LIMIT 1
