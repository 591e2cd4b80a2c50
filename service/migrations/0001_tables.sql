-- Every table that grows with use has organiser_id first in its key, so that it can be distributed by organiser later.
-- The exceptions are look-up tables with keys of their own: voucher_codes and requests. No triggers on those tables.
-- Personal data (phone, e-mail) and codes are only ever here as *_sealed (AES-GCM) and *_index (HMAC) bytes.

CREATE TABLE regions (
    region_id  uuid PRIMARY KEY,
    slug       text NOT NULL CONSTRAINT regions_slug_unique UNIQUE,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT regions_slug_plain CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,39}$')
);

CREATE TABLE organisers (
    organiser_id      uuid PRIMARY KEY,
    slug              text NOT NULL CONSTRAINT organisers_slug_unique UNIQUE,
    name              text NOT NULL,
    region_id         uuid REFERENCES regions,
    default_language  text NOT NULL DEFAULT 'fi',
    help_phone        text NOT NULL,  -- whom a family calls; printed in every text
    directory_address text NOT NULL,  -- where the approved providers are listed, short enough for a text message
    created_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT organisers_slug_plain CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
    CONSTRAINT organisers_language_served CHECK (default_language IN ('fi', 'sv', 'en'))
);

CREATE TABLE programmes (
    organiser_id     uuid NOT NULL REFERENCES organisers,
    programme        text NOT NULL,   -- slug: approvals of a region name programmes by it
    names            jsonb NOT NULL,  -- {"fi": …, "sv": …, "en": …}: short, they go into text messages
    unit             text NOT NULL,
    step             bigint NOT NULL DEFAULT 1,
    unit_value_cents bigint,          -- what one hour, visit or session is worth; none for a money voucher
    created_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organiser_id, programme),
    CONSTRAINT programmes_slug_plain CHECK (programme ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
    CONSTRAINT programmes_unit_known CHECK (unit IN ('cents', 'minutes', 'visits', 'sessions')),
    CONSTRAINT programmes_step_positive CHECK (step > 0),
    CONSTRAINT programmes_value_positive CHECK (unit_value_cents > 0),
    CONSTRAINT programmes_names_complete CHECK (names ?& ARRAY['fi', 'sv', 'en'])
);

CREATE TABLE providers (
    provider_id  uuid PRIMARY KEY,
    business_id  text NOT NULL CONSTRAINT providers_business_id_unique UNIQUE,  -- Y-tunnus
    name         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    suspended_at timestamptz
);

-- Which programmes a provider may be paid for, by one organiser or by every organiser of a region.
CREATE TABLE approvals (
    approval_id  uuid PRIMARY KEY,
    provider_id  uuid NOT NULL REFERENCES providers,
    organiser_id uuid REFERENCES organisers,
    region_id    uuid REFERENCES regions,
    programme    text NOT NULL,
    valid_from   date NOT NULL,
    valid_to     date,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT approvals_one_scope CHECK (num_nonnulls(organiser_id, region_id) = 1),
    CONSTRAINT approvals_dates_in_order CHECK (valid_to >= valid_from),
    CONSTRAINT approvals_unique UNIQUE NULLS NOT DISTINCT (provider_id, programme, organiser_id, region_id)
);

