-- Delivery, second floor: who may not be written to, what families write to us, what needs a person, and limits.

-- Languages are served by the templates that there are; the database only wants a language code.
ALTER TABLE organisers DROP CONSTRAINT organisers_language_served;
ALTER TABLE organisers ADD CONSTRAINT organisers_language_coded CHECK (default_language ~ '^[a-z]{2}$');
ALTER TABLE beneficiaries DROP CONSTRAINT beneficiaries_language_served;
ALTER TABLE beneficiaries ADD CONSTRAINT beneficiaries_language_coded CHECK (language ~ '^[a-z]{2}$');

-- Which contact is tried first, of those that there are.
ALTER TABLE beneficiaries ADD COLUMN preferred text NOT NULL DEFAULT 'sms';
ALTER TABLE beneficiaries ADD CONSTRAINT beneficiaries_preferred_known CHECK (preferred IN ('sms', 'email'));

-- Whether texts leave out the name of the service, for homes where that matters; and how families hear of debits.
ALTER TABLE programmes ADD COLUMN neutral_texts boolean NOT NULL DEFAULT false;
ALTER TABLE programmes ADD COLUMN receipts text NOT NULL DEFAULT 'each';
ALTER TABLE programmes ADD CONSTRAINT programmes_receipts_known CHECK (receipts IN ('each', 'daily', 'off'));

-- A contact that must not be written to: opted out, or known not to work. Of the whole installation: a STOP is to a
-- sender, and a dead number is dead for everyone. Sealed as well as indexed, so that key rotation can move it.
CREATE TABLE suppressions (
    channel        text NOT NULL,
    contact_index  bytea NOT NULL,
    contact_sealed bytea NOT NULL,
    index_key      text NOT NULL,
    reason         text NOT NULL,
    since          timestamptz NOT NULL DEFAULT now(),
    lifted_at      timestamptz,
    lifted_by      text,
    lift_reason    text,
    PRIMARY KEY (channel, contact_index),
    CONSTRAINT suppressions_channel_known CHECK (channel IN ('sms', 'email')),
    CONSTRAINT suppressions_reason_known CHECK (reason IN ('opted_out', 'bad_contact', 'hard_bounce', 'complaint')),
    CONSTRAINT suppressions_lifted_by_someone CHECK ((lifted_at IS NULL) = (lifted_by IS NULL))
);

-- Every text that came in, once each by the gateway's id; what it asked for and what we did. Never its words.
CREATE TABLE inbound_texts (
    gateway      text NOT NULL,
    reference    text NOT NULL,
    sender_index bytea NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now(),
    intent       text NOT NULL,
    effect       text NOT NULL,
    PRIMARY KEY (gateway, reference)
);
CREATE INDEX inbound_texts_of_sender ON inbound_texts (sender_index, received_at);

-- What needs a person, oldest first; one open row for one thing.
CREATE TABLE attention (
    organiser_id uuid NOT NULL,
    attention_id uuid NOT NULL,
    reason       text NOT NULL,
    subject_id   uuid NOT NULL,   -- the voucher
    message_id   uuid,
    entry_id     uuid,
    opened_at    timestamptz NOT NULL DEFAULT now(),
    resolved_at  timestamptz,
    resolved_by  text,
    resolution   text,
    PRIMARY KEY (organiser_id, attention_id),
    CONSTRAINT attention_resolved_by_someone CHECK ((resolved_at IS NULL) = (resolved_by IS NULL))
);
CREATE UNIQUE INDEX attention_open_once ON attention (organiser_id, reason, subject_id, message_id, entry_id)
    NULLS NOT DISTINCT WHERE resolved_at IS NULL;
CREATE INDEX attention_open ON attention (organiser_id, opened_at, attention_id) WHERE resolved_at IS NULL;

-- Limits that hold over all workers.
CREATE TABLE gateway_rates (
    gateway     text PRIMARY KEY,
    tokens      double precision NOT NULL,
    refilled_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE gateway_spend (
    gateway    text NOT NULL,
    day        date NOT NULL,     -- in Helsinki
    parts      bigint NOT NULL DEFAULT 0,
    alerted_at timestamptz,
    PRIMARY KEY (gateway, day)
);
CREATE INDEX messages_to ON messages (recipient_index, created_at);

-- A pause that a person ordered lasts until a person ends it.
ALTER TABLE gateway_pauses ADD COLUMN paused_by text;
