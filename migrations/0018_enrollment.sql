-- Six words that a person compares on two screens before a machine is trusted with rank B and above; absent where none
-- were asked for.
ALTER TABLE agents ADD COLUMN words TEXT;
ALTER TABLE agents ADD COLUMN confirmed_at BIGINT;
ALTER TABLE agents ADD COLUMN confirmed_by TEXT;
