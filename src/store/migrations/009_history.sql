-- For those who look at what ran: a repository's builds, the builds of one script and tag of a ref,
-- and how long those took that succeeded.
CREATE INDEX builds_by_repository ON builds (repository, sequence);
CREATE INDEX builds_by_lane ON builds (repository, ref, script, tag, sequence);
CREATE INDEX builds_succeeded_by_lane ON builds (repository, script, tag, ref, sequence, started, ended)
    WHERE state = 'succeeded';
CREATE INDEX builds_succeeded_by_script ON builds (repository, script, tag, sequence, started, ended)
    WHERE state = 'succeeded';
