-- A code that a person has typed on a page, for as long as it takes to charge a visit: the pages that follow are told by
-- this row's id, so that neither the code nor anything made of it is ever in an address or a form. Deleted after hours.
CREATE TABLE code_lookups (
    lookup_id    uuid PRIMARY KEY,
    person_id    uuid NOT NULL REFERENCES people ON DELETE CASCADE,
    code_sealed  bytea NOT NULL,
    tries        integer NOT NULL DEFAULT 0,  -- that were refused; a part of the charge's idempotency key
    made         text,                        -- what came of it: 'debit' or 'hold'
    answer       text,                        -- … as it was answered
    looked_up_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT code_lookups_made_known CHECK (made IN ('debit', 'hold')),
    CONSTRAINT code_lookups_made_whole CHECK ((made IS NULL) = (answer IS NULL))
);
CREATE INDEX code_lookups_by_age ON code_lookups (looked_up_at);
CREATE INDEX code_lookups_of_person ON code_lookups (person_id);
