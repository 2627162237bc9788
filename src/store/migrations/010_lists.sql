-- What lists are filtered by, in their order: a build's row itself is some KiB long, and reading
-- 100,000 of them to find none takes a second.
CREATE INDEX builds_listed ON builds (sequence, state, repository, branch, script, tag);

-- What is found by text, in lower case.
CREATE TABLE build_texts (
    build INTEGER PRIMARY KEY REFERENCES builds (sequence) ON DELETE CASCADE,
    text  TEXT NOT NULL
) STRICT;
CREATE TRIGGER builds_have_texts AFTER INSERT ON builds BEGIN
    INSERT INTO build_texts (build, text) VALUES (NEW.sequence, lower(
        NEW.repository || ' ' || NEW.branch || ' ' || NEW.script || ' ' || NEW.tag || ' ' || NEW.sha || ' '
        || (SELECT coalesce(group_concat((value ->> 'id') || ' ' || (value ->> 'author') || ' '
            || (value ->> 'message'), ' '), '') FROM json_each(NEW.commits))));
END;
INSERT INTO build_texts (build, text) SELECT sequence, lower(
    repository || ' ' || branch || ' ' || script || ' ' || tag || ' ' || sha || ' '
    || (SELECT coalesce(group_concat((value ->> 'id') || ' ' || (value ->> 'author') || ' '
        || (value ->> 'message'), ' '), '') FROM json_each(commits))) FROM builds ORDER BY sequence;
