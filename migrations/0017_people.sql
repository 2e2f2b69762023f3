-- Passkeys people log in and sign with. `passkey` is canonical JSON (RFC 8785) with domain, origin, id and public key as
-- rosters list it; `key` is the digest rosters and signatures name it by.
CREATE TABLE passkeys (
    credential TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    principal TEXT NOT NULL REFERENCES principals (id),
    name TEXT NOT NULL,
    passkey TEXT NOT NULL,
    -- The highest signature counter seen; most authenticators stay at 0.
    counter BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
) WITHOUT ROWID;
CREATE INDEX passkeys_principal ON passkeys (principal, created_at);

-- Challenges are made without a row; one that was answered rightly is kept until it expires, so that it counts once.
CREATE TABLE answered_challenges (
    challenge TEXT PRIMARY KEY,
    expires_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX answered_challenges_expiry ON answered_challenges (expires_at);

-- Who somebody of an OpenID provider is here. The provider's own name for them never changes; names and addresses do.
CREATE TABLE outside_identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    principal TEXT NOT NULL REFERENCES principals (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
) WITHOUT ROWID;
CREATE INDEX outside_identities_principal ON outside_identities (principal);

-- When the person proved who they are, if not when the session was opened: an OpenID provider may have known them for days.
ALTER TABLE login_sessions ADD COLUMN proved_at BIGINT;
