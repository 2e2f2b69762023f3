-- What the organism remembers. One row per thing worth finding again: a goal with its plan (however often it ran), the bytes
-- of a text artifact, a person's word in a review. Missions are followed along the audit log, in the background.
CREATE TABLE memories (
    number BIGSERIAL PRIMARY KEY,
    id TEXT NOT NULL,
    -- mission, artifact or review.
    kind TEXT NOT NULL,
    -- What makes it the same memory: digest over goal and shape, digest of the bytes, id of the review.
    subject TEXT NOT NULL,
    -- Of the missions behind it the newest that came out best.
    mission TEXT,
    -- Of a verified mission: digest of its plan with plain values blanked; what playbooks are learned by.
    skeleton TEXT,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    -- How that mission came out: 4 verified, 3 succeeded, 2 failed, 1 cancelled, 0 rejected.
    quality BIGINT NOT NULL,
    runs BIGINT NOT NULL,
    verified BIGINT NOT NULL,
    succeeded BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    -- How often it came up when the system asked, and how often something was made of it.
    recalled BIGINT NOT NULL,
    used BIGINT NOT NULL,
    at BIGINT NOT NULL,
    -- The operator's word: its text is gone, and it is not learned again.
    forgotten_at BIGINT
);
CREATE UNIQUE INDEX memories_id ON memories (id);
CREATE UNIQUE INDEX memories_subject ON memories (kind, subject);
CREATE INDEX memories_newest ON memories (at, number) WHERE forgotten_at IS NULL;
CREATE INDEX memories_skeleton ON memories (skeleton, verified) WHERE skeleton IS NOT NULL;
CREATE INDEX memories_mission ON memories (mission) WHERE mission IS NOT NULL;
--- sqlite
CREATE VIRTUAL TABLE memories_text USING fts5(title, body, content='memories', content_rowid='number', tokenize='unicode61 remove_diacritics 2');
CREATE TRIGGER memories_inserted AFTER INSERT ON memories BEGIN INSERT INTO memories_text (rowid, title, body) VALUES (new.number, new.title, new.body); END;
CREATE TRIGGER memories_deleted AFTER DELETE ON memories BEGIN INSERT INTO memories_text (memories_text, rowid, title, body) VALUES ('delete', old.number, old.title, old.body); END;
CREATE TRIGGER memories_updated AFTER UPDATE OF title, body ON memories WHEN old.title <> new.title OR old.body <> new.body BEGIN INSERT INTO memories_text (memories_text, rowid, title, body) VALUES ('delete', old.number, old.title, old.body); INSERT INTO memories_text (rowid, title, body) VALUES (new.number, new.title, new.body); END;
--- postgres
ALTER TABLE memories ADD COLUMN words tsvector GENERATED ALWAYS AS (setweight(to_tsvector('simple', left(title, 10000)), 'A') || to_tsvector('simple', left(body, 200000))) STORED;
CREATE INDEX memories_words ON memories USING gin (words);
--- both

-- Each mission counts once; a later verdict moves it.
CREATE TABLE memory_missions (
    mission TEXT PRIMARY KEY,
    memory BIGINT NOT NULL,
    quality BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX memory_missions_best ON memory_missions (memory, quality, mission);

-- How often memory was asked, had something to say, and was used; by day and purpose (planning, answer, search).
CREATE TABLE memory_uses (
    day BIGINT NOT NULL,
    purpose TEXT NOT NULL,
    asked BIGINT NOT NULL,
    hits BIGINT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (day, purpose)
) WITHOUT ROWID;

-- What somebody holds to be true, with what it rests on. Observed beliefs are counts (trust_counts) and have no row here.
CREATE TABLE beliefs (
    id TEXT PRIMARY KEY,
    statement TEXT NOT NULL,
    -- held, contradicted or withdrawn.
    state TEXT NOT NULL,
    confidence DOUBLE PRECISION NOT NULL,
    -- The contradicted or withdrawn belief it rests on, however far away.
    doubted_by TEXT,
    revision BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE belief_revisions (
    belief TEXT NOT NULL,
    revision BIGINT NOT NULL,
    statement TEXT NOT NULL,
    state TEXT NOT NULL,
    confidence DOUBLE PRECISION NOT NULL,
    -- JSON list of {kind, id, note}.
    evidence TEXT NOT NULL,
    comment TEXT,
    author TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (belief, revision)
) WITHOUT ROWID;

CREATE TABLE belief_edges (
    belief TEXT NOT NULL,
    rests_on TEXT NOT NULL,
    PRIMARY KEY (belief, rests_on)
) WITHOUT ROWID;
CREATE INDEX belief_edges_backwards ON belief_edges (rests_on, belief);

-- Playbooks the system drafted from missions of one shape that verified; nothing runs from here until one is promoted.
CREATE TABLE learned_playbooks (
    name TEXT PRIMARY KEY,
    shape TEXT NOT NULL,
    -- A playbook's body, as a person would write it.
    body TEXT NOT NULL,
    rank BIGINT NOT NULL,
    -- JSON list of the missions it was drafted from.
    missions TEXT NOT NULL,
    -- What is believed of it: that it works.
    belief TEXT,
    -- The playbook most like it, and how like (0 to 1).
    nearest TEXT,
    likeness DOUBLE PRECISION,
    -- offered, promoted or declined.
    state TEXT NOT NULL,
    decided_by TEXT,
    decided_at BIGINT,
    comment TEXT,
    -- The version it became.
    version BIGINT,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX learned_playbooks_shape ON learned_playbooks (shape);

-- Kinds of plans that no playbook could be drafted from; looked at again once twice as many of them are verified.
CREATE TABLE unfit_skeletons (
    skeleton TEXT PRIMARY KEY,
    -- Verified missions of the kind when it was tried.
    verified BIGINT NOT NULL,
    tried_at BIGINT NOT NULL
) WITHOUT ROWID;
