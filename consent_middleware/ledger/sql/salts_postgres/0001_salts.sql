-- The salt of a day, for all hosts. Unlogged: a salt never reaches the write-ahead log, a replica or a base backup. After
-- a crash of the server the table is empty, and the rest of the day has another salt.
CREATE UNLOGGED TABLE salts (
    day bigint PRIMARY KEY,
    salt bytea NOT NULL
);
