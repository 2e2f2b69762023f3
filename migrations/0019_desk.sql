-- Filters people keep under a name: whose, of which list, and the parameters that stand in the address.
CREATE TABLE saved_filters (
    id TEXT PRIMARY KEY,
    principal TEXT NOT NULL REFERENCES principals (id),
    list TEXT NOT NULL,
    name TEXT NOT NULL,
    -- JSON object: text by parameter.
    query TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX saved_filters_name ON saved_filters (principal, list, name);

-- Browsers that are told of approvals and alerts (RFC 8030). Endpoint, key and secret are what
-- the browser gave.
CREATE TABLE push_subscriptions (
    id TEXT PRIMARY KEY,
    principal TEXT NOT NULL REFERENCES principals (id),
    name TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    p256dh TEXT NOT NULL,
    auth TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_sent_at BIGINT,
    -- Sendings in a row that did not arrive.
    failures BIGINT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX push_subscriptions_endpoint ON push_subscriptions (endpoint);
CREATE INDEX push_subscriptions_principal ON push_subscriptions (principal, created_at);
