-- The Merkle tree (RFC 9162) over the audit log: entry `seq` is leaf `seq - 1`, the leaf is the entry's digest. Whoever
-- holds the duty follows the log; the writers of entries pay nothing.

-- How far the tree has grown, with its right edge (`shared::trust::merkle::Frontier`), hexadecimal. One row.
CREATE TABLE audit_tree (
    id BIGINT PRIMARY KEY,
    size BIGINT NOT NULL,
    frontier TEXT NOT NULL
);

-- Roots of complete subtrees of 256 leaves (height 8) and up; lower ones are made from the entries' digests when a proof
-- needs them.
CREATE TABLE audit_nodes (
    height BIGINT NOT NULL,
    place BIGINT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (height, place)
) WITHOUT ROWID;

-- What was signed and shown: a C2SP note each. Old ones are thinned out to one an hour.
CREATE TABLE audit_checkpoints (
    size BIGINT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    root TEXT NOT NULL,
    note TEXT NOT NULL,
    at BIGINT NOT NULL
);

-- The newest head that each agent has cosigned. One on a coordinator's own host proves nothing against that host.
CREATE TABLE audit_witnesses (
    agent TEXT PRIMARY KEY,
    size BIGINT NOT NULL,
    -- Signature line of a C2SP cosignature.
    line TEXT NOT NULL,
    apart BOOLEAN NOT NULL,
    at BIGINT NOT NULL
);
