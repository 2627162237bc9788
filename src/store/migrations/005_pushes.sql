-- 0: nothing was built for its ref itself; it was told because others depend on its repository, or
-- somebody asked for a build of its commit.
ALTER TABLE pushes ADD COLUMN decided INTEGER NOT NULL DEFAULT 1;
UPDATE pushes SET decided = 0 WHERE asked = 1;

-- Repositories of which refs or a mirror are kept though their pushes no longer matter.
CREATE TABLE unwatched (
    repository TEXT PRIMARY KEY,
    since      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
