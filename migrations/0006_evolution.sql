-- The evolution ledger: verified missions, XP taken back, suspensions. Stage and XP are a fold over it.
CREATE TABLE ledger (
    number BIGSERIAL PRIMARY KEY,
    -- verified, taken_back, suspended, reinstated, granted, disabled.
    kind TEXT NOT NULL,
    -- A mission's id or a trait's name.
    subject TEXT NOT NULL,
    mission TEXT,
    rank BIGINT,
    xp BIGINT NOT NULL,
    -- Shape and inputs, counted once a day.
    fingerprint TEXT,
    day BIGINT NOT NULL,
    at BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE UNIQUE INDEX ledger_mission ON ledger (kind, mission) WHERE mission IS NOT NULL;
CREATE INDEX ledger_fingerprint ON ledger (fingerprint, day) WHERE fingerprint IS NOT NULL;

CREATE TABLE predictions (
    id TEXT PRIMARY KEY,
    mission TEXT NOT NULL,
    plan_revision BIGINT NOT NULL,
    rank BIGINT NOT NULL,
    probability DOUBLE PRECISION NOT NULL,
    duration_ms BIGINT NOT NULL,
    -- Where the numbers come from: how many like it, or the stated prior.
    evidence TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    succeeded BOOLEAN,
    actual_ms BIGINT,
    scored_at BIGINT
);
CREATE UNIQUE INDEX predictions_mission ON predictions (mission, plan_revision);
CREATE INDEX predictions_scored ON predictions (scored_at) WHERE scored_at IS NOT NULL;

-- History by shape: what predictions are made from.
CREATE TABLE shape_records (
    shape TEXT PRIMARY KEY,
    runs BIGINT NOT NULL,
    successes BIGINT NOT NULL,
    duration_ms_sum BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Failures by cause, task capability and day: the error taxonomy.
CREATE TABLE cause_counts (
    day BIGINT NOT NULL,
    cause TEXT NOT NULL,
    capability TEXT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (day, cause, capability)
) WITHOUT ROWID;
