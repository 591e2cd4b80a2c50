-- The overview: what was decided, delivered and used in each week, counted by the workers, so that a look at it reads some
-- thousand rows and not a million. All of it can be counted again from the facts; nothing else reads it.

-- A week of an organiser and when it was last counted; none: not yet. Weeks begin on Monday in Helsinki.
CREATE TABLE overview_weeks (
    organiser_id uuid NOT NULL,
    week         date NOT NULL,
    counted_at   timestamptz,
    PRIMARY KEY (organiser_id, week),
    CONSTRAINT overview_weeks_begin_on_monday CHECK (extract(isodow FROM week) = 1)
);

-- week: in which the facts were entered; of_week: which they are about. They differ for visits that were entered late,
-- and for those that were taken back later: entries are append-only, so what was entered in a week that is over never
-- changes. What figure, detail and value are is said in service/overview/queries.py.
CREATE TABLE overview_cells (
    organiser_id uuid NOT NULL,
    week         date NOT NULL,
    of_week      date NOT NULL,
    programme    text NOT NULL,
    figure       text NOT NULL,
    detail       text NOT NULL,
    value        bigint NOT NULL,
    families     bigint NOT NULL,
    amount       bigint NOT NULL DEFAULT 0,
    cents        bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (organiser_id, week, figure, programme, of_week, detail, value),
    FOREIGN KEY (organiser_id, week) REFERENCES overview_weeks
);
CREATE INDEX overview_cells_by_week ON overview_cells (organiser_id, of_week);

-- Visits are found by their ids, which are by time; charging pays for no index.
CREATE INDEX decisions_by_time ON decisions (organiser_id, created_at);
CREATE INDEX decision_versions_by_time ON decision_versions (organiser_id, created_at);
CREATE INDEX value_changes_by_time ON value_changes (organiser_id, recorded_at);
