-- Reports of clusterings, and what was done with them.

-- What does not change. Thumbnails of a collection's faces are not kept here: they are the examples'.
CREATE TABLE reports (
    row        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE CHECK (length(id) = 26),           -- ULID; that of its job, where it had one
    key        TEXT CHECK (length(key) = 26),                          -- keys.id of who asked for it; NULL: no key
    collection INTEGER REFERENCES collections (row) ON DELETE CASCADE, -- whose examples; NULL: photographs that were sent
    basis      TEXT NOT NULL,                                          -- JSON: what later states are made from
    thumbnails TEXT,                                                   -- JSON array, base64 of each face; NULL: none kept
    created_ms INTEGER NOT NULL,                                       -- milliseconds since 1970, UTC
    expires_ms INTEGER NOT NULL                                        -- then it is erased
) STRICT;
CREATE INDEX reports_by_collection ON reports (collection, row);
CREATE INDEX reports_by_expiry ON reports (expires_ms);

-- The ids of examples and identities that a report shows: erasing one erases the report.
CREATE TABLE report_ids (
    id     TEXT NOT NULL,
    report INTEGER NOT NULL REFERENCES reports (row) ON DELETE CASCADE,
    PRIMARY KEY (id, report)
) STRICT, WITHOUT ROWID;
CREATE INDEX report_ids_by_report ON report_ids (report);

-- A report as it was computed (n 0) and after each act on it; taking an act back removes its state.
CREATE TABLE report_states (
    report   INTEGER NOT NULL REFERENCES reports (row) ON DELETE CASCADE,
    n        INTEGER NOT NULL CHECK (n >= 0),
    act      TEXT,                                                     -- JSON: what was done; NULL: computed
    undo     INTEGER REFERENCES undo (row) ON DELETE SET NULL,         -- takes it back; NULL: cannot be taken back (any more)
    labels   BLOB NOT NULL CHECK (length(labels) % 4 = 0),             -- int32 of each face, little-endian: cluster, or -1
    examples BLOB CHECK (length(examples) % 8 = 0),                    -- int64 of each face: examples.row; NULL: photographs
    layout   BLOB CHECK (length(layout) % 8 = 0),                      -- float32 x 2 of each face; NULL: none
    document TEXT,                                                     -- JSON without thumbnails; NULL: as in the state before
    summary  TEXT NOT NULL,                                            -- JSON
    at_ms    INTEGER NOT NULL,
    PRIMARY KEY (report, n)
) STRICT;
CREATE INDEX report_states_by_undo ON report_states (undo) WHERE undo IS NOT NULL;
