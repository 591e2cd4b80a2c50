-- Whether the worker has been told that a visit like the one in question is charged or held already: only then does its yes
-- charge another one.
ALTER TABLE charge_questions ADD COLUMN is_alike boolean NOT NULL DEFAULT false;
