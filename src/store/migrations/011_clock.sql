-- How far the wall clock is ahead of the time since the machine's start, which never jumps.
CREATE TABLE clock (
    boot   TEXT    NOT NULL, -- which start of the machine
    offset INTEGER NOT NULL  -- milliseconds
) STRICT;
