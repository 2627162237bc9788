-- 1: GitHub took some state of this context, or may have (its answer was lost). So it may show
-- `pending`.
ALTER TABLE outbox ADD COLUMN shown INTEGER NOT NULL DEFAULT 0;
UPDATE outbox SET shown = 1 WHERE reported IS NOT NULL OR (context != '' AND state != 'pending');
CREATE INDEX outbox_combined_shown ON outbox (written)
    WHERE reported IS NULL AND given_up = 0 AND context = '' AND shown = 1;
