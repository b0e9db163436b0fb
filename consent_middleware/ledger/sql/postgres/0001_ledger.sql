CREATE TABLE chains (
    chain bigint PRIMARY KEY,
    started bigint NOT NULL
);

-- position = chain * 2^40 + sequence: the order of the table is the order of the chain, and tells nothing across chains.
CREATE TABLE entries (
    position bigint PRIMARY KEY,
    record bigint,
    revokes smallint NOT NULL,
    body bytea NOT NULL,
    hash bytea NOT NULL
);
CREATE INDEX entries_by_record ON entries (record) WHERE record IS NOT NULL;
CREATE INDEX entries_that_revoke ON entries (position) WHERE revokes = 1;

CREATE TABLE notices (
    hash text PRIMARY KEY,
    language text NOT NULL,
    revision bigint NOT NULL,
    text bytea NOT NULL
);

CREATE TABLE heads (
    number bigint PRIMARY KEY,
    at bigint NOT NULL,
    head bytea NOT NULL
);

CREATE TABLE tombstones (
    chain bigint NOT NULL,
    size bigint NOT NULL,
    tombstone bytea NOT NULL,
    PRIMARY KEY (chain, size)
);

CREATE TABLE suppressions (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    address bytea NOT NULL,
    purpose text NOT NULL,
    objected smallint NOT NULL,
    at bigint NOT NULL
);
CREATE INDEX suppressions_by_address ON suppressions (address);

CREATE TABLE counts (
    day text NOT NULL,
    what text NOT NULL,
    language text NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (day, what, language)
);

-- Erasures of withdrawals that the spool could not take yet; a background job sends them again.
CREATE TABLE owed_erasures (
    visitor text NOT NULL,
    ticket text PRIMARY KEY
);

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: % of % is refused', TG_OP, TG_TABLE_NAME;
END $$;

CREATE FUNCTION refuse_unless_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM consent_ledger.tombstones
        WHERE chain = OLD.position >> 40 AND size > (OLD.position & 1099511627775)
    ) THEN
        RAISE EXCEPTION 'the ledger is append-only: entries end under a tombstone only';
    END IF;
    RETURN OLD;
END $$;

CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries FOR EACH ROW EXECUTE FUNCTION refuse_unless_ended();
CREATE TRIGGER entries_no_truncate BEFORE TRUNCATE ON entries EXECUTE FUNCTION refuse();
CREATE TRIGGER notices_no_change BEFORE UPDATE OR DELETE ON notices FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER notices_no_truncate BEFORE TRUNCATE ON notices EXECUTE FUNCTION refuse();
CREATE TRIGGER heads_no_change BEFORE UPDATE OR DELETE ON heads FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER heads_no_truncate BEFORE TRUNCATE ON heads EXECUTE FUNCTION refuse();
CREATE TRIGGER tombstones_no_change BEFORE UPDATE OR DELETE ON tombstones FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER tombstones_no_truncate BEFORE TRUNCATE ON tombstones EXECUTE FUNCTION refuse();
CREATE TRIGGER suppressions_no_change BEFORE UPDATE OR DELETE ON suppressions FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER suppressions_no_truncate BEFORE TRUNCATE ON suppressions EXECUTE FUNCTION refuse();
