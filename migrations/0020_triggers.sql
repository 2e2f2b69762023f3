-- What starts work by itself. One table for every kind: what differs lies in `rule` (when) and `work` (what), as JSON.
CREATE TABLE triggers (
    id TEXT PRIMARY KEY,
    -- schedule, or webhook.
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    -- active, or paused.
    state TEXT NOT NULL,
    -- Why the system paused it; absent where a person did.
    reason TEXT,
    rule TEXT NOT NULL,
    -- A mission's body, with the values of a firing left open.
    work TEXT NOT NULL,
    -- In whose name its missions are made.
    owner TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    -- Schedules: every due time up to here is decided.
    decided_through BIGINT NOT NULL,
    -- When the next step is due; absent where nothing is.
    next_at BIGINT,
    last_mission TEXT,
    -- Webhooks: the key of the signatures, sealed.
    sealed TEXT,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX triggers_name ON triggers (kind, name);
CREATE INDEX triggers_due ON triggers (next_at) WHERE next_at IS NOT NULL;

-- Once that a trigger was due, and what came of it; commits with its mission.
CREATE TABLE firings (
    id TEXT PRIMARY KEY,
    trigger_id TEXT NOT NULL,
    -- What it fires for: the due time, or the delivery.
    occasion TEXT NOT NULL,
    -- fired, skipped, or failed.
    result TEXT NOT NULL,
    reason TEXT,
    due BIGINT,
    mission TEXT,
    at BIGINT NOT NULL
);
-- Never twice for one occasion.
CREATE UNIQUE INDEX firings_occasion ON firings (trigger_id, occasion);
CREATE INDEX firings_newest ON firings (trigger_id, id);
CREATE INDEX firings_mission ON firings (mission) WHERE mission IS NOT NULL;
CREATE INDEX firings_old ON firings (at);
