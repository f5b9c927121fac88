-- Who may do what, what was done, and answers that a client may ask for again.

-- What the database alone knows, made with it.
CREATE TABLE secrets (
    name  TEXT PRIMARY KEY,                                            -- cursor: signs the cursors of pages
    value BLOB NOT NULL CHECK (length(value) = 32)
) STRICT;
INSERT INTO secrets (name, value) VALUES ('cursor', randomblob(32));

-- Keys that were made before they could be limited may do everything, as before.
ALTER TABLE keys ADD COLUMN access INTEGER NOT NULL DEFAULT 3 CHECK (access IN (1, 2, 3)); -- read, write, admin
ALTER TABLE keys ADD COLUMN collection TEXT CHECK (length(collection) = 26); -- collections.id; NULL: all, and what is not of one
ALTER TABLE keys ADD COLUMN expires_ms INTEGER;                        -- milliseconds since 1970, UTC; NULL: never
ALTER TABLE keys ADD COLUMN rate INTEGER NOT NULL DEFAULT 0 CHECK (rate >= 0); -- requests a minute; 0: as many as it likes

-- Every change that was made, in order and without gaps. Ids only: no names, pictures, vectors or secrets, so that
-- erasing somebody leaves it whole. audit.c says what hash is of.
CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,                      -- 1, 2, ...
    at_ms      INTEGER NOT NULL,                                       -- milliseconds since 1970, UTC
    who        TEXT NOT NULL,                                          -- keys.id, or local: without a key
    action     TEXT NOT NULL,                                          -- identity.create, key.revoke, ...
    collection TEXT NOT NULL,                                          -- collections.id; empty: none
    target     TEXT NOT NULL,                                          -- id of what was changed; empty: none
    request    TEXT NOT NULL,                                          -- the request's id; empty: the command line
    hash       BLOB NOT NULL CHECK (length(hash) = 32)                 -- SHA-256 of the hash before and of this row
) STRICT;

-- Answers to requests with an Idempotency-Key, for 24 hours.
CREATE TABLE answers (
    row        INTEGER PRIMARY KEY,
    who        TEXT NOT NULL,                                          -- as in audit
    key        TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 200),    -- what the client chose
    request    BLOB NOT NULL CHECK (length(request) = 32),             -- SHA-256 of method, path, query and body
    collection TEXT NOT NULL,                                          -- as in audit
    status     INTEGER NOT NULL,                                       -- 200 to 299
    body       BLOB,                                                   -- JSON; NULL: no body (204), or erased
    etag       TEXT NOT NULL,                                          -- with its quotes; empty: none
    erased     INTEGER NOT NULL DEFAULT 0 CHECK (erased IN (0, 1)),    -- what it told of has been erased since
    created_ms INTEGER NOT NULL,
    UNIQUE (who, key)
) STRICT;
CREATE INDEX answers_by_age ON answers (created_ms);
-- The ids in an answer's body, to find what is to be erased from it.
CREATE TABLE answer_ids (
    id     TEXT NOT NULL,
    answer INTEGER NOT NULL REFERENCES answers (row) ON DELETE CASCADE,
    PRIMARY KEY (id, answer)
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_ids_by_answer ON answer_ids (answer);
