-- How goals in words became plans, or why they did not: one row per planner that was asked, in order.
CREATE TABLE plannings (
    mission TEXT NOT NULL,
    number BIGINT NOT NULL,
    -- playbook, memory, or model.
    planner TEXT NOT NULL,
    -- planned, asked, passed, failed, or barred.
    outcome TEXT NOT NULL,
    -- For people: what came of it.
    said TEXT NOT NULL,
    -- JSON: what was asked, what would help, what differs, where it comes from.
    detail TEXT NOT NULL,
    -- provider/name of the model, and the version of the prompt.
    model TEXT,
    prompt TEXT,
    calls BIGINT NOT NULL,
    tokens_in BIGINT NOT NULL,
    tokens_out BIGINT NOT NULL,
    -- Micro-dollars.
    cost BIGINT NOT NULL,
    cached BIGINT NOT NULL,
    at BIGINT NOT NULL,
    took_ms BIGINT NOT NULL,
    PRIMARY KEY (mission, number)
);
CREATE INDEX plannings_at ON plannings (at);
CREATE INDEX missions_verified ON missions (shape) WHERE xp_awarded > 0;
