-- The kill switch: every pull and release, the newest is what holds (grants look at organism.halt, which changes with
-- it), and the newest answer of each agent.
CREATE TABLE halts (
    number BIGSERIAL PRIMARY KEY,
    -- none, halt or stop.
    level TEXT NOT NULL,
    reason TEXT,
    by_principal TEXT NOT NULL,
    at BIGINT NOT NULL
);

CREATE TABLE halt_acks (
    agent TEXT PRIMARY KEY,
    number BIGINT NOT NULL,
    level TEXT NOT NULL,
    -- Attempts that still ran there.
    running BIGINT NOT NULL,
    at BIGINT NOT NULL
);