-- One key of an organiser's case system or of a provider's. The key itself is shown once and never stored.
CREATE TABLE api_keys (
    key_id       uuid PRIMARY KEY,
    key_hash     bytea NOT NULL CONSTRAINT api_keys_hash_unique UNIQUE,  -- SHA-256
    hint         text NOT NULL,                                          -- last four characters
    name         text NOT NULL,
    organiser_id uuid REFERENCES organisers,
    provider_id  uuid REFERENCES providers,
    permissions  text[] NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    CONSTRAINT api_keys_one_owner CHECK (num_nonnulls(organiser_id, provider_id) = 1)
);
CREATE INDEX api_keys_of_provider ON api_keys (provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX api_keys_of_organiser ON api_keys (organiser_id) WHERE organiser_id IS NOT NULL;

CREATE TABLE decisions (
    organiser_id   uuid NOT NULL,
    decision_id    uuid NOT NULL,
    decision_ref   text NOT NULL,
    programme      text NOT NULL,
    status         text NOT NULL,
    client_ref     text NOT NULL,  -- opaque; never a personal identity code
    granted        bigint NOT NULL,
    weekly_visits  integer,
    weekly_minutes integer,
    valid_from     date NOT NULL,
    valid_to       date NOT NULL,
    fingerprint    bytea NOT NULL, -- keyed digest of the content as it was posted: same again, or another decision?
    created_by     text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    confirmed_at   timestamptz,
    PRIMARY KEY (organiser_id, decision_id),
    FOREIGN KEY (organiser_id, programme) REFERENCES programmes,
    CONSTRAINT decisions_ref_unique UNIQUE (organiser_id, decision_ref),
    CONSTRAINT decisions_status_known CHECK (status IN ('provisional', 'confirmed')),
    CONSTRAINT decisions_dates_in_order CHECK (valid_to >= valid_from),
    CONSTRAINT decisions_caps_positive CHECK (weekly_visits > 0 AND weekly_minutes > 0)
);

CREATE INDEX decisions_of_client ON decisions (organiser_id, client_ref);

-- fillfactor: a debit rewrites the row; room on the page keeps that a heap-only update. No column that a debit changes
-- is indexed, for the same reason.
CREATE TABLE vouchers (
    organiser_id   uuid NOT NULL,
    voucher_id     uuid NOT NULL,
    decision_id    uuid NOT NULL,
    programme      text NOT NULL,
    unit           text NOT NULL,
    step           bigint NOT NULL,
    code_id        uuid NOT NULL,  -- the live code
    state          text NOT NULL DEFAULT 'issued',
    granted        bigint NOT NULL,
    available      bigint NOT NULL,
    held           bigint NOT NULL DEFAULT 0,
    debited        bigint NOT NULL DEFAULT 0,
    expired        bigint NOT NULL DEFAULT 0,
    cancelled      bigint NOT NULL DEFAULT 0,
    weekly_visits  integer,
    weekly_minutes integer,
    valid_from     date NOT NULL,
    valid_to       date NOT NULL,
    cancelled_from date,           -- visits from this day on are no longer paid
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organiser_id, voucher_id),
    FOREIGN KEY (organiser_id, decision_id) REFERENCES decisions,
    CONSTRAINT vouchers_decision_unique UNIQUE (organiser_id, decision_id),
    CONSTRAINT vouchers_state_known CHECK (state IN ('issued', 'suspended', 'expired', 'cancelled', 'closed')),
    CONSTRAINT vouchers_value_adds_up CHECK (granted = available + held + debited + expired + cancelled),
    CONSTRAINT vouchers_never_negative CHECK (granted > 0 AND available >= 0 AND held >= 0 AND debited >= 0 AND expired >= 0 AND cancelled >= 0),
    CONSTRAINT vouchers_cancelled_dated CHECK (state <> 'cancelled' OR cancelled_from IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX vouchers_by_time ON vouchers (created_at);

CREATE TABLE beneficiaries (
    organiser_id uuid NOT NULL,
    voucher_id   uuid NOT NULL,
    initials     text,
    municipality text,
    language     text NOT NULL,
    phone_sealed bytea,
    phone_index  bytea,
    email_sealed bytea,
    email_index  bytea,
    PRIMARY KEY (organiser_id, voucher_id),
    FOREIGN KEY (organiser_id, voucher_id) REFERENCES vouchers,
    CONSTRAINT beneficiaries_language_served CHECK (language IN ('fi', 'sv', 'en')),
    CONSTRAINT beneficiaries_indexed CHECK ((phone_sealed IS NULL) = (phone_index IS NULL) AND (email_sealed IS NULL) = (email_index IS NULL))
);
CREATE INDEX beneficiaries_phone ON beneficiaries (organiser_id, phone_index) WHERE phone_index IS NOT NULL;
CREATE INDEX beneficiaries_email ON beneficiaries (organiser_id, email_index) WHERE email_index IS NOT NULL;

CREATE TABLE codes (
    organiser_id  uuid NOT NULL,
    code_id       uuid NOT NULL,
    voucher_id    uuid NOT NULL,
    sealed        bytea NOT NULL,
    sealed_key    text NOT NULL,
    last_four     text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    superseded_at timestamptz,
    PRIMARY KEY (organiser_id, code_id),
    FOREIGN KEY (organiser_id, voucher_id) REFERENCES vouchers,
    CONSTRAINT codes_last_four_short CHECK (length(last_four) = 4)
);
CREATE UNIQUE INDEX codes_one_live ON codes (organiser_id, voucher_id) WHERE superseded_at IS NULL;
CREATE INDEX codes_of_voucher ON codes (organiser_id, voucher_id);

-- The look-up from a code that a provider typed to the voucher it pays from.
CREATE TABLE voucher_codes (
    code_index   bytea PRIMARY KEY,
    index_key    text NOT NULL,
    organiser_id uuid NOT NULL,
    voucher_id   uuid NOT NULL,
    code_id      uuid NOT NULL
);
CREATE INDEX voucher_codes_of_key ON voucher_codes (index_key, code_id);

-- Every write that came with an Idempotency-Key, and what it was answered. Never pruned: a key of money never expires.
CREATE TABLE requests (
    owner_id        uuid NOT NULL,  -- the provider, or the organiser
    idempotency_key text NOT NULL,
    fingerprint     bytea NOT NULL, -- keyed digest of the request: the same again, or another one?
    outcome         text,           -- 'ok', or the code of the refusal
    answer          text,           -- the body of a success, byte for byte; the details of a refusal
    language        text NOT NULL,  -- a refusal is told again in the language it was first told in
    replays         integer NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, idempotency_key)
) WITH (fillfactor = 85);

-- What was charged. Append-only: a correction is a new entry with the opposite sign.
CREATE TABLE entries (
    organiser_id  uuid NOT NULL,
    entry_id      uuid NOT NULL,
    voucher_id    uuid NOT NULL,
    code_id       uuid NOT NULL,
    provider_id   uuid NOT NULL,
    credential_id uuid NOT NULL,
    kind          text NOT NULL,
    amount        bigint NOT NULL,  -- added to the voucher's `debited`
    service_date  date NOT NULL,
    reference     text,             -- the provider's own
    reason        text,
    reverses      uuid,
    entered_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organiser_id, entry_id),
    FOREIGN KEY (organiser_id, voucher_id) REFERENCES vouchers,
    CONSTRAINT entries_reversed_once UNIQUE (organiser_id, reverses),
    CONSTRAINT entries_kind_known CHECK (kind IN ('debit', 'reversal')),
    CONSTRAINT entries_sign CHECK ((kind = 'debit' AND amount > 0 AND reverses IS NULL) OR (kind = 'reversal' AND amount < 0 AND reverses IS NOT NULL))
);
CREATE INDEX entries_of_voucher ON entries (organiser_id, voucher_id);
CREATE INDEX entries_of_provider ON entries (provider_id, entry_id);  -- ids are UUIDv7: this is by time, too

