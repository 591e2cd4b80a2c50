-- What was said of a visit before it was disputed again, and how it was cleared up: kept for good, in the family's own words.
CREATE TABLE earlier_disputes (
    organiser_id uuid NOT NULL,
    entry_id     uuid NOT NULL,
    raised_by    text NOT NULL,
    reason       text,
    raised_at    timestamptz NOT NULL,
    resolved_at  timestamptz NOT NULL,
    resolved_by  text NOT NULL,
    resolution   text NOT NULL,
    PRIMARY KEY (organiser_id, entry_id, raised_at),
    FOREIGN KEY (organiser_id, entry_id) REFERENCES disputes
);
