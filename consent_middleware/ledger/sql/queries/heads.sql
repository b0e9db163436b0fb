SELECT head FROM heads ORDER BY number
