-- Kernels of several repositories share stable names, and only commits of one repository can be
-- compared with each other.
ALTER TABLE publications ADD COLUMN repository TEXT;
ALTER TABLE publications ADD COLUMN ref TEXT;
UPDATE publications SET
    repository = (SELECT repository FROM builds WHERE id = publications.build),
    ref = (SELECT ref FROM builds WHERE id = publications.build);

-- What an incremental kernel was built upon: JSON of its image, the branch and commit that made it,
-- and why it was chosen.
ALTER TABLE builds ADD COLUMN base TEXT;

-- The build that makes the base which this one waits for.
ALTER TABLE builds ADD COLUMN waits_for TEXT;
