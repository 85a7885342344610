-- The first schema. Times are text, UTC, `YYYY-MM-DDTHH:MM:SS.mmmZ`, exactly as the API shows them.
-- `status` is one of created, running, completed, failed, cancelled everywhere; finer truth is in phase and reason.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,   -- 'epoch': raised by every daemon that takes the database over
    value TEXT NOT NULL
) WITHOUT ROWID;

INSERT INTO meta VALUES ('epoch', '0');

CREATE TABLE workflows (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT NOT NULL,
    working_dir  TEXT NOT NULL,
    definition   TEXT NOT NULL,              -- JSON: the workflow as created, without its workers
    revision     INTEGER NOT NULL DEFAULT 1, -- raised by every change of the definition
    status       TEXT NOT NULL DEFAULT 'created',  -- created -> running -> completed | failed | cancelled -> running ...
    base_run     INTEGER NOT NULL DEFAULT 0, -- the latest run of the whole workflow; older ones say nothing about now
    run_count    INTEGER NOT NULL DEFAULT 0,
    created_at   TEXT NOT NULL,
    started_at   TEXT,
    completed_at TEXT,
    deleted_at   TEXT
);

CREATE UNIQUE INDEX workflows_name ON workflows (name) WHERE deleted_at IS NULL;

CREATE TABLE workers (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflows (id),
    name        TEXT NOT NULL,
    working_dir TEXT NOT NULL,               -- absolute
    definition  TEXT NOT NULL,               -- JSON: the worker as created
    since       INTEGER NOT NULL,            -- the workflow's first revision with it
    until       INTEGER,                     -- the first without it, NULL while it is there
    created_at  TEXT NOT NULL,
    deleted_at  TEXT
);

CREATE UNIQUE INDEX workers_name ON workers (workflow_id, name) WHERE deleted_at IS NULL;

CREATE TABLE runs (
    seq          INTEGER PRIMARY KEY,        -- in the order of their starts
    id           TEXT NOT NULL UNIQUE,       -- ULID
    workflow_id  INTEGER NOT NULL REFERENCES workflows (id),
    number       INTEGER NOT NULL,           -- counts within the workflow, from 1
    revision     INTEGER NOT NULL,           -- of the workflow that it runs
    target       TEXT,                       -- the one worker that runs, NULL for all
    status       TEXT NOT NULL,              -- running -> completed | failed | cancelled
    phase        TEXT,                       -- 'stopping' while a stop is under way
    reason       TEXT,
    created_at   TEXT NOT NULL,
    started_at   TEXT,
    completed_at TEXT
);

CREATE INDEX runs_workflow ON runs (workflow_id, seq);
CREATE INDEX runs_open ON runs (seq) WHERE completed_at IS NULL;

-- The state of one worker in one run. Without a row it is 'created': nothing has happened to it yet.
CREATE TABLE run_workers (
    run           INTEGER NOT NULL REFERENCES runs (seq),
    worker_id     INTEGER NOT NULL REFERENCES workers (id),
    status        TEXT NOT NULL,             -- created -> running -> completed | failed | cancelled
    phase         TEXT,                      -- starting, retrying, stopping
    reason        TEXT,
    error_message TEXT,
    attempt_id    TEXT,                      -- the latest
    attempts      INTEGER NOT NULL DEFAULT 0,
    retry_at      TEXT,
    started_at    TEXT,
    completed_at  TEXT,
    PRIMARY KEY (run, worker_id)
) WITHOUT ROWID;

CREATE INDEX run_workers_worker ON run_workers (worker_id, run);

-- Who could have started an attempt: at most once is proven by that launcher's journal, within that boot.
CREATE TABLE launchers (
    id         INTEGER PRIMARY KEY,
    boot_id    TEXT NOT NULL,
    journal_id TEXT NOT NULL,
    UNIQUE (boot_id, journal_id)
);

CREATE TABLE attempts (
    id                TEXT PRIMARY KEY,      -- ULID
    run               INTEGER NOT NULL REFERENCES runs (seq),
    worker_id         INTEGER NOT NULL REFERENCES workers (id),
    number            INTEGER NOT NULL,      -- from 1 within worker and run
    status            TEXT NOT NULL,         -- created (the intent) -> running -> completed | failed | cancelled
    phase             TEXT,                  -- starting, stopping, lost
    reason            TEXT,
    launcher          INTEGER REFERENCES launchers (id),
    pid               INTEGER,
    ticks             INTEGER,               -- start time in clock ticks since boot, as in /proc/PID/stat
    exit_code         INTEGER,
    signal            INTEGER,
    cpu_seconds       REAL,
    peak_memory_bytes INTEGER,
    stdout_to         TEXT,                  -- see workers/files.py
    stop_cause        TEXT,                  -- why it is being stopped: stop, timeout, restart, fail_fast
    outputs           TEXT,                  -- JSON: [{name, path, size_bytes, source}]
    created_at        TEXT NOT NULL,
    started_at        TEXT,
    completed_at      TEXT
) WITHOUT ROWID;

CREATE INDEX attempts_worker ON attempts (worker_id, run, number);
CREATE INDEX attempts_open ON attempts (run) WHERE completed_at IS NULL;

-- The version of a file whose last writer was our own capture of standard output.
CREATE TABLE stdout_outputs (
    path    TEXT PRIMARY KEY,
    version TEXT NOT NULL
) WITHOUT ROWID;

-- Facts in the past tense. Written in the transaction that made them true, never changed.
CREATE TABLE events (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    at          TEXT NOT NULL,
    type        TEXT NOT NULL,               -- one of schemas/events.py
    workflow_id INTEGER NOT NULL,
    run         INTEGER,
    worker_id   INTEGER,
    attempt_id  TEXT,
    data        TEXT                         -- JSON
);
