-- What people approve beside plans and values: where its digest covers a document, the document (canonical JSON), which
-- is what is shown to whoever signs and what is done once enough have.
ALTER TABLE approvals ADD COLUMN body TEXT;

-- Every version of every playbook; the highest that is not retired is what a bare name means.
CREATE TABLE playbooks (
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    -- SHA-256 of the canonical body.
    digest TEXT NOT NULL,
    -- JSON, as it was written.
    body TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT,
    PRIMARY KEY (name, version)
) WITHOUT ROWID;

-- Missions that were made from a playbook: with what inputs, and the leaves before these were put in.
CREATE TABLE mission_inputs (
    mission TEXT PRIMARY KEY,
    playbook TEXT NOT NULL,
    version BIGINT NOT NULL,
    inputs TEXT NOT NULL,
    inputs_digest TEXT NOT NULL,
    shape TEXT NOT NULL,
    -- JSON list of canonical open leaves in plan order.
    leaves TEXT NOT NULL,
    -- The standing approval that let it begin.
    standing TEXT
);

CREATE TABLE standing_approvals (
    id TEXT PRIMARY KEY,
    approval TEXT NOT NULL,
    -- pending, active, revoked, or refused.
    state TEXT NOT NULL,
    playbook TEXT NOT NULL,
    version BIGINT NOT NULL,
    shape TEXT NOT NULL,
    digest TEXT NOT NULL,
    -- Canonical JSON of what is signed.
    body TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    uses BIGINT NOT NULL,
    used BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX standing_approvals_shape ON standing_approvals (shape, id);

-- Every start that a standing approval was spent on.
CREATE TABLE standing_uses (
    standing TEXT NOT NULL,
    number BIGINT NOT NULL,
    mission TEXT NOT NULL,
    task TEXT NOT NULL,
    agent TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (standing, number)
) WITHOUT ROWID;

-- What has happened to a shape since one of its runs was accepted.
CREATE INDEX reviews_of_shape ON reviews (shape, created_at) WHERE shape IS NOT NULL;
