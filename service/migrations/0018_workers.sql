-- Workers: people of a provider who may charge by text message, each from a phone of their own and with a PIN of their own.
-- Kept by the provider, so there is no organiser in the key; there are as many as people, not as visits.
CREATE TABLE workers (
    worker_id    uuid PRIMARY KEY,
    provider_id  uuid NOT NULL REFERENCES providers,
    name         text NOT NULL,
    language     text NOT NULL,
    phone_sealed bytea,
    phone_index  bytea CONSTRAINT workers_phone_once UNIQUE,
    phone_hint   text,
    pin_sealed   bytea,              -- the argon2id hash, sealed: six digits behind a bare hash are tried out in hours
    wrong_pins   integer NOT NULL DEFAULT 0,  -- in a row, wrong answers to a question included
    locked_at    timestamptz,        -- until the provider's office gives a new PIN
    counted_on   date,               -- the day in Helsinki that the two counts are of
    texts        integer NOT NULL DEFAULT 0,
    charges      integer NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    removed_at   timestamptz,
    CONSTRAINT workers_language_served CHECK (language IN ('fi', 'sv', 'en')),
    CONSTRAINT workers_tries_counted CHECK (wrong_pins BETWEEN 0 AND 3 AND (wrong_pins < 3 OR locked_at IS NOT NULL)),
    -- Whoever is removed leaves neither number nor PIN behind; the name stays with what was charged.
    CONSTRAINT workers_removed_whole CHECK (num_nonnulls(phone_sealed, phone_index, phone_hint, pin_sealed) = CASE WHEN removed_at IS NULL THEN 4 ELSE 0 END)
);
CREATE INDEX workers_of_provider ON workers (provider_id, worker_id);

-- What a worker who texted no PIN was asked: shall exactly this be charged? The newest question of each worker, which
-- goes with its answer. The code is here as its id alone.
CREATE TABLE charge_questions (
    worker_id     uuid PRIMARY KEY REFERENCES workers,
    question_id   uuid NOT NULL CONSTRAINT charge_questions_id_once UNIQUE,
    number_sealed bytea NOT NULL,    -- what is to be texted back
    organiser_id  uuid NOT NULL,
    code_id       uuid NOT NULL,
    amount        bigint,            -- none: as long as the times say
    service_date  date NOT NULL,
    starts_at     timestamptz,
    ends_at       timestamptz,
    key           text NOT NULL,     -- the idempotency key of the charge, fixed with the question
    fingerprint   bytea NOT NULL,
    expires_at    timestamptz NOT NULL,
    CONSTRAINT charge_questions_amount_positive CHECK (amount > 0),
    CONSTRAINT charge_questions_sized CHECK (num_nonnulls(amount, starts_at) = 1 AND num_nonnulls(starts_at, ends_at) IN (0, 2))
);
