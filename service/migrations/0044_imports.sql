-- Decisions from a file that somebody sent at the desk. The record is here; whoever works it off needs nothing else, so a
-- worker may be killed at any moment and any other goes on.

CREATE TABLE imports (
    organiser_id   uuid NOT NULL REFERENCES organisers,
    import_id      uuid NOT NULL,
    state          text NOT NULL DEFAULT 'waiting',
    name_sealed    bytea,                    -- of the file: people name files after families; goes with the contents
    columns        text[] NOT NULL,          -- the first line, in the file's own order and spelling
    delimiter      text NOT NULL,
    rows           integer NOT NULL,
    texts          integer NOT NULL,         -- rows that would be told by text message first, and by e-mail
    mails          integer NOT NULL,
    known          integer NOT NULL,         -- rows whose decision was there when the file came
    granted        integer NOT NULL DEFAULT 0,
    already_there  integer NOT NULL DEFAULT 0,
    rejected       integer NOT NULL DEFAULT 0,
    uploaded_by    text NOT NULL,
    uploaded_at    timestamptz NOT NULL DEFAULT now(),
    granted_by     text,                     -- who said "grant these", and when
    granted_at     timestamptz,
    due_at         timestamptz,              -- not before the end of the quiet hours, unless that was asked for
    ended_at       timestamptz,
    fence          integer NOT NULL DEFAULT 0,  -- of the claim that may write; a later claim makes it another
    leased_until   timestamptz,
    tries          integer NOT NULL DEFAULT 0,  -- claims since a chunk was last done
    turn_at        timestamptz NOT NULL DEFAULT now(),  -- files take turns, so that a short one does not wait for a long one
    emptied_at     timestamptz,              -- when the name and the rejected rows were deleted; the counts stay
    PRIMARY KEY (organiser_id, import_id),
    CONSTRAINT imports_state_known CHECK (state IN ('waiting', 'granting', 'done', 'cancelled', 'failed')),
    CONSTRAINT imports_rows_counted CHECK (granted >= 0 AND already_there >= 0 AND rejected >= 0
        AND granted + already_there + rejected <= rows AND (state <> 'done' OR granted + already_there + rejected = rows)),
    CONSTRAINT imports_granted_whole CHECK (num_nonnulls(granted_by, granted_at, due_at) IN (0, 3)
        AND (state NOT IN ('granting', 'done', 'failed') OR granted_by IS NOT NULL)),
    CONSTRAINT imports_ended_once CHECK ((state IN ('done', 'cancelled', 'failed')) = (ended_at IS NOT NULL)),
    CONSTRAINT imports_emptied_whole CHECK (emptied_at IS NULL OR name_sealed IS NULL)
);
CREATE INDEX imports_turn ON imports (turn_at) WHERE state = 'granting';
CREATE INDEX imports_to_empty ON imports (ended_at) WHERE emptied_at IS NULL;
CREATE INDEX imports_waiting ON imports (uploaded_at) WHERE state = 'waiting';

-- What is not granted yet, a few hundred rows in each. A chunk goes in the transaction that grants its rows.
CREATE TABLE import_chunks (
    organiser_id uuid NOT NULL,
    import_id    uuid NOT NULL,
    place        integer NOT NULL,
    sealed       bytea NOT NULL,
    PRIMARY KEY (organiser_id, import_id, place),
    FOREIGN KEY (organiser_id, import_id) REFERENCES imports
);

-- The rows of a chunk that were rejected, with the reason, to be downloaded.
CREATE TABLE import_rejections (
    organiser_id uuid NOT NULL,
    import_id    uuid NOT NULL,
    place        integer NOT NULL,
    sealed       bytea NOT NULL,
    PRIMARY KEY (organiser_id, import_id, place),
    FOREIGN KEY (organiser_id, import_id) REFERENCES imports
);
