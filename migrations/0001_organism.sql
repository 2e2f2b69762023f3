-- One text for SQLite and PostgreSQL. What the runner maps on SQLite: BIGSERIAL, BIGINT and BOOLEAN to INTEGER,
-- DOUBLE PRECISION to REAL, and STRICT behind every table. WITHOUT ROWID is dropped on PostgreSQL. Lines between
-- `--- sqlite` or `--- postgres` and `--- both` are for that database alone.
-- Times are microseconds since the Unix epoch; ids and digests are their text forms; ranks are 0 (E) to 5 (S).

CREATE TABLE organism (
    id TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    -- none, halt or stop; every grant reads it under a shared lock.
    halt TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Private keys, wrapped by the master key before they come here.
CREATE TABLE keys (
    name TEXT PRIMARY KEY,
    wrapped TEXT NOT NULL,
    public TEXT,
    created_at BIGINT NOT NULL
);

CREATE TABLE principals (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    secret_hash TEXT,
    rank_ceiling BIGINT,
    created_by TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX principals_name ON principals (name);

CREATE TABLE login_sessions (
    id TEXT PRIMARY KEY,
    principal TEXT NOT NULL REFERENCES principals (id),
    kind TEXT NOT NULL,
    hash TEXT,
    client TEXT,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX login_sessions_principal ON login_sessions (principal, id);
CREATE INDEX login_sessions_hash ON login_sessions (hash) WHERE hash IS NOT NULL;
CREATE INDEX login_sessions_expiry ON login_sessions (expires_at);

CREATE TABLE idempotency (
    principal TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    body_digest TEXT NOT NULL,
    status BIGINT NOT NULL,
    response TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (principal, route, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- Who does what only one node may do; `epoch` is checked in every write of the holder.
CREATE TABLE singletons (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    until BIGINT NOT NULL
);

-- Operator-set values that are no entity of their own: background status, retention rules.
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
