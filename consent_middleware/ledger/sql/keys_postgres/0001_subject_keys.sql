CREATE TABLE subject_keys (
    record_id text PRIMARY KEY,
    key bytea NOT NULL,
    subject bytea,
    purpose text NOT NULL
);
CREATE INDEX subject_keys_by_subject ON subject_keys (subject) WHERE subject IS NOT NULL;
