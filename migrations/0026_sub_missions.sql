-- Tasks that are missions of their own: what their parents wait for.
CREATE TABLE sub_missions (
    task TEXT PRIMARY KEY,
    parent TEXT NOT NULL,
    -- Absent until it is begun.
    mission TEXT,
    -- 1 beneath a mission that nobody started but a person, a token or a trigger.
    depth BIGINT NOT NULL,
    -- Paused along with its parent, and to go on with it.
    paused BOOLEAN NOT NULL,
    at BIGINT NOT NULL,
    -- Of its parent's budget: what it was given while it goes on. Of tasks, what it took once it is settled; the rest is
    -- then in its parent's own counters.
    tasks BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    artifact_bytes BIGINT NOT NULL,
    log_bytes BIGINT NOT NULL,
    -- When its end became the task's, or there was nothing left to wait for.
    settled_at BIGINT
) WITHOUT ROWID;
CREATE UNIQUE INDEX sub_missions_mission ON sub_missions (mission) WHERE mission IS NOT NULL;
CREATE INDEX sub_missions_parent ON sub_missions (parent);
CREATE INDEX sub_missions_open ON sub_missions (task) WHERE settled_at IS NULL;
CREATE INDEX sub_missions_waiting ON sub_missions (task) WHERE settled_at IS NULL AND mission IS NULL;
-- Whose turn may still come, and for whom something is left.
CREATE INDEX tasks_sub_missions ON tasks (mission) WHERE uses = 'core.mission' AND parent IS NULL;
