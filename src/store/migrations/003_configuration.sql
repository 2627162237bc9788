-- At most one row: where the files in configuration_files come from, and what their load said of each
-- file. Written together with them.
CREATE TABLE configuration (
    report TEXT NOT NULL                  -- JSON
) STRICT;
