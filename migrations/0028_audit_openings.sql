-- What opens the words that entries of the audit log sealed: the entry holds a commitment, key and words are here until they
-- are erased.
CREATE TABLE audit_openings (
    entry TEXT NOT NULL,
    -- In the entry's body (RFC 6901).
    place TEXT NOT NULL,
    mission TEXT,
    -- What goes with it: the entry's subject, of an artifact with the version.
    about TEXT NOT NULL,
    -- 32 bytes, hexadecimal.
    key TEXT NOT NULL,
    -- Canonical JSON.
    value TEXT NOT NULL,
    PRIMARY KEY (entry, place)
) WITHOUT ROWID;
CREATE INDEX audit_openings_mission ON audit_openings (mission) WHERE mission IS NOT NULL;
CREATE INDEX audit_openings_about ON audit_openings (about);
