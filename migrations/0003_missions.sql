-- No foreign keys in this file: these are the hot tables, every row of which is written by one unit of work that
-- knows its mission; a check per inserted task would cost more than the insert.

CREATE TABLE missions (
    id TEXT PRIMARY KEY,
    goal TEXT NOT NULL,
    status TEXT NOT NULL,
    state TEXT NOT NULL,
    rank BIGINT NOT NULL,
    requested_rank BIGINT,
    priority BIGINT NOT NULL,
    labels TEXT NOT NULL,
    metadata TEXT NOT NULL,
    origin TEXT NOT NULL,
    author TEXT NOT NULL,
    created_by TEXT NOT NULL,
    start TEXT NOT NULL,
    plan_revision BIGINT NOT NULL,
    plan_digest TEXT,
    shape TEXT,
    tasks_total BIGINT NOT NULL,
    tasks_open BIGINT NOT NULL,
    tasks_succeeded BIGINT NOT NULL,
    tasks_failed BIGINT NOT NULL,
    tasks_skipped BIGINT NOT NULL,
    tasks_cancelled BIGINT NOT NULL,
    tasks_leased BIGINT NOT NULL,
    attempts_used BIGINT NOT NULL,
    artifact_bytes BIGINT NOT NULL,
    log_bytes BIGINT NOT NULL,
    -- Fair queueing: the newest tag given to a task of this mission.
    last_tag BIGINT NOT NULL,
    budget TEXT NOT NULL,
    deadline BIGINT,
    start_at BIGINT,
    decide_by BIGINT,
    rerun_of TEXT,
    traceparent TEXT,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    xp_awarded BIGINT,
    version BIGINT NOT NULL
);
CREATE INDEX missions_status ON missions (status, id);
CREATE INDEX missions_rank ON missions (rank, id);
CREATE INDEX missions_deadline ON missions (deadline) WHERE deadline IS NOT NULL AND finished_at IS NULL;
CREATE INDEX missions_start ON missions (start_at) WHERE start_at IS NOT NULL AND started_at IS NULL AND finished_at IS NULL;
CREATE INDEX missions_decide ON missions (decide_by) WHERE decide_by IS NOT NULL;
CREATE INDEX missions_rerun ON missions (rerun_of) WHERE rerun_of IS NOT NULL;
CREATE INDEX missions_to_judge ON missions (id) WHERE status = 'succeeded' AND xp_awarded IS NULL;

CREATE TABLE mission_labels (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    mission TEXT NOT NULL,
    PRIMARY KEY (key, value, mission)
) WITHOUT ROWID;

CREATE TABLE plans (
    mission TEXT NOT NULL,
    revision BIGINT NOT NULL,
    digest TEXT NOT NULL,
    tasks_root TEXT NOT NULL,
    header TEXT NOT NULL,
    size BIGINT NOT NULL,
    author TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (mission, revision)
) WITHOUT ROWID;

-- Demand classes: what the scheduler matches instead of tasks. The key is canonical JSON.
CREATE TABLE classes (
    id BIGSERIAL PRIMARY KEY,
    key TEXT NOT NULL
);
CREATE UNIQUE INDEX classes_key ON classes (key);

-- The state is flat, and the lease is on the row: one attempt lives at a time.
CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    mission TEXT NOT NULL,
    leaf_index BIGINT NOT NULL,
    item_index BIGINT,
    parent TEXT,
    key TEXT NOT NULL,
    uses TEXT NOT NULL,
    rank BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    idempotent BOOLEAN NOT NULL,
    -- Canonical leaf; a for_each child reads its parent's.
    spec TEXT,
    item TEXT,
    dependents BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    -- The mission is paused, cancelling or not approved: not to be granted.
    held BOOLEAN NOT NULL,
    class BIGINT,
    tag BIGINT NOT NULL,
    needs_open BIGINT NOT NULL,
    children_open BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    retries BIGINT NOT NULL,
    fence_epoch BIGINT NOT NULL,
    fence_number BIGINT NOT NULL,
    agent TEXT,
    session BIGINT,
    offline_until BIGINT,
    not_before BIGINT,
    -- Of the state: since when running or uncertain.
    since BIGINT,
    ready_at BIGINT,
    granted_at BIGINT,
    started_at BIGINT,
    finished_at BIGINT,
    cause TEXT,
    outputs TEXT,
    skip_reason TEXT,
    effect_unknown BOOLEAN NOT NULL,
    params TEXT,
    inputs TEXT,
    limits TEXT,
    log_bytes BIGINT NOT NULL
);
CREATE INDEX tasks_claim ON tasks (class, priority DESC, tag, id) WHERE state = 'ready' AND NOT held;
CREATE INDEX tasks_due ON tasks (not_before) WHERE state = 'backoff';
CREATE INDEX tasks_leases ON tasks (agent, id) WHERE state IN ('leased', 'running');
CREATE UNIQUE INDEX tasks_place ON tasks (mission, leaf_index, COALESCE(item_index, -1));
CREATE INDEX tasks_items ON tasks (parent, item_index) WHERE parent IS NOT NULL;
CREATE INDEX tasks_attention ON tasks (state, id) WHERE state IN ('uncertain', 'gated');

-- By place in the plan, which is a third of what ids would take. `needed`: the target waits for the source; otherwise
-- it only reads from it (an ancestor named in an expression or an input).
CREATE TABLE task_edges (
    mission TEXT NOT NULL,
    from_leaf BIGINT NOT NULL,
    to_leaf BIGINT NOT NULL,
    needed BOOLEAN NOT NULL,
    PRIMARY KEY (mission, from_leaf, to_leaf)
) WITHOUT ROWID;
-- Covering, so that SQLite takes it rather than reading the mission's edges.
CREATE INDEX task_edges_sources ON task_edges (mission, to_leaf, from_leaf, needed);

-- Ended attempts that are not the task's last one.
CREATE TABLE attempts (
    task TEXT NOT NULL,
    fence_epoch BIGINT NOT NULL,
    fence_number BIGINT NOT NULL,
    mission TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    agent TEXT NOT NULL,
    session BIGINT NOT NULL,
    ending TEXT NOT NULL,
    cause TEXT,
    granted_at BIGINT,
    started_at BIGINT,
    finished_at BIGINT NOT NULL,
    log_bytes BIGINT NOT NULL,
    PRIMARY KEY (task, fence_epoch, fence_number)
) WITHOUT ROWID;

-- Keys are locked here, in key order, before leases under them are counted.
CREATE TABLE limit_keys (
    key TEXT PRIMARY KEY
);

CREATE TABLE live_limits (
    key TEXT NOT NULL,
    task TEXT NOT NULL,
    maximum BIGINT NOT NULL,
    PRIMARY KEY (key, task)
) WITHOUT ROWID;
CREATE INDEX live_limits_task ON live_limits (task);
