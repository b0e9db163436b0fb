CREATE TABLE subject_keys (
    record_id TEXT PRIMARY KEY,
    key BLOB NOT NULL,
    subject BLOB,
    purpose TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX subject_keys_by_subject ON subject_keys (subject) WHERE subject IS NOT NULL;
