-- The rule book as data: versions of a programme's rules and of the providers' prices, what each entry was worked out
-- from, holds, and every change of a voucher's value. A version that has begun never changes: what was charged under it
-- can be worked out again in six years.

-- In force from starts_on until the next one. The four values are what the organiser pays for an hour (minutes and
-- cents), a visit or a session, in each tariff band; all or none (a money voucher, a service without a value).
CREATE TABLE programme_rules (
    organiser_id      uuid NOT NULL,
    programme         text NOT NULL,
    starts_on         date NOT NULL,
    step              bigint NOT NULL,
    rounding          text NOT NULL DEFAULT 'up',   -- of a visit's length to the step, once, before it is split
    weekday_cents     bigint,
    evening_cents     bigint,
    saturday_cents    bigint,
    sunday_cents      bigint,                       -- public holidays, too
    evening_from      time,                         -- of weekdays, in Helsinki; over midnight if evening_to is earlier
    evening_to        time,
    eves_are_holidays boolean NOT NULL DEFAULT false,  -- Midsummer Eve and Christmas Eve
    weekly_visits     integer,                      -- of decisions that say nothing else
    weekly_minutes    integer,
    free_by_law       boolean NOT NULL DEFAULT false,  -- the family must pay nothing
    task_types        text[] NOT NULL DEFAULT '{}', -- what a visit may be for; none: it is not asked
    no_show_allowed   boolean NOT NULL DEFAULT false,
    hold_lapse_hours  integer NOT NULL DEFAULT 72,  -- after the end of the visit
    late_entry_days   integer NOT NULL DEFAULT 30,  -- after the voucher's end
    created_by        text NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organiser_id, programme, starts_on),
    FOREIGN KEY (organiser_id, programme) REFERENCES programmes,
    CONSTRAINT rules_step_positive CHECK (step > 0),
    CONSTRAINT rules_rounding_known CHECK (rounding IN ('up', 'nearest', 'down')),
    CONSTRAINT rules_values_complete CHECK (num_nonnulls(weekday_cents, evening_cents, saturday_cents, sunday_cents) IN (0, 4)),
    CONSTRAINT rules_values_positive CHECK (weekday_cents > 0 AND evening_cents > 0 AND saturday_cents > 0 AND sunday_cents > 0),
    CONSTRAINT rules_evening_complete CHECK (num_nonnulls(evening_from, evening_to) IN (0, 2) AND evening_from <> evening_to),
    CONSTRAINT rules_caps_positive CHECK (weekly_visits > 0 AND weekly_minutes > 0),
    CONSTRAINT rules_times_positive CHECK (hold_lapse_hours > 0 AND late_entry_days >= 0)
);
INSERT INTO programme_rules (organiser_id, programme, starts_on, step, weekday_cents, evening_cents, saturday_cents, sunday_cents, created_by)
SELECT organiser_id, programme, '2000-01-01', step, unit_value_cents, unit_value_cents, unit_value_cents, unit_value_cents, 'migration'
FROM programmes;
ALTER TABLE programmes DROP COLUMN step, DROP COLUMN unit_value_cents;
ALTER TABLE vouchers DROP COLUMN step;

-- What a provider asks for an hour, visit or session, in force from starts_on until the next one. Without one it asks
-- what the voucher is worth, and the family pays nothing.
CREATE TABLE price_lists (
    price_list_id  uuid PRIMARY KEY,
    organiser_id   uuid NOT NULL,
    provider_id    uuid NOT NULL REFERENCES providers,
    programme      text NOT NULL,
    starts_on      date NOT NULL,
    weekday_cents  bigint NOT NULL,
    evening_cents  bigint NOT NULL,
    saturday_cents bigint NOT NULL,
    sunday_cents   bigint NOT NULL,
    created_by     text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (organiser_id, programme) REFERENCES programmes,
    CONSTRAINT price_lists_one_a_day UNIQUE (organiser_id, provider_id, programme, starts_on),
    CONSTRAINT price_lists_positive CHECK (weekday_cents > 0 AND evening_cents > 0 AND saturday_cents > 0 AND sunday_cents > 0)
);

-- What an entry was worked out from. visits and minutes are what it adds to its week's use: a reversal takes minutes
-- back with its amount, and the visit with the last of it. pays: the organiser; own: the family.
ALTER TABLE entries
    ADD COLUMN programme       text,        -- the voucher's, which never changes: a provider asks for its debits by it
    ADD COLUMN starts_at       timestamptz,
    ADD COLUMN ends_at         timestamptz,
    ADD COLUMN visit_type      text NOT NULL DEFAULT 'visit',
    ADD COLUMN task_type       text,
    ADD COLUMN worker          text,        -- the provider's own word for who made the visit
    ADD COLUMN visits          integer NOT NULL DEFAULT 1,
    ADD COLUMN minutes         bigint NOT NULL DEFAULT 0,
    ADD COLUMN hold_id         uuid,
    ADD COLUMN rules_from      date,        -- the version of the programme's rules
    ADD COLUMN price_list_id   uuid,
    ADD COLUMN segment_bands   text[],      -- the visit's parts in order, and how much of the amount fell into each
    ADD COLUMN segment_amounts bigint[],
    ADD COLUMN pays_cents      bigint,
    ADD COLUMN own_cents       bigint,
    DROP CONSTRAINT entries_reversed_once,
    DROP CONSTRAINT entries_kind_known,
    DROP CONSTRAINT entries_sign,
    ADD CONSTRAINT entries_kind_known CHECK (kind IN ('debit', 'reversal', 'credit')),
    ADD CONSTRAINT entries_sign CHECK ((kind = 'debit' AND amount > 0 AND reverses IS NULL) OR (kind <> 'debit' AND amount < 0 AND reverses IS NOT NULL)),
    ADD CONSTRAINT entries_visit_type_known CHECK (visit_type IN ('visit', 'no_show')),
    ADD CONSTRAINT entries_times_in_order CHECK (ends_at > starts_at);
