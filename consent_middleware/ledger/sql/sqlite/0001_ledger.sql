CREATE TABLE chains (
    chain INTEGER PRIMARY KEY,
    started INTEGER NOT NULL
);

-- position = chain * 2^40 + sequence: the order of the file is the order of the chain, and tells nothing across chains.
CREATE TABLE entries (
    position INTEGER PRIMARY KEY,
    record INTEGER,
    revokes INTEGER NOT NULL,
    body BLOB NOT NULL,
    hash BLOB NOT NULL
);
CREATE INDEX entries_by_record ON entries (record) WHERE record IS NOT NULL;
CREATE INDEX entries_that_revoke ON entries (position) WHERE revokes = 1;

CREATE TABLE notices (
    hash TEXT PRIMARY KEY,
    language TEXT NOT NULL,
    revision INTEGER NOT NULL,
    text BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE heads (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    head BLOB NOT NULL
);

CREATE TABLE tombstones (
    chain INTEGER NOT NULL,
    size INTEGER NOT NULL,
    tombstone BLOB NOT NULL,
    PRIMARY KEY (chain, size)
) WITHOUT ROWID;

CREATE TABLE suppressions (
    number INTEGER PRIMARY KEY,
    address BLOB NOT NULL,
    purpose TEXT NOT NULL,
    objected INTEGER NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX suppressions_by_address ON suppressions (address);

CREATE TABLE counts (
    day TEXT NOT NULL,
    what TEXT NOT NULL,
    language TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (day, what, language)
) WITHOUT ROWID;

-- Erasures of withdrawals that the spool could not take yet; a background job sends them again.
CREATE TABLE owed_erasures (
    visitor TEXT NOT NULL,
    ticket TEXT PRIMARY KEY
) WITHOUT ROWID;

CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no entry is changed'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
WHEN NOT EXISTS (
    SELECT 1 FROM tombstones
    WHERE chain = OLD.position >> 40 AND size > (OLD.position & 1099511627775)
)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: entries end under a tombstone only'); END;
CREATE TRIGGER notices_no_update BEFORE UPDATE ON notices
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no notice is changed'); END;
CREATE TRIGGER notices_no_delete BEFORE DELETE ON notices
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no notice is removed'); END;
CREATE TRIGGER heads_no_update BEFORE UPDATE ON heads
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no head is changed'); END;
CREATE TRIGGER heads_no_delete BEFORE DELETE ON heads
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no head is removed'); END;
CREATE TRIGGER tombstones_no_update BEFORE UPDATE ON tombstones
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no tombstone is changed'); END;
CREATE TRIGGER tombstones_no_delete BEFORE DELETE ON tombstones
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no tombstone is removed'); END;
CREATE TRIGGER suppressions_no_update BEFORE UPDATE ON suppressions
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no objection is changed'); END;
CREATE TRIGGER suppressions_no_delete BEFORE DELETE ON suppressions
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no objection is removed'); END;
