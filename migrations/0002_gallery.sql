-- The gallery: collections of people (identities) and the photographs' embeddings they are known by (examples).
-- Rows that clients name have a ULID beside SQLite's own number: numbers are for joins and for the search index, and
-- are never reused (AUTOINCREMENT), so that "the same number" always means the same thing.

-- A gallery of one embedder. seq counts its changes; every row of changes has one, and search indexes follow by it.
CREATE TABLE collections (
    row         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE CHECK (length(id) = 26),          -- ULID
    name        TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    model       TEXT NOT NULL,                                         -- the embedder's name
    recipe      TEXT NOT NULL CHECK (length(recipe) = 64),             -- what its embeddings are comparable within
    dim         INTEGER NOT NULL CHECK (dim BETWEEN 1 AND 65536),      -- floats of an embedding
    rule        TEXT NOT NULL CHECK (rule IN ('max', 'mean_top', 'centroid')), -- an identity's score from its examples'
    rule_top    INTEGER NOT NULL CHECK (rule_top BETWEEN 1 AND 100),   -- examples that mean_top takes
    min_quality REAL NOT NULL CHECK (min_quality BETWEEN 0 AND 1),     -- enrolment asks for this much
    thumbnails  INTEGER NOT NULL CHECK (thumbnails IN (0, 1)),         -- keeps a picture of each face
    photos      INTEGER NOT NULL CHECK (photos IN (0, 1)),             -- keeps the photographs: another model can then be used
    ttl_days    INTEGER NOT NULL CHECK (ttl_days >= 0),                -- examples older than this are erased; 0: never
    calibration TEXT,                                                  -- JSON, measured on its own examples; NULL: the model's
    metadata    TEXT NOT NULL CHECK (length(CAST(metadata AS BLOB)) <= 16384), -- JSON object
    seq         INTEGER NOT NULL DEFAULT 0,
    created_ms  INTEGER NOT NULL,                                      -- milliseconds since 1970, UTC
    updated_ms  INTEGER NOT NULL
) STRICT;

CREATE TABLE identities (
    row         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE CHECK (length(id) = 26),          -- ULID
    collection  INTEGER NOT NULL REFERENCES collections (row) ON DELETE CASCADE,
    name        TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),  -- need not be unique
    external_id TEXT CHECK (length(external_id) BETWEEN 1 AND 200),    -- the client's own number; NULL: none
    metadata    TEXT NOT NULL CHECK (length(CAST(metadata AS BLOB)) <= 16384), -- JSON object
    version     INTEGER NOT NULL DEFAULT 1,                            -- grows with every change: the ETag
    created_ms  INTEGER NOT NULL,
    updated_ms  INTEGER NOT NULL,
    UNIQUE (collection, external_id)
) STRICT;
CREATE INDEX identities_by_collection ON identities (collection, row);

CREATE TABLE identity_tags (
    identity INTEGER NOT NULL REFERENCES identities (row) ON DELETE CASCADE,
    tag      TEXT NOT NULL CHECK (length(tag) BETWEEN 1 AND 64),
    PRIMARY KEY (identity, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_by_tag ON identity_tags (tag, identity);

-- One face of one photograph, or an embedding that a client sent.
CREATE TABLE examples (
    row        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE CHECK (length(id) = 26),           -- ULID
    collection INTEGER NOT NULL REFERENCES collections (row) ON DELETE CASCADE,
    identity   INTEGER REFERENCES identities (row),                    -- NULL: nobody's yet
    embedding  BLOB NOT NULL CHECK (length(embedding) % 4 = 0),        -- float32, little-endian, unit length, dim of them
    precision  TEXT NOT NULL,                                          -- what computed it: f32, bf16; sent: by a client
    box        BLOB CHECK (length(box) = 16),                          -- float32 x 4: x, y, w, h in pixels; NULL: was sent
    points     BLOB CHECK (length(points) = 40),                       -- float32 x 10: five landmarks
    quality    REAL,                                                   -- 0 to 1
    source     BLOB CHECK (length(source) = 32),                       -- SHA-256 of the photograph
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX examples_by_collection ON examples (collection, row);
CREATE INDEX examples_by_identity ON examples (identity, row);
CREATE INDEX examples_by_source ON examples (collection, source);
CREATE INDEX examples_of_nobody ON examples (collection, row) WHERE identity IS NULL;
CREATE INDEX examples_by_age ON examples (collection, created_ms);

-- Apart from the examples, so that reading every embedding does not read every picture.
CREATE TABLE example_pictures (
    example   INTEGER PRIMARY KEY REFERENCES examples (row) ON DELETE CASCADE,
    thumbnail BLOB,                                                    -- JPEG of the face
    photo     BLOB                                                     -- the photograph as it was sent
) STRICT;

-- What search indexes follow: example `example` of collection `collection` was added, moved to another identity or
-- removed (op 1, 2, 3). Old rows are dropped; an index that is further behind reads everything again.
CREATE TABLE changes (
    collection INTEGER NOT NULL REFERENCES collections (row) ON DELETE CASCADE,
    seq        INTEGER NOT NULL,
    op         INTEGER NOT NULL CHECK (op IN (1, 2, 3)),
    example    INTEGER NOT NULL,                                       -- examples.row, which may be gone
    PRIMARY KEY (collection, seq)
) STRICT, WITHOUT ROWID;

-- Changes that can be taken back, each with its steps: examples that went from one identity to another, identities that
-- were made for it and those that went because they were left empty. No vector and no picture is kept here.
CREATE TABLE undo (
    row        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE CHECK (length(id) = 26),
    collection INTEGER NOT NULL REFERENCES collections (row) ON DELETE CASCADE,
    what       TEXT NOT NULL CHECK (length(what) BETWEEN 1 AND 31),    -- move, merge, ...
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX undo_by_collection ON undo (collection, row);

-- Rows named here may be gone: a step whose example or identity is erased goes with its whole change.
CREATE TABLE undo_steps (
    undo          INTEGER NOT NULL REFERENCES undo (row) ON DELETE CASCADE,
    n             INTEGER NOT NULL,                                    -- 1, 2, ...: taken back from the last to the first
    op            INTEGER NOT NULL CHECK (op IN (1, 2, 3)),            -- example moved, identity made, identity retired
    example       INTEGER,                                             -- moved: examples.row
    from_identity INTEGER,                                             -- moved: NULL: from nobody
    identity      INTEGER,                                             -- moved: to whom, NULL: nobody; or made, or retired
    version       INTEGER,                                             -- made: of the identity when the change was complete
    PRIMARY KEY (undo, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX undo_steps_by_example ON undo_steps (example) WHERE example IS NOT NULL;
CREATE INDEX undo_steps_by_identity ON undo_steps (identity) WHERE identity IS NOT NULL;
CREATE INDEX undo_steps_by_from ON undo_steps (from_identity) WHERE from_identity IS NOT NULL;

-- Identities that can come back: what they were when they went.
CREATE TABLE retired (
    row         INTEGER PRIMARY KEY,                                   -- identities.row, then and when it comes back
    undo        INTEGER NOT NULL REFERENCES undo (row) ON DELETE CASCADE,
    id          TEXT NOT NULL,
    name        TEXT NOT NULL,
    external_id TEXT,
    metadata    TEXT NOT NULL,
    tags        TEXT NOT NULL,                                         -- JSON array of strings
    version     INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX retired_by_undo ON retired (undo);
