INSERT INTO owed_erasures (visitor, ticket) VALUES (:visitor, :ticket) ON CONFLICT DO NOTHING
