INSERT INTO subject_keys (record_id, key, subject, purpose) VALUES (:record_id, :key, :subject, :purpose)
ON CONFLICT DO NOTHING
