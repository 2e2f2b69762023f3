-- What is asked after every mission is found among what is open, however much there was before.
DROP INDEX trait_uses_open;
CREATE INDEX trait_uses_open ON trait_uses (name, mission) WHERE outcome IS NULL AND mission IS NOT NULL;
-- How the missions ended that one follow-up led to.
CREATE INDEX proposals_followed ON proposals (said_by, place, id) WHERE state = 'started' AND decided_by = 'nexusmon';
