-- How long attempts took that succeeded: how many, and their milliseconds together. Both are halved now and then, so that
-- what was long ago counts for less.
ALTER TABLE trust_counts ADD COLUMN timed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE trust_counts ADD COLUMN duration_ms_sum BIGINT NOT NULL DEFAULT 0;
