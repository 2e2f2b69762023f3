-- Missions that were cancelled, paused or resumed, with sub-missions that were not yet: those after this task.
CREATE TABLE sub_missions_behind (
    parent TEXT PRIMARY KEY,
    after_task TEXT NOT NULL
) WITHOUT ROWID;
DROP INDEX sub_missions_parent;
CREATE INDEX sub_missions_parent ON sub_missions (parent, task);
