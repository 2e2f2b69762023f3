CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    subject_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    mission TEXT,
    digest TEXT NOT NULL,
    rank BIGINT NOT NULL,
    needed BIGINT NOT NULL,
    author TEXT NOT NULL,
    -- pending, approved, rejected, expired or void.
    state TEXT NOT NULL,
    policies TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    decide_by BIGINT NOT NULL,
    decided_at BIGINT,
    version BIGINT NOT NULL
);
CREATE INDEX approvals_mission ON approvals (mission, id) WHERE mission IS NOT NULL;
CREATE INDEX approvals_state ON approvals (state, id);
CREATE INDEX approvals_due ON approvals (decide_by) WHERE state = 'pending';

CREATE TABLE approval_decisions (
    approval TEXT NOT NULL,
    principal TEXT NOT NULL,
    verdict TEXT NOT NULL,
    comment TEXT,
    method TEXT NOT NULL,
    signature TEXT,
    at BIGINT NOT NULL,
    PRIMARY KEY (approval, principal)
) WITHOUT ROWID;

CREATE TABLE reviews (
    id TEXT PRIMARY KEY,
    mission TEXT NOT NULL,
    shape TEXT,
    rank BIGINT NOT NULL,
    -- open, accepted, rejected or covered.
    state TEXT NOT NULL,
    policies TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    decided_at BIGINT,
    decided_by TEXT,
    comment TEXT,
    version BIGINT NOT NULL
);
CREATE INDEX reviews_mission ON reviews (mission);
CREATE INDEX reviews_state ON reviews (state, id);
CREATE INDEX reviews_shape ON reviews (shape, decided_at) WHERE shape IS NOT NULL AND state = 'accepted';

-- Append-only. `digest` is SHA-256 over the canonical entry (RFC 8785): action, actor, at, body, id, mission, subject,
-- subject_kind. On SQLite the writer gives `seq` within the commit. On PostgreSQL `place` is taken inside the unit of
-- work, so that it respects causes but may show gaps and come late; the sequencer then gives `seq` without gaps.
-- Few indexes, since every task writes two rows: the rest is read along `seq`.
--- sqlite
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    mission TEXT,
    body TEXT NOT NULL,
    digest TEXT NOT NULL
);
--- postgres
CREATE TABLE audit (
    place BIGSERIAL PRIMARY KEY,
    seq BIGINT,
    id TEXT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    mission TEXT,
    body TEXT NOT NULL,
    digest TEXT NOT NULL
);
CREATE UNIQUE INDEX audit_seq ON audit (seq);
CREATE INDEX audit_waiting ON audit (place) WHERE seq IS NULL;
--- both
CREATE INDEX audit_mission ON audit (mission, seq) WHERE mission IS NOT NULL;
CREATE INDEX audit_subject ON audit (subject, seq) WHERE mission IS NULL;
CREATE INDEX audit_people ON audit (actor, seq) WHERE substr(actor, 1, 4) = 'prn_';
