-- The push that caused a build: its own, or that of a repository it depends on. Null where a person
-- asked for it.
ALTER TABLE builds ADD COLUMN told_by INTEGER;
UPDATE builds SET told_by = push WHERE cause LIKE '{"type":"push"%' OR cause LIKE '{"type":"reconcile"%';
CREATE INDEX builds_by_told_by ON builds (told_by);

-- How far the delivery of a status has come.
ALTER TABLE outbox ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN not_before INTEGER NOT NULL DEFAULT 0; -- when to try again
ALTER TABLE outbox ADD COLUMN problem TEXT;                          -- why the last try failed
ALTER TABLE outbox ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;   -- 1: no try can help
ALTER TABLE outbox ADD COLUMN corrected INTEGER NOT NULL DEFAULT 0;  -- when GitHub last showed something else

-- Context '' is the verdict of all scripts of a commit together. It waits for ever where it has no
-- name on GitHub (`github.legacy_context`), so it is kept out of the way of the others.
DROP INDEX outbox_waiting;
CREATE INDEX outbox_waiting ON outbox (written) WHERE reported IS NULL AND given_up = 0 AND context != '';
CREATE INDEX outbox_combined ON outbox (written) WHERE reported IS NULL AND given_up = 0 AND context = '';
CREATE INDEX outbox_by_written ON outbox (written);
CREATE INDEX outbox_by_build ON outbox (build);

-- The webhooks that carry our secret. GitHub never shows a secret, so what was set is remembered as
-- a keyed digest.
CREATE TABLE hooks (
    repository TEXT NOT NULL,
    id         INTEGER NOT NULL,
    digest     TEXT NOT NULL,
    PRIMARY KEY (repository, id)
) STRICT, WITHOUT ROWID;

-- Whether `first_sight` was asked about a head. 0: it was seen while nothing was built for its ref.
ALTER TABLE heads ADD COLUMN decided INTEGER NOT NULL DEFAULT 1;

-- Repositories of which all refs have been seen: a ref without a head is new.
CREATE TABLE seen_repositories (
    repository TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
INSERT INTO seen_repositories SELECT DISTINCT repository FROM heads;

-- 1: it was told when its ref was known to stand elsewhere than where it begins.
ALTER TABLE pushes ADD COLUMN out_of_order INTEGER NOT NULL DEFAULT 0;
