-- Questions to models that are out, or whose answers are not booked yet: what each may cost at most is set aside here before
-- it is asked. One that nobody books counts in full.
CREATE TABLE model_calls (
    id TEXT PRIMARY KEY,
    mission TEXT NOT NULL,
    -- As the row in plannings has them.
    model TEXT NOT NULL,
    prompt TEXT NOT NULL,
    tokens_in BIGINT NOT NULL,
    tokens_out BIGINT NOT NULL,
    -- Micro-dollars.
    cost BIGINT NOT NULL,
    at BIGINT NOT NULL,
    -- Whoever asked is not waited for any longer than this.
    until BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX model_calls_mission ON model_calls (mission);
