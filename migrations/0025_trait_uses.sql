-- What the system did with a trait, and what came of it: three failures among its last ten uses, or two rejected reviews
-- within a week, suspend it.
CREATE TABLE trait_uses (
    number BIGSERIAL PRIMARY KEY,
    name TEXT NOT NULL,
    -- mission, task, playbook, …
    subject_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- The mission whose end says what came of it.
    mission TEXT,
    -- The mission is the system's own doing, and is held when the trait is taken away.
    queued BOOLEAN NOT NULL,
    at BIGINT NOT NULL,
    -- succeeded, failed or void (nobody's fault); absent while it is open.
    outcome TEXT,
    cause TEXT,
    decided_at BIGINT,
    rejected_at BIGINT,
    held_at BIGINT
);
CREATE UNIQUE INDEX trait_uses_subject ON trait_uses (name, subject_kind, subject);
CREATE INDEX trait_uses_decided ON trait_uses (name, number) WHERE outcome IS NOT NULL;
CREATE INDEX trait_uses_open ON trait_uses (mission) WHERE outcome IS NULL AND mission IS NOT NULL;
CREATE INDEX trait_uses_mission ON trait_uses (mission) WHERE mission IS NOT NULL;
CREATE INDEX trait_uses_rejected ON trait_uses (name, rejected_at) WHERE rejected_at IS NOT NULL;
CREATE INDEX ledger_subject ON ledger (subject, number);
