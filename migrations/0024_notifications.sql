-- Where people are told. What leads there (address, credentials) is sealed by the master key; `shown` is what may be read.
CREATE TABLE notification_channels (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL REFERENCES principals (id),
    name TEXT NOT NULL,
    -- webhook, ntfy, slack, email, or push.
    kind TEXT NOT NULL,
    shown TEXT NOT NULL,
    sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_sent_at BIGINT,
    -- Messages in a row that did not arrive, and why the last one did not.
    failures BIGINT NOT NULL,
    last_error TEXT
) WITHOUT ROWID;
CREATE UNIQUE INDEX notification_channels_name ON notification_channels (owner, name);

-- What somebody wants to be told of, and where. `rule` is JSON.
CREATE TABLE notification_rules (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL REFERENCES principals (id),
    name TEXT NOT NULL,
    channel TEXT NOT NULL,
    rule TEXT NOT NULL,
    paused BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    version BIGINT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX notification_rules_name ON notification_rules (owner, name);
CREATE INDEX notification_rules_channel ON notification_rules (channel);

-- What is to be sent, and what was: one row per rule, target and occasion, whichever coordinator looks.
CREATE TABLE notifications (
    id TEXT PRIMARY KEY,
    -- A rule, or `browser` for what browsers are told without one.
    rule TEXT NOT NULL,
    owner TEXT NOT NULL,
    -- A channel, or a push subscription.
    target TEXT NOT NULL,
    -- What it is about, once.
    occasion TEXT NOT NULL,
    -- Rows of one batch go out as one message; empty for a message of its own.
    batch TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    mission TEXT,
    rank BIGINT,
    escalated BOOLEAN NOT NULL,
    -- waiting, sent, failed, or moot.
    state TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    -- Until then some coordinator is sending it.
    claimed_until BIGINT NOT NULL,
    error TEXT,
    created_at BIGINT NOT NULL,
    settled_at BIGINT
) WITHOUT ROWID;
CREATE UNIQUE INDEX notifications_occasion ON notifications (target, rule, occasion);
CREATE INDEX notifications_due ON notifications (due_at) WHERE state = 'waiting';
CREATE INDEX notifications_claimed ON notifications (target, claimed_until) WHERE state = 'waiting';
CREATE INDEX notifications_owner ON notifications (owner, id);
CREATE INDEX notifications_old ON notifications (settled_at) WHERE settled_at IS NOT NULL;

-- Who of those that may decide has looked at an approval.
CREATE TABLE approval_views (
    approval TEXT NOT NULL,
    principal TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (approval, principal)
) WITHOUT ROWID;
