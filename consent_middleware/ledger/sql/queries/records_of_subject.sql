SELECT record_id, purpose FROM subject_keys WHERE subject = :subject ORDER BY purpose, record_id
