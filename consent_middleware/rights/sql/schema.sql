-- The register of data-subject requests. Steps are only ever added.
CREATE TABLE IF NOT EXISTS requests (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    identity TEXT NOT NULL,
    ticket TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX IF NOT EXISTS requests_by_ticket ON requests (ticket) WHERE ticket != '';
CREATE TABLE IF NOT EXISTS steps (
    request INTEGER NOT NULL REFERENCES requests (number),
    at TEXT NOT NULL,
    step TEXT NOT NULL,
    author TEXT NOT NULL,
    text TEXT NOT NULL DEFAULT '',
    due TEXT
);
CREATE INDEX IF NOT EXISTS steps_by_request ON steps (request);
CREATE TRIGGER IF NOT EXISTS steps_stay BEFORE UPDATE ON steps
BEGIN SELECT RAISE(ABORT, 'the register is append-only'); END;
