-- A series: all versions of one named output in one scope. `scope` is a mission's id or `organism`.
CREATE TABLE artifacts (
    id TEXT PRIMARY KEY,
    scope TEXT NOT NULL,
    mission TEXT,
    task_key TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    labels TEXT NOT NULL,
    latest BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX artifacts_series ON artifacts (scope, task_key, kind, name);
CREATE INDEX artifacts_name ON artifacts (name, id);
CREATE INDEX artifacts_kind ON artifacts (kind, id);

CREATE TABLE artifact_versions (
    id TEXT PRIMARY KEY,
    artifact TEXT NOT NULL,
    number BIGINT NOT NULL,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    media_type TEXT NOT NULL,
    kind TEXT NOT NULL,
    mission TEXT,
    task TEXT,
    attempt BIGINT,
    fence_epoch BIGINT,
    fence_number BIGINT,
    agent TEXT,
    plugin TEXT,
    principal TEXT,
    inputs TEXT NOT NULL,
    -- active, rejected, withheld or purged (a tombstone: the bytes are gone).
    status TEXT NOT NULL,
    purged_by TEXT,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX artifact_versions_number ON artifact_versions (artifact, number);
CREATE INDEX artifact_versions_task ON artifact_versions (task) WHERE task IS NOT NULL;
CREATE INDEX artifact_versions_mission ON artifact_versions (mission, id) WHERE mission IS NOT NULL;
CREATE INDEX artifact_versions_digest ON artifact_versions (digest);
CREATE INDEX artifact_versions_retention ON artifact_versions (kind, created_at) WHERE status <> 'purged';

CREATE TABLE artifact_reviews (
    id TEXT PRIMARY KEY,
    artifact TEXT NOT NULL,
    version TEXT NOT NULL,
    principal TEXT NOT NULL,
    verdict TEXT NOT NULL,
    comment TEXT,
    at BIGINT NOT NULL
);
CREATE INDEX artifact_reviews_version ON artifact_reviews (version, id);
CREATE INDEX artifact_reviews_artifact ON artifact_reviews (artifact, id);

CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    size BIGINT NOT NULL,
    refs BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Since when nothing refers to it; sweep looks here.
    idle_since BIGINT
);
CREATE INDEX blobs_idle ON blobs (idle_since) WHERE idle_since IS NOT NULL;

CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    task TEXT,
    fence_epoch BIGINT,
    fence_number BIGINT,
    agent TEXT,
    principal TEXT,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    stored BIGINT NOT NULL,
    finished BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX uploads_stale ON uploads (updated_at);

CREATE TABLE logs (
    task TEXT NOT NULL,
    fence_epoch BIGINT NOT NULL,
    fence_number BIGINT NOT NULL,
    mission TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    agent TEXT NOT NULL,
    -- Bytes and lines in sealed segments, without gaps from 0.
    stored BIGINT NOT NULL,
    lines BIGINT NOT NULL,
    segments BIGINT NOT NULL,
    sealed BOOLEAN NOT NULL,
    version TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (task, fence_epoch, fence_number)
) WITHOUT ROWID;
CREATE INDEX logs_open ON logs (updated_at) WHERE NOT sealed;

CREATE TABLE log_segments (
    task TEXT NOT NULL,
    fence_epoch BIGINT NOT NULL,
    fence_number BIGINT NOT NULL,
    number BIGINT NOT NULL,
    start_byte BIGINT NOT NULL,
    length BIGINT NOT NULL,
    first_line BIGINT NOT NULL,
    lines BIGINT NOT NULL,
    blob TEXT NOT NULL,
    line_index TEXT NOT NULL,
    PRIMARY KEY (task, fence_epoch, fence_number, number)
) WITHOUT ROWID;