-- A well-formed code that was not the provider's business, and the credentials stopped for guessing.
CREATE TABLE code_misses (
    missed_at     timestamptz NOT NULL DEFAULT now(),
    credential_id uuid NOT NULL,
    provider_id   uuid NOT NULL
);
CREATE INDEX code_misses_of_credential ON code_misses (credential_id, missed_at);
CREATE INDEX code_misses_by_time ON code_misses (missed_at);

CREATE TABLE credential_blocks (
    credential_id uuid PRIMARY KEY,
    blocked_until timestamptz NOT NULL
);

-- Who did what to whom, and why. Ids and reasons, never contents.
CREATE TABLE audit (
    organiser_id uuid NOT NULL,
    audit_id     uuid NOT NULL,
    actor        text NOT NULL,  -- 'key:<id>' or 'command line:<user>'
    action       text NOT NULL,
    subject_id   uuid NOT NULL,
    reason       text,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organiser_id, audit_id)
);
CREATE INDEX audit_of_subject ON audit (organiser_id, subject_id);

-- One thing to tell someone. The row is written in the transaction of what it tells.
CREATE TABLE messages (
    organiser_id     uuid NOT NULL,
    message_id       uuid NOT NULL,
    kind             text NOT NULL,      -- the folder under templates/messages/
    subject_id       uuid NOT NULL,      -- what it is about; channels do not know more
    secret_id        uuid,               -- what the rendering callback turns into the part that is not in `fields`
    fields           jsonb NOT NULL,     -- what the text says, frozen; never a code or a contact
    channel          text NOT NULL,
    language         text NOT NULL,
    recipient_sealed bytea NOT NULL,
    recipient_index  bytea NOT NULL,
    recipient_hint   text NOT NULL,      -- '… 567' or 'm…@…': for a caseworker to recognise, not to use
    other_channel    text,               -- tried once when this one is closed to the family
    other_sealed     bytea,
    other_index      bytea,
    other_hint       text,
    fallback_of      uuid,
    state            text NOT NULL DEFAULT 'pending',
    reason           text,               -- why it is in that state, as a stable word
    priority         smallint NOT NULL DEFAULT 5,
    due_at           timestamptz DEFAULT now(),  -- when the dispatcher must look again; none: nothing left to do
    deadline_at      timestamptz NOT NULL,
    tries            integer NOT NULL DEFAULT 0,  -- refusals that may be retried
    unknowns         integer NOT NULL DEFAULT 0,
    lookups          integer NOT NULL DEFAULT 0,
    fence            bigint NOT NULL DEFAULT 0,   -- every claim takes the next; a write under an older one changes nothing
    requested_by     text NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    accepted_at      timestamptz,
    delivered_at     timestamptz,
    PRIMARY KEY (organiser_id, message_id),
    CONSTRAINT messages_channel_known CHECK (channel IN ('sms', 'email')),
    CONSTRAINT messages_state_known CHECK (state IN ('pending', 'sending', 'accepted', 'sent', 'delivered', 'undelivered', 'unknown', 'failed', 'escalated', 'suppressed')),
    CONSTRAINT messages_work_is_due CHECK (state NOT IN ('pending', 'sending', 'unknown') OR due_at IS NOT NULL)
) WITH (fillfactor = 70);
CREATE INDEX messages_due ON messages (state, priority, due_at) WHERE due_at IS NOT NULL;
CREATE UNIQUE INDEX messages_fallback_once ON messages (organiser_id, fallback_of) WHERE fallback_of IS NOT NULL;
CREATE INDEX messages_of_subject ON messages (organiser_id, subject_id);

