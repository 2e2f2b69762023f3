-- What several coordinators on one database tell each other through it. Unused where one runs alone.

-- A cancel or a recall for an agent whose session another coordinator holds; that one takes the row and sends it on.
CREATE TABLE notices (
    number BIGSERIAL PRIMARY KEY,
    agent TEXT NOT NULL,
    -- cancel or recall.
    kind TEXT NOT NULL,
    task TEXT NOT NULL,
    fence_epoch BIGINT NOT NULL,
    fence_number BIGINT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX notices_agent ON notices (agent, number);

-- Logs that somebody watches through a coordinator that does not take them in: the one that does stores them sooner.
CREATE TABLE log_watches (
    task TEXT PRIMARY KEY,
    until BIGINT NOT NULL
);
