-- Full text over missions' goals, artifact names, text artifacts and reviews. Same words on both databases; the ranking
-- differs.
CREATE TABLE documents (
    number BIGSERIAL PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    mission TEXT,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE UNIQUE INDEX documents_subject ON documents (kind, subject);
--- sqlite
CREATE VIRTUAL TABLE documents_text USING fts5(title, body, content='documents', content_rowid='number', tokenize='unicode61 remove_diacritics 2');
CREATE TRIGGER documents_inserted AFTER INSERT ON documents BEGIN INSERT INTO documents_text (rowid, title, body) VALUES (new.number, new.title, new.body); END;
CREATE TRIGGER documents_deleted AFTER DELETE ON documents BEGIN INSERT INTO documents_text (documents_text, rowid, title, body) VALUES ('delete', old.number, old.title, old.body); END;
CREATE TRIGGER documents_updated AFTER UPDATE ON documents BEGIN INSERT INTO documents_text (documents_text, rowid, title, body) VALUES ('delete', old.number, old.title, old.body); INSERT INTO documents_text (rowid, title, body) VALUES (new.number, new.title, new.body); END;
--- postgres
ALTER TABLE documents ADD COLUMN words tsvector GENERATED ALWAYS AS (setweight(to_tsvector('simple', left(title, 10000)), 'A') || to_tsvector('simple', left(body, 200000))) STORED;
CREATE INDEX documents_words ON documents USING gin (words);
--- both
