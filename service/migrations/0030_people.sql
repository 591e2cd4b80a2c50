-- People who log in: organisers' caseworkers and providers' staff. Kept for the whole installation, as many as people,
-- not as visits, so there is no organiser in the keys. An e-mail address is only ever here sealed and as an index;
-- a password only as a sealed argon2id hash; tokens and recovery codes only as digests.

CREATE TABLE people (
    person_id       uuid PRIMARY KEY,
    organiser_id    uuid REFERENCES organisers,
    provider_id     uuid REFERENCES providers,
    role            text NOT NULL,
    name            text NOT NULL,
    language        text NOT NULL,
    email_sealed    bytea,
    email_index     bytea CONSTRAINT people_email_once UNIQUE,
    email_hint      text,
    password_sealed bytea,              -- none: has not accepted the invitation, or signs in elsewhere
    password_at     timestamptz,
    totp_sealed     bytea,
    totp_step       bigint,             -- the last step that was used: a code works once
    created_at      timestamptz NOT NULL DEFAULT now(),
    created_by      text NOT NULL,
    disabled_at     timestamptz,
    CONSTRAINT people_one_owner CHECK (num_nonnulls(organiser_id, provider_id) = 1),
    CONSTRAINT people_role_fits CHECK (
        role IN ('caseworker', 'supervisor', 'organiser_admin') AND organiser_id IS NOT NULL
        OR role IN ('worker', 'office', 'provider_admin') AND provider_id IS NOT NULL),
    CONSTRAINT people_language_served CHECK (language IN ('fi', 'sv', 'en')),
    CONSTRAINT people_totp_whole CHECK (totp_sealed IS NOT NULL OR totp_step IS NULL),
    -- Whoever is removed leaves no address and no secret behind; the name stays with what was done.
    CONSTRAINT people_removed_whole CHECK (
        num_nonnulls(email_sealed, email_index, email_hint) = CASE WHEN disabled_at IS NULL THEN 3 ELSE 0 END
        AND (disabled_at IS NULL OR num_nonnulls(password_sealed, totp_sealed) = 0))
);
CREATE INDEX people_of_organiser ON people (organiser_id, person_id) WHERE organiser_id IS NOT NULL;
CREATE INDEX people_of_provider ON people (provider_id, person_id) WHERE provider_id IS NOT NULL;

CREATE TABLE passkeys (
    passkey_id    uuid PRIMARY KEY,
    person_id     uuid NOT NULL REFERENCES people,
    credential_id bytea NOT NULL CONSTRAINT passkeys_credential_once UNIQUE,
    public_key    bytea NOT NULL,
    sign_count    bigint NOT NULL,
    name          text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_used_at  timestamptz
);
CREATE INDEX passkeys_of_person ON passkeys (person_id, passkey_id);

CREATE TABLE recovery_codes (
    person_id uuid NOT NULL REFERENCES people,
    code_hash bytea NOT NULL,           -- SHA-256: eighty random bits need no slow hash
    used_at   timestamptz,
    PRIMARY KEY (person_id, code_hash)
);

-- Who signs in elsewhere: the subject that an OpenID provider knows a person by.
CREATE TABLE oidc_identities (
    issuer    text NOT NULL,
    subject   text NOT NULL,
    person_id uuid NOT NULL REFERENCES people,
    linked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject),
    CONSTRAINT oidc_identities_one_a_person UNIQUE (person_id, issuer)
);

CREATE TABLE sessions (
    session_id   uuid PRIMARY KEY,
    token_hash   bytea NOT NULL CONSTRAINT sessions_token_once UNIQUE,  -- SHA-256 of 256 random bits
    person_id    uuid NOT NULL REFERENCES people,
    stage        text NOT NULL,         -- 'second_factor': the password was right; 'enrol': there is no second factor yet
    user_agent   text NOT NULL,         -- its family, e.g. 'Firefox, Android'
    challenge    bytea,                 -- of the passkey that is being asked for
    secret_sealed bytea,                -- of the authenticator app that is being set up
    notes        jsonb NOT NULL DEFAULT '[]',
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sessions_stage_known CHECK (stage IN ('second_factor', 'enrol', 'full')),
    CONSTRAINT sessions_notes_few CHECK (jsonb_array_length(notes) <= 10)
);
CREATE INDEX sessions_of_person ON sessions (person_id, created_at);
CREATE INDEX sessions_by_age ON sessions (created_at);

-- A link that was mailed: an invitation, or the way back in. The token itself is in the mail alone: sealed for as long
-- as the link lives, because the mail may have to go out again, and as its digest.
CREATE TABLE mailed_links (
    link_id      uuid PRIMARY KEY,
    kind         text NOT NULL,
    person_id    uuid NOT NULL REFERENCES people,
    token_hash   bytea NOT NULL CONSTRAINT mailed_links_token_once UNIQUE,
    token_sealed bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz,
    CONSTRAINT mailed_links_kind_known CHECK (kind IN ('invitation', 'recovery')),
    CONSTRAINT mailed_links_used_forgets CHECK (used_at IS NULL OR token_sealed IS NULL)
);
CREATE INDEX mailed_links_of_person ON mailed_links (person_id, kind, created_at);

-- Failed tries to sign in, counted by who was tried and by where from. `about` is a keyed digest of an e-mail address
-- or of an address prefix: an address that nobody has is counted, too, so that nothing can be told from being blocked.
CREATE TABLE login_failures (
    about      bytea PRIMARY KEY,
    failures   integer NOT NULL,
    last_at    timestamptz NOT NULL,
    open_at    timestamptz NOT NULL,    -- no try is looked at before
    CONSTRAINT login_failures_positive CHECK (failures > 0)
);
CREATE INDEX login_failures_by_age ON login_failures (last_at);

-- What people's log-ins went through: append-only, like `audit`, for owners of either kind.
CREATE TABLE people_events (
    event_id     uuid PRIMARY KEY,
    organiser_id uuid REFERENCES organisers,
    provider_id  uuid REFERENCES providers,
    person_id    uuid NOT NULL REFERENCES people,
    actor        text NOT NULL,
    action       text NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT people_events_one_owner CHECK (num_nonnulls(organiser_id, provider_id) = 1)
);
CREATE INDEX people_events_of_person ON people_events (person_id, event_id);

-- A mail about somebody's log-in that does not arrive is shown to their admins beside that person; the caseworkers' list
-- is about families.
CREATE OR REPLACE VIEW messages_needing_person AS
SELECT m.organiser_id, m.message_id, m.subject_id, m.created_at,
       CASE WHEN m.kind = 'voucher' THEN COALESCE(m.reason, 'unclassified') ELSE 'contact_lost' END AS reason,
       CASE WHEN m.kind = 'voucher' THEN m.message_id END AS about_message,
       m.kind <> 'voucher' AND m.reason = 'suppressed_contact' AS is_known
FROM messages m
WHERE m.state = 'escalated'
  AND (m.kind = 'voucher' OR (m.kind NOT LIKE 'reply\_%' AND m.kind NOT IN ('invitation', 'recovery')
       AND (m.reason IN ('not_routable', 'country_not_served', 'contact_unreadable') OR m.reason LIKE 'bad\_contact%'
            OR (m.reason = 'suppressed_contact' AND m.suppressed_for IN ('bad_contact', 'hard_bounce')))));
