CREATE TABLE invites (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
    max_rank BIGINT NOT NULL,
    key_wrapped TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    used_by TEXT,
    revoked_at BIGINT
);

-- What an agent is. Rarely written: what changes by the second is in agent_sessions.
CREATE TABLE agents (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    labels TEXT NOT NULL,
    max_rank BIGINT NOT NULL,
    identity_key TEXT NOT NULL,
    sealing_key TEXT NOT NULL,
    join_counter BIGINT NOT NULL,
    facts TEXT NOT NULL,
    -- The newest Hello: manifests, slots, sandbox levels, local policy, build.
    hello TEXT,
    invite TEXT,
    certificate_until BIGINT,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX agents_name ON agents (name) WHERE revoked_at IS NULL;

CREATE TABLE agent_sessions (
    agent TEXT PRIMARY KEY REFERENCES agents (id),
    -- Raised by every Hello; grants are conditional on it.
    session BIGINT NOT NULL,
    node TEXT NOT NULL,
    journal TEXT NOT NULL,
    connected BOOLEAN NOT NULL,
    heartbeat BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    closed_at BIGINT
);
CREATE INDEX agent_sessions_renewed ON agent_sessions (renewed_at);

-- A demand class that an agent refused by its own policy, until its manifest, configuration or labels change.
CREATE TABLE bars (
    agent TEXT NOT NULL,
    class BIGINT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (agent, class)
) WITHOUT ROWID;

CREATE TABLE trust_counts (
    capability TEXT NOT NULL,
    plugin_version TEXT NOT NULL,
    agent TEXT NOT NULL,
    successes BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    PRIMARY KEY (capability, plugin_version, agent)
) WITHOUT ROWID;

CREATE TABLE capability_flags (
    capability TEXT NOT NULL,
    -- fleet, label:key=value, or an agent id.
    scope TEXT NOT NULL,
    disabled BOOLEAN NOT NULL,
    reason TEXT,
    by_principal TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (capability, scope)
) WITHOUT ROWID;
