INSERT INTO notices (hash, language, revision, text)
VALUES (:hash, :language, :revision, :text) ON CONFLICT DO NOTHING
