INSERT INTO counts (day, what, language, n) VALUES (:day, :what, :language, :n)
ON CONFLICT (day, what, language) DO UPDATE SET n = counts.n + excluded.n
