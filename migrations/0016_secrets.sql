-- Secrets, sealed before they come here: the value under a key of its own, that key under the master key. One row per
-- name, for good: a name that was removed goes on counting its versions.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    -- Canonical JSON; sealed along with the value.
    binding TEXT NOT NULL,
    -- Both are absent once the secret is removed.
    key_wrapped TEXT,
    sealed TEXT,
    -- Whether its value is looked for in logs and artifacts.
    masked BOOLEAN NOT NULL,
    changed_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

-- Which agent was ever handed which version, and for what. Written before it is sent.
CREATE TABLE secret_deliveries (
    name TEXT NOT NULL,
    task TEXT NOT NULL,
    fence_epoch BIGINT NOT NULL,
    fence_number BIGINT NOT NULL,
    version BIGINT NOT NULL,
    agent TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (name, task, fence_epoch, fence_number)
) WITHOUT ROWID;
CREATE INDEX secret_deliveries_task ON secret_deliveries (task, fence_epoch, fence_number);

-- What an agent signed about the artifacts of one attempt: a DSSE envelope as it came.
CREATE TABLE provenances (
    task TEXT NOT NULL,
    fence_epoch BIGINT NOT NULL,
    fence_number BIGINT NOT NULL,
    agent TEXT NOT NULL,
    envelope TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (task, fence_epoch, fence_number)
) WITHOUT ROWID;
