-- Versioned files that were published in folders of this machine, so that those past their
-- retention can be told from what others put there.
CREATE TABLE published_files (
    place     TEXT NOT NULL,
    name      TEXT NOT NULL,
    build     TEXT NOT NULL,
    published INTEGER NOT NULL,
    PRIMARY KEY (place, name)
) STRICT, WITHOUT ROWID;
