-- Event triggers: what was written down up to here does not concern them.
ALTER TABLE triggers ADD COLUMN since BIGINT NOT NULL DEFAULT 0;
-- Webhooks: since when the key has been in force. What it let in since then is remembered as long as it is.
ALTER TABLE triggers ADD COLUMN keyed_at BIGINT;
UPDATE triggers SET keyed_at = created_at WHERE kind = 'webhook';
CREATE INDEX firings_recent ON firings (trigger_id, at);

-- Which mission led to which. A mission that no other led to has no row.
CREATE TABLE chain_links (
    mission TEXT PRIMARY KEY,
    -- Where the chain began.
    root TEXT NOT NULL,
    parent TEXT NOT NULL,
    -- 1 for what a root led to.
    depth BIGINT NOT NULL,
    -- The trigger, or the proposal, that started it.
    started_by TEXT NOT NULL,
    why TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX chain_links_root ON chain_links (root, mission);
CREATE INDEX chain_links_parent ON chain_links (parent, mission);
CREATE INDEX chain_links_started ON chain_links (started_by, at);

-- Missions of playbooks that say what follows: `open` until their end was looked at, then `decided`.
ALTER TABLE mission_inputs ADD COLUMN follows TEXT;
CREATE INDEX mission_inputs_open ON mission_inputs (mission) WHERE follows = 'open';

-- What the system would do next because of how a mission ended.
CREATE TABLE proposals (
    id TEXT PRIMARY KEY,
    parent TEXT NOT NULL,
    -- Which of the follow-ups of the parent's playbook.
    place BIGINT NOT NULL,
    -- The playbook that says so, and in which version.
    said_by TEXT NOT NULL,
    playbook TEXT NOT NULL,
    inputs TEXT NOT NULL,
    why TEXT NOT NULL,
    depth BIGINT NOT NULL,
    -- proposed, started, dismissed, or failed.
    state TEXT NOT NULL,
    -- Why it was not started, or could not be.
    reason TEXT,
    mission TEXT,
    created_at BIGINT NOT NULL,
    decided_at BIGINT,
    -- A person, or nexusmon.
    decided_by TEXT,
    version BIGINT NOT NULL
);
-- An end is looked at once.
CREATE UNIQUE INDEX proposals_once ON proposals (parent, place);
CREATE INDEX proposals_state ON proposals (state, id);
-- What the system began by itself of a day.
CREATE INDEX proposals_chained ON proposals (decided_at) WHERE state = 'started' AND decided_by = 'nexusmon';
CREATE INDEX proposals_mission ON proposals (mission) WHERE mission IS NOT NULL;
