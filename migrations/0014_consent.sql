-- Who may approve, as the owner signed it: every agent verifies each against the one before.
CREATE TABLE rosters (
    digest TEXT PRIMARY KEY,
    number BIGINT NOT NULL,
    -- SignedRoster, canonical JSON (RFC 8785).
    signed TEXT NOT NULL,
    -- Later than `at` where the recovery key signed it.
    in_force_at BIGINT NOT NULL,
    posted_by TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX rosters_number ON rosters (number, at);

-- When the first of the signatures it rests on ends.
ALTER TABLE approvals ADD COLUMN valid_until BIGINT;
CREATE INDEX approvals_lapsing ON approvals (valid_until) WHERE state = 'approved' AND valid_until IS NOT NULL;
