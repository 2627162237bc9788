-- Repositories that share a stable name have a row each: push order and ancestry are compared with
-- what the build's own repository published. The name points to the row that moved last. No
-- repository, '': of a build that was forgotten before repositories were kept.
CREATE TABLE publications_by_repository (
    place      TEXT NOT NULL,
    name       TEXT NOT NULL,
    repository TEXT NOT NULL,
    build      TEXT NOT NULL,
    ref        TEXT,
    push       INTEGER NOT NULL,
    sha        TEXT NOT NULL,
    moved      INTEGER NOT NULL,
    PRIMARY KEY (place, name, repository)
) STRICT, WITHOUT ROWID;
INSERT INTO publications_by_repository (place, name, repository, build, ref, push, sha, moved)
    SELECT place, name, coalesce(repository, ''), build, ref, push, sha, moved FROM publications;
DROP TABLE publications;
ALTER TABLE publications_by_repository RENAME TO publications;
