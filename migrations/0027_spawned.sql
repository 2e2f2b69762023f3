-- Tasks that running tasks add to their missions.
ALTER TABLE tasks ADD COLUMN spawned_by TEXT;

CREATE TABLE spawned (
    task TEXT PRIMARY KEY,
    mission TEXT NOT NULL,
    -- The task's id in the plan.
    key TEXT NOT NULL,
    parent TEXT NOT NULL,
    -- Which attempt of the parent added it: it is wanted only if that one is the last.
    attempt BIGINT NOT NULL,
    agent TEXT NOT NULL,
    -- What that agent signed, as it is shown to whoever runs it.
    signed TEXT NOT NULL,
    at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX spawned_mission ON spawned (mission, key);
CREATE INDEX spawned_parent ON spawned (parent, attempt);
