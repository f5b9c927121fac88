-- Jobs: work that takes long, done one at a time, whose result is fetched later. What was uploaded for a job and its
-- result are files, in jobs/ID/ of the data folder; a folder without its row here is removed.
CREATE TABLE jobs (
    row           INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE CHECK (length(id) = 26),         -- ULID; the folder's name
    kind          TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 32),  -- cluster, reembed
    state         TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled', 'interrupted')),
    attempts      INTEGER NOT NULL DEFAULT 0,                           -- how often it was started
    cancel        INTEGER NOT NULL DEFAULT 0 CHECK (cancel IN (0, 1)),  -- somebody asked for its end while it ran
    phase         TEXT NOT NULL DEFAULT '' CHECK (length(phase) <= 64), -- what it is at
    done          INTEGER NOT NULL DEFAULT 0,                           -- of this phase; what is counted is the kind's
    total         INTEGER NOT NULL DEFAULT 0,                           -- 0: not known
    parameters    TEXT NOT NULL CHECK (length(CAST(parameters AS BLOB)) <= 65536), -- JSON object
    key           TEXT CHECK (length(key) = 26),                        -- keys.id of who asked for it; NULL: no key
    collection    INTEGER REFERENCES collections (row) ON DELETE CASCADE, -- whose examples go into it; NULL: none
    created_ms    INTEGER NOT NULL,                                     -- milliseconds since 1970, UTC
    started_ms    INTEGER,                                              -- the last time
    finished_ms   INTEGER,
    expires_ms    INTEGER,                                              -- then row and files go; NULL: not finished
    result_type   TEXT CHECK (length(result_type) BETWEEN 1 AND 64),    -- Content-Type of jobs/ID/result; NULL: none
    result_bytes  INTEGER,
    error_code    TEXT,                                                 -- as in an answer's error; NULL: none
    error_message TEXT
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, row);
CREATE INDEX jobs_by_key ON jobs (key, id);
CREATE INDEX jobs_by_collection ON jobs (collection, row);
CREATE INDEX jobs_by_expiry ON jobs (expires_ms);

-- What was sent with it: jobs/ID/upload.N
CREATE TABLE job_uploads (
    job   INTEGER NOT NULL REFERENCES jobs (row) ON DELETE CASCADE,
    n     INTEGER NOT NULL,                                             -- 0, 1, ...
    name  TEXT NOT NULL,                                                -- the client's; never a path here
    bytes INTEGER NOT NULL,
    PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;
