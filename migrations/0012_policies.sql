-- Every set of policies that was ever put in force; the newest holds. Without any, the shipped one does.
CREATE TABLE policy_sets (
    version BIGSERIAL PRIMARY KEY,
    digest TEXT NOT NULL,
    -- As it was written, without the guardrails that are part of every set.
    text TEXT NOT NULL,
    comment TEXT NOT NULL,
    by_principal TEXT NOT NULL,
    at BIGINT NOT NULL
);
