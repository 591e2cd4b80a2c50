-- Whether a file of decisions may wake families: asked for each of its chunks, and not only when it begins.
ALTER TABLE imports ADD COLUMN at_once boolean NOT NULL DEFAULT false;