UPDATE entries e SET
    programme = v.programme,
    visits = CASE WHEN v.unit IN ('visits', 'sessions') THEN e.amount ELSE sign(e.amount) END,
    minutes = CASE WHEN v.unit = 'minutes' THEN e.amount ELSE 0 END
FROM vouchers v WHERE v.organiser_id = e.organiser_id AND v.voucher_id = e.voucher_id;
ALTER TABLE entries ALTER COLUMN programme SET NOT NULL;
CREATE INDEX entries_reversing ON entries (organiser_id, reverses) WHERE reverses IS NOT NULL;
DROP INDEX entries_of_voucher;
CREATE INDEX entries_of_voucher ON entries (organiser_id, voucher_id, service_date);  -- a week's use, too

-- Value and a place in the week kept for a visit that is booked. A hold ends once; what it ended as stays.
CREATE TABLE holds (
    organiser_id    uuid NOT NULL,
    hold_id         uuid NOT NULL,
    voucher_id      uuid NOT NULL,
    code_id         uuid NOT NULL,
    provider_id     uuid NOT NULL,
    credential_id   uuid NOT NULL,
    state           text NOT NULL DEFAULT 'held',
    asked           bigint,         -- none: as long as the times say, or one visit
    amount          bigint NOT NULL, -- kept: less than asked where no more was left and a part would do
    visits          integer NOT NULL,
    minutes         bigint NOT NULL,
    service_date    date NOT NULL,
    starts_at       timestamptz,
    ends_at         timestamptz,
    task_type       text,
    worker          text,
    reference       text,
    rules_from      date NOT NULL,
    segment_bands   text[],
    segment_amounts bigint[],
    lapses_at       timestamptz NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    ended_at        timestamptz,
    ended_by        text,           -- 'schedule', a caseworker as the audit log has it, or 'key:' and the credential's id
    reason          text,
    PRIMARY KEY (organiser_id, hold_id),
    FOREIGN KEY (organiser_id, voucher_id) REFERENCES vouchers,
    CONSTRAINT holds_state_known CHECK (state IN ('held', 'captured', 'voided', 'lapsed')),
    CONSTRAINT holds_ended_once CHECK ((state = 'held') = (ended_at IS NULL)),
    CONSTRAINT holds_amount_positive CHECK (amount > 0),
    CONSTRAINT holds_times_in_order CHECK (ends_at > starts_at)
);
CREATE INDEX holds_open_of_voucher ON holds (organiser_id, voucher_id, service_date) WHERE state = 'held';
CREATE INDEX holds_lapsing ON holds (lapses_at) WHERE state = 'held';
CREATE INDEX holds_of_provider ON holds (provider_id, hold_id);

-- Weekly caps that changed while the voucher was valid: in force for visits from starts_on on. A voucher without such
-- rows has the caps in its own row.
CREATE TABLE voucher_caps (
    organiser_id   uuid NOT NULL,
    voucher_id     uuid NOT NULL,
    starts_on      date NOT NULL,
    weekly_visits  integer,
    weekly_minutes integer,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organiser_id, voucher_id, starts_on),
    FOREIGN KEY (organiser_id, voucher_id) REFERENCES vouchers,
    CONSTRAINT voucher_caps_positive CHECK (weekly_visits > 0 AND weekly_minutes > 0)
);
ALTER TABLE vouchers ADD COLUMN caps_changed boolean NOT NULL DEFAULT false;

-- What happened to a voucher's value besides charges after the decision that granted it: raised or lowered by a later one,
-- and returned to the budget as expired or cancelled. Append-only. expired and cancelled of a voucher are the sums of theirs.
CREATE TABLE value_changes (
    organiser_id uuid NOT NULL,
    change_id    uuid NOT NULL,
    voucher_id   uuid NOT NULL,
    kind         text NOT NULL,
    amount       bigint NOT NULL,
    effective_on date NOT NULL,
    decision_ref text,
    actor        text NOT NULL,
    reason       text,
    entry_id     uuid,              -- the reversal that brought the value back after the end
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organiser_id, change_id),
    FOREIGN KEY (organiser_id, voucher_id) REFERENCES vouchers,
    CONSTRAINT value_changes_kind_known CHECK (kind IN ('raised', 'lowered', 'expired', 'cancelled')),
    CONSTRAINT value_changes_positive CHECK (amount > 0)
);
CREATE INDEX value_changes_of_voucher ON value_changes (organiser_id, voucher_id);

-- Debits that are paid, or on their way to be: they are no longer reversed but credited. Settling fills it.
CREATE TABLE settled_entries (
    organiser_id uuid NOT NULL,
    entry_id     uuid NOT NULL,
    settled_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organiser_id, entry_id),
    FOREIGN KEY (organiser_id, entry_id) REFERENCES entries
);

-- A visit that somebody says was none, or another. Blocks the payment of that line, and of nothing else.
CREATE TABLE disputes (
    organiser_id uuid NOT NULL,
    entry_id     uuid NOT NULL,
    raised_by    text NOT NULL,     -- 'family', or 'credential:<id>'
    reason       text,
    raised_at    timestamptz NOT NULL DEFAULT now(),
    resolved_at  timestamptz,
    resolved_by  text,
    resolution   text,
    PRIMARY KEY (organiser_id, entry_id),
    FOREIGN KEY (organiser_id, entry_id) REFERENCES entries,
    CONSTRAINT disputes_resolved_whole CHECK (num_nonnulls(resolved_at, resolved_by, resolution) IN (0, 3))
);
