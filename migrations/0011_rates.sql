-- Rates of starts that operators set: at most so many in any stretch of time of that length.
CREATE TABLE rates (
    -- capability:NAME, agent:ID, or key:NAME of a concurrency key.
    key TEXT PRIMARY KEY,
    most BIGINT NOT NULL,
    per_micros BIGINT NOT NULL,
    -- JSON: starts of the newest stretch.
    spent TEXT NOT NULL,
    by_principal TEXT NOT NULL,
    at BIGINT NOT NULL
);
