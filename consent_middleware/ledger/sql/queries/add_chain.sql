INSERT INTO chains (chain, started) VALUES (:chain, :started) ON CONFLICT DO NOTHING
