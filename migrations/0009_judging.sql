-- SQLite looked for the few missions that wait to be judged along all that ever succeeded: an index that begins with the
-- status, too, is taken before the general one.
DROP INDEX missions_to_judge;
CREATE INDEX missions_to_judge ON missions (status, id) WHERE status = 'succeeded' AND xp_awarded IS NULL;
