SELECT key FROM subject_keys WHERE record_id = :record_id