-- One call to a gateway, committed before the call is made.
CREATE TABLE attempts (
    organiser_id uuid NOT NULL,
    attempt_id   uuid NOT NULL,
    message_id   uuid NOT NULL,
    token        uuid NOT NULL,   -- random; the receipt finds its attempt by it
    gateway      text NOT NULL,
    fence        bigint NOT NULL,
    outcome      text,            -- none while the call is under way
    reference    text,            -- the gateway's own id
    error_code   text,
    body_digest  bytea,           -- keyed: recognises our text in the gateway's list
    parts        smallint,
    encoding     text,
    started_at   timestamptz NOT NULL DEFAULT now(),
    answered_at  timestamptz,
    PRIMARY KEY (organiser_id, attempt_id),
    FOREIGN KEY (organiser_id, message_id) REFERENCES messages,
    CONSTRAINT attempts_token_unique UNIQUE (organiser_id, token),
    CONSTRAINT attempts_outcome_known CHECK (outcome IN ('accepted', 'refused', 'unknown'))
) WITH (fillfactor = 80);
CREATE INDEX attempts_of_message ON attempts (organiser_id, message_id);

-- One status report about an attempt, journalled before it is acted on.
CREATE TABLE receipts (
    organiser_id uuid NOT NULL,
    receipt_id   uuid NOT NULL,
    attempt_id   uuid NOT NULL,
    reference    text NOT NULL,
    status       text NOT NULL,   -- in the gateway's words
    error_code   text,
    received_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organiser_id, receipt_id),
    FOREIGN KEY (organiser_id, attempt_id) REFERENCES attempts,
    CONSTRAINT receipts_once UNIQUE (organiser_id, attempt_id, reference, status)
);

-- A gateway whose set-up is at fault keeps its messages until it is looked at again.
CREATE TABLE gateway_pauses (
    gateway      text PRIMARY KEY,
    reason       text NOT NULL,
    paused_at    timestamptz NOT NULL DEFAULT now(),
    paused_until timestamptz NOT NULL
);
