-- API keys. The secret itself is shown once, when it is made, and kept nowhere.
CREATE TABLE keys (
    id         TEXT PRIMARY KEY CHECK (length(id) = 26),          -- ULID
    name       TEXT NOT NULL CHECK (length(name) <= 100),         -- for people; may be empty, need not be unique
    hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),    -- SHA-256 of the whole secret
    created_ms INTEGER NOT NULL,                                  -- milliseconds since 1970, UTC
    revoked_ms INTEGER                                            -- the same; NULL: valid
) STRICT;
