-- Times are milliseconds since the epoch, UTC. JSON columns hold values of the domain's types.

-- One row each: the id of this data directory, and the number of the newest change.
CREATE TABLE instance (
    id       TEXT NOT NULL,
    revision INTEGER NOT NULL
) STRICT;

CREATE TABLE pushes (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL,
    ref        TEXT NOT NULL,
    before_sha TEXT NOT NULL,             -- empty: the ref was created
    after_sha  TEXT NOT NULL,
    forced     INTEGER NOT NULL,
    heard      INTEGER NOT NULL,          -- when
    asked      INTEGER NOT NULL           -- 1: a person asked for this commit; it says nothing about the ref
) STRICT;
CREATE INDEX pushes_by_move ON pushes (repository, ref, before_sha, after_sha);

-- A delivery that is seen again is answered from here.
CREATE TABLE deliveries (
    id    TEXT PRIMARY KEY,
    push  INTEGER NOT NULL REFERENCES pushes (sequence) ON DELETE CASCADE,
    heard INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_by_push ON deliveries (push);

-- Where each ref stood when it was last heard of.
CREATE TABLE heads (
    repository TEXT NOT NULL,
    ref        TEXT NOT NULL,
    sha        TEXT NOT NULL,
    push       INTEGER,                   -- null: only seen, not built
    PRIMARY KEY (repository, ref)
) STRICT, WITHOUT ROWID;

CREATE TABLE builds (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    revision   INTEGER NOT NULL,
    push       INTEGER NOT NULL REFERENCES pushes (sequence),
    repository TEXT NOT NULL,
    ref        TEXT NOT NULL,
    branch     TEXT NOT NULL,             -- ref without refs/heads/ or refs/tags/
    sha        TEXT NOT NULL,
    script     TEXT NOT NULL,
    tag        TEXT NOT NULL,             -- empty: none
    kind       TEXT NOT NULL,
    recipe     TEXT NOT NULL,             -- JSON
    cause      TEXT NOT NULL,             -- JSON
    commits    TEXT NOT NULL,             -- JSON
    state      TEXT NOT NULL,
    reason     TEXT,
    queued     INTEGER NOT NULL,
    started    INTEGER,
    ended      INTEGER,
    attempt    INTEGER NOT NULL,
    exit_code  INTEGER,
    image      TEXT,
    container  TEXT,
    log_bytes  INTEGER NOT NULL DEFAULT 0,
    log_lines  INTEGER NOT NULL DEFAULT 0,
    tail       TEXT NOT NULL DEFAULT '[]' -- JSON: the last lines of the log
) STRICT;
CREATE INDEX builds_by_revision ON builds (revision);
CREATE INDEX builds_by_branch ON builds (repository, branch, sequence);
CREATE INDEX builds_by_state ON builds (state, sequence);
CREATE INDEX builds_by_push ON builds (push);
CREATE INDEX builds_unfinished ON builds (repository, sequence) WHERE ended IS NULL;

-- One row for each stay of a build in a state that is not an end.
CREATE TABLE steps (
    build   INTEGER NOT NULL REFERENCES builds (sequence) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    state   TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    started INTEGER NOT NULL,
    ended   INTEGER,
    line    INTEGER NOT NULL,             -- of the log, from 1
    PRIMARY KEY (build, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifacts (
    build  INTEGER NOT NULL REFERENCES builds (sequence) ON DELETE CASCADE,
    name   TEXT NOT NULL,
    size   INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (build, name)
) STRICT, WITHOUT ROWID;

-- Which build a stable name points to.
CREATE TABLE publications (
    place  TEXT NOT NULL,                 -- binaries, …
    name   TEXT NOT NULL,
    build  TEXT NOT NULL,
    push   INTEGER NOT NULL,
    sha    TEXT NOT NULL,
    moved  INTEGER NOT NULL,
    PRIMARY KEY (place, name)
) STRICT, WITHOUT ROWID;

-- The newest status of each context of a commit, and whether it was reported.
CREATE TABLE outbox (
    repository  TEXT NOT NULL,
    sha         TEXT NOT NULL,
    context     TEXT NOT NULL,
    build       TEXT NOT NULL,
    sequence    INTEGER NOT NULL,         -- of the build: a newer build's status is never replaced by an older one's
    state       TEXT NOT NULL,            -- pending, success, failure, error
    description TEXT NOT NULL,
    written     INTEGER NOT NULL,
    reported    INTEGER,                  -- when; null: waits
    PRIMARY KEY (repository, sha, context)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_waiting ON outbox (written) WHERE reported IS NULL;

-- The last good text of each file of the configuration: a broken one changes nothing.
CREATE TABLE configuration_files (
    path   TEXT PRIMARY KEY,
    text   TEXT NOT NULL,
    loaded INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
