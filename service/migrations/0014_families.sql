-- What families are told besides the voucher itself, when, and what of all that needs a person.

-- The first moment from p_at on that is not in the quiet hours, which are whole hours of the clock in Helsinki: from
-- p_from until p_to, over midnight if p_from is the later. The two equal: there are none. The end is a time of that
-- clock, so a night in which it is put forward or back is an hour shorter or longer.
CREATE FUNCTION not_in_quiet_hours(p_at timestamptz, p_from integer, p_to integer) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN (p_from < p_to AND l.hour >= p_from AND l.hour < p_to) OR (p_from > p_to AND l.hour < p_to)
            THEN (l.midnight + make_interval(hours => p_to)) AT TIME ZONE 'Europe/Helsinki'
        WHEN p_from > p_to AND l.hour >= p_from
            THEN (l.midnight + interval '1 day' + make_interval(hours => p_to)) AT TIME ZONE 'Europe/Helsinki'
        ELSE p_at
    END
    FROM (SELECT date_trunc('day', t.local) AS midnight, extract(hour FROM t.local)::integer AS hour
          FROM (SELECT p_at AT TIME ZONE 'Europe/Helsinki' AS local) t) l
$$;

-- When a family that hears of its visits once a day is told of one: at six in the evening, today or tomorrow.
CREATE FUNCTION next_summary(p_at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$
    SELECT (date_trunc('day', p_at AT TIME ZONE 'Europe/Helsinki' + interval '6 hours') + interval '18 hours')
           AT TIME ZONE 'Europe/Helsinki'
$$;

-- The evening that has come last: what is told once an evening is told once from then until the next.
CREATE FUNCTION last_summary(p_at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$
    SELECT (date_trunc('day', p_at AT TIME ZONE 'Europe/Helsinki' - interval '18 hours') + interval '18 hours')
           AT TIME ZONE 'Europe/Helsinki'
$$;

-- Where a family is reached, in the columns of messages. Sealed contacts are bound to the organiser and to nothing
-- else, so their bytes can be copied. A hint can only be made from an open contact: it is taken from an earlier
-- message to the same one, and while key rotation has moved only one of the two, there is none.
CREATE VIEW family_contacts AS
SELECT b.organiser_id, b.voucher_id, b.language,
       CASE WHEN b.mail_first THEN 'email' ELSE 'sms' END AS channel,
       CASE WHEN b.mail_first THEN b.email_sealed ELSE b.phone_sealed END AS recipient_sealed,
       b.first_index AS recipient_index,
       COALESCE(h.recipient_hint, '…') AS recipient_hint,
       CASE WHEN b.second_index IS NULL THEN NULL WHEN b.mail_first THEN 'sms' ELSE 'email' END AS other_channel,
       CASE WHEN b.mail_first THEN b.phone_sealed ELSE b.email_sealed END AS other_sealed,
       b.second_index AS other_index,
       CASE WHEN b.second_index IS NOT NULL THEN COALESCE(h.other_hint, '…') END AS other_hint,
       -- as long as DEADLINE_S in service/channels/model.py; a test holds the two together
       CASE WHEN b.mail_first THEN interval '24 hours' ELSE interval '4 hours' END AS patience
FROM (SELECT f.*,
             CASE WHEN f.mail_first THEN f.email_index ELSE f.phone_index END AS first_index,
             CASE WHEN f.mail_first THEN f.phone_index ELSE f.email_index END AS second_index
      FROM (SELECT *, email_index IS NOT NULL AND (phone_index IS NULL OR preferred = 'email') AS mail_first
            FROM beneficiaries) f) b
LEFT JOIN LATERAL (
    SELECT m.recipient_hint, m.other_hint FROM messages m
    WHERE m.organiser_id = b.organiser_id AND m.subject_id = b.voucher_id
      AND m.recipient_index = b.first_index AND m.other_index IS NOT DISTINCT FROM b.second_index
    LIMIT 1) h ON true
WHERE b.first_index IS NOT NULL;

-- Entries that their family is told of with others, in the evening. The row goes when the summary is written, in one
-- transaction: so each is told once, however often and by however many the summaries are made.
CREATE TABLE entries_to_tell (
    organiser_id uuid NOT NULL,
    entry_id     uuid NOT NULL,
    voucher_id   uuid NOT NULL,
    tell_at      timestamptz NOT NULL,
    PRIMARY KEY (organiser_id, entry_id),
    FOREIGN KEY (organiser_id, entry_id) REFERENCES entries
);
CREATE INDEX entries_to_tell_due ON entries_to_tell (tell_at);

-- One reminder of a kind for a voucher, for ever, whoever makes it and whatever the clocks do.
CREATE UNIQUE INDEX messages_reminded_once ON messages (organiser_id, subject_id, kind)
    WHERE kind IN ('reminder_unused', 'reminder_expiring') AND fallback_of IS NULL;
CREATE INDEX messages_reminded_of_use ON messages (created_at) WHERE kind = 'reminder_unused' AND fallback_of IS NULL;
-- A debit changes neither column: its update of the voucher stays heap-only.
CREATE INDEX vouchers_by_start ON vouchers (valid_from);
CREATE INDEX vouchers_by_end ON vouchers (valid_to);
-- Searches through many vouchers, and the day in Helsinki on which each last came to its end: once a day is enough.
CREATE TABLE daily_searches (
    search      text PRIMARY KEY,
    finished_on date NOT NULL
);

-- Tell a family of something besides its voucher: the one place that says how urgent that is (8: after vouchers and
-- answers, not in the quiet hours, not from the reserve of the budget) and how long it is tried. False when the family
-- has no contact, or has been reminded of this before. What it says is p_fields, and what p_secret stands for when it
-- is sent.
CREATE FUNCTION queue_family_message(
    p_organiser uuid, p_voucher uuid, p_message uuid, p_kind text, p_secret uuid, p_fields jsonb, p_requested_by text,
    p_quiet_from integer, p_quiet_to integer
) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE v_due_at timestamptz := not_in_quiet_hours(now(), p_quiet_from, p_quiet_to);
BEGIN
    INSERT INTO messages (
        organiser_id, message_id, kind, subject_id, secret_id, fields, channel, language,
        recipient_sealed, recipient_index, recipient_hint, other_channel, other_sealed, other_index, other_hint,
        priority, due_at, deadline_at, requested_by)
    SELECT c.organiser_id, p_message, p_kind, c.voucher_id, p_secret, p_fields, c.channel, c.language,
           c.recipient_sealed, c.recipient_index, c.recipient_hint,
           c.other_channel, c.other_sealed, c.other_index, c.other_hint,
           8, v_due_at, v_due_at + c.patience, p_requested_by
    FROM family_contacts c WHERE c.organiser_id = p_organiser AND c.voucher_id = p_voucher
    ON CONFLICT (organiser_id, subject_id, kind)
        WHERE kind IN ('reminder_unused', 'reminder_expiring') AND fallback_of IS NULL DO NOTHING;
    RETURN FOUND;
END $$;

-- Messages that ended without having been delivered and need a person, one row a message.
-- A voucher's message is a matter of its own. What is told besides (receipts, reminders) is not: to send that again is
-- no use, and the code is not to be sent for it. What a person can do is to ask for a contact that works, so only what
-- says that this one does not is listed; as one matter of the voucher (about_message is NULL), for ten visits to a
-- family with a dead number are one. is_known: nothing was tried, the contact had been found dead before. An answer to a
-- text (reply_…) can be asked for again.
CREATE INDEX messages_escalated ON messages (created_at) WHERE state = 'escalated';
CREATE VIEW messages_needing_person AS
SELECT m.organiser_id, m.message_id, m.subject_id, m.created_at,
       CASE WHEN m.kind = 'voucher' THEN COALESCE(m.reason, 'unclassified') ELSE 'contact_lost' END AS reason,
       CASE WHEN m.kind = 'voucher' THEN m.message_id END AS about_message,
       m.kind <> 'voucher' AND m.reason = 'suppressed_contact' AS is_known
FROM messages m
WHERE m.state = 'escalated'
  AND (m.kind = 'voucher' OR (m.kind NOT LIKE 'reply\_%'
       AND (m.reason IN ('not_routable', 'country_not_served', 'contact_unreadable') OR m.reason LIKE 'bad\_contact%'
            OR (m.reason = 'suppressed_contact' AND m.suppressed_for IN ('bad_contact', 'hard_bounce')))));
CREATE INDEX attention_of_subject ON attention (organiser_id, subject_id);

-- The functions that charge and take back. They use the rules and the look-up of 0002, and write what the family is
-- told in the transaction of what it tells; the quiet hours, which are settings, are their last arguments.

-- The receipt of an entry: now, in the evening, or not at all, as the programme has it. Its id is the entry's, so
-- there can be only one; what is left is kept as it is now, and the words are made when it is sent.
CREATE FUNCTION tell_of_entry(
    p_receipts text, p_kind text, p_organiser uuid, p_voucher uuid, p_entry uuid, p_available bigint,
    p_quiet_from integer, p_quiet_to integer
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_receipts = 'each' THEN
        PERFORM queue_family_message(p_organiser, p_voucher, p_entry, p_kind, p_entry,
                                     jsonb_build_object('available', p_available::text), 'debit', p_quiet_from, p_quiet_to);
    ELSIF p_receipts = 'daily' THEN
        INSERT INTO entries_to_tell (organiser_id, entry_id, voucher_id, tell_at)
        VALUES (p_organiser, p_entry, p_voucher, next_summary(now()));
    END IF;
END $$;

-- Charge one visit. Exactly one effect for a (provider, key), for ever; a replay gets the first answer.
-- outcome 'ok': answer is the body of the 201; anything else: the code of the refusal, answer is its details.
-- Steps: 1 claim the key (a rival with the same key waits here) 2 or replay it 3 find the code 4 charge the newest
-- version of the voucher, guarded 5 write the entry, what the family is told of it, and the outcome, refusals too.
CREATE FUNCTION debit(
    p_provider uuid, p_credential uuid, p_key text, p_fingerprint bytea, p_previous_fingerprint bytea,
    p_index bytea, p_previous_index bytea, p_entry uuid, p_amount bigint, p_service_date date, p_reference text,
    p_language text, p_quiet_from integer DEFAULT 21, p_quiet_to integer DEFAULT 8,
    OUT outcome text, OUT answer text, OUT replayed boolean, OUT language text
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_found record;
    v_voucher vouchers;
    v_today date := helsinki_today();
    v_service_date date := COALESCE(p_service_date, v_today);
    v_decision record;
BEGIN
    replayed := false;
    language := p_language;
    INSERT INTO requests (owner_id, idempotency_key, fingerprint, language)
    VALUES (p_provider, p_key, p_fingerprint, p_language) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT r.outcome, r.answer, r.language INTO outcome, answer, language
        FROM replay_request(p_provider, p_key, p_fingerprint, p_previous_fingerprint, p_language) r;
        replayed := outcome <> 'idempotency_key_reused';
        RETURN;
    END IF;

    SELECT * INTO v_found FROM find_code(p_provider, p_credential, p_index, p_previous_index, v_service_date);
    outcome := v_found.outcome;
    answer := v_found.details::text;
    IF outcome = 'credential_blocked' THEN
        -- Not a verdict about this request: it may be repeated with the same key when the block is over.
        DELETE FROM requests r WHERE r.owner_id = p_provider AND r.idempotency_key = p_key;
        RETURN;
    END IF;

    IF outcome = 'ok' THEN
        LOOP
            -- After a lock wait the guard is evaluated again, on the newest version of the row. The code is part of
            -- the guard: it may have been replaced since it was found.
            UPDATE vouchers v SET available = v.available - p_amount, debited = v.debited + p_amount
            WHERE v.organiser_id = v_found.organiser_id AND v.voucher_id = v_found.voucher_id
              AND v.code_id = v_found.code_id AND debit_refusal(v, p_amount, v_service_date, v_today) IS NULL
            RETURNING v.* INTO v_voucher;
            EXIT WHEN FOUND;
            SELECT v.* INTO v_voucher FROM vouchers v
            WHERE v.organiser_id = v_found.organiser_id AND v.voucher_id = v_found.voucher_id;
            outcome := CASE WHEN v_voucher.code_id <> v_found.code_id THEN 'code_superseded'
                            ELSE debit_refusal(v_voucher, p_amount, v_service_date, v_today) END;
            EXIT WHEN outcome IS NOT NULL;  -- NULL: it changed between the two statements, for the better
        END LOOP;
        IF outcome IS NULL THEN outcome := 'ok'; END IF;
    END IF;

    IF outcome = 'ok' THEN
        INSERT INTO entries (organiser_id, entry_id, voucher_id, code_id, provider_id, credential_id, kind, amount, service_date, reference)
        VALUES (v_found.organiser_id, p_entry, v_found.voucher_id, v_found.code_id, p_provider, p_credential, 'debit', p_amount, v_service_date, p_reference);
        SELECT d.decision_ref, d.status, o.slug, p.receipts INTO v_decision
        FROM decisions d JOIN organisers o ON o.organiser_id = d.organiser_id
        JOIN programmes p ON p.organiser_id = d.organiser_id AND p.programme = d.programme
        WHERE d.organiser_id = v_found.organiser_id AND d.decision_id = v_voucher.decision_id;
        answer := json_build_object(
            'debit_id', p_entry, 'voucher_id', v_voucher.voucher_id, 'organiser', v_decision.slug,
            'programme', v_voucher.programme, 'amount', p_amount, 'unit', v_voucher.unit, 'service_date', v_service_date,
            'entered_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'reference', p_reference,
            'available', v_voucher.available, 'valid_to', v_voucher.valid_to,
            'decision_ref', v_decision.decision_ref, 'decision_status', v_decision.status)::text;
        PERFORM tell_of_entry(v_decision.receipts, 'debit_receipt', v_found.organiser_id, v_found.voucher_id, p_entry,
                              v_voucher.available, p_quiet_from, p_quiet_to);
    ELSIF v_voucher.voucher_id IS NOT NULL THEN
        answer := refusal_details(v_voucher, p_amount, v_service_date)::text;
    END IF;
    UPDATE requests r SET outcome = debit.outcome, answer = debit.answer
    WHERE r.owner_id = p_provider AND r.idempotency_key = p_key;
END $$;

-- Many charges in one transaction: what arrives while a commit is under way shares the next one. Rows are taken in
-- the order of their codes, so that two such calls never wait for each other in a circle.
CREATE FUNCTION debit_many(
    p_providers uuid[], p_credentials uuid[], p_keys text[], p_fingerprints bytea[], p_previous_fingerprints bytea[],
    p_indexes bytea[], p_previous_indexes bytea[], p_entries uuid[], p_amounts bigint[], p_service_dates date[],
    p_references text[], p_languages text[], p_quiet_from integer DEFAULT 21, p_quiet_to integer DEFAULT 8
) RETURNS TABLE (place bigint, outcome text, answer text, replayed boolean, language text)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE r record;
BEGIN
    FOR r IN
        SELECT * FROM unnest(p_providers, p_credentials, p_keys, p_fingerprints, p_previous_fingerprints, p_indexes,
                             p_previous_indexes, p_entries, p_amounts, p_service_dates, p_references, p_languages)
            WITH ORDINALITY AS t (provider, credential, key, fingerprint, previous_fingerprint, index, previous_index,
                                  entry, amount, service_date, reference, language, place)
        ORDER BY t.index, t.provider, t.key
    LOOP
        RETURN QUERY SELECT r.place, d.outcome, d.answer, d.replayed, d.language
        FROM debit(r.provider, r.credential, r.key, r.fingerprint, r.previous_fingerprint, r.index, r.previous_index,
                   r.entry, r.amount, r.service_date, r.reference, r.language, p_quiet_from, p_quiet_to) d;
    END LOOP;
END $$;

-- Undo a debit that is not settled, with an entry of the opposite sign. Value goes back to where it can be used: to
-- the family while the voucher lives, to the budget's side when it has ended.
CREATE FUNCTION reverse_debit(
    p_provider uuid, p_credential uuid, p_key text, p_fingerprint bytea, p_previous_fingerprint bytea,
    p_entry uuid, p_debit uuid, p_reason text, p_language text,
    p_quiet_from integer DEFAULT 21, p_quiet_to integer DEFAULT 8,
    OUT outcome text, OUT answer text, OUT replayed boolean, OUT language text
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_debit entries;
    v_voucher vouchers;
BEGIN
    replayed := false;
    language := p_language;
    INSERT INTO requests (owner_id, idempotency_key, fingerprint, language)
    VALUES (p_provider, p_key, p_fingerprint, p_language) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT r.outcome, r.answer, r.language INTO outcome, answer, language
        FROM replay_request(p_provider, p_key, p_fingerprint, p_previous_fingerprint, p_language) r;
        replayed := outcome <> 'idempotency_key_reused';
        RETURN;
    END IF;

    answer := '{}';
    SELECT e.* INTO v_debit FROM entries e WHERE e.provider_id = p_provider AND e.entry_id = p_debit AND e.kind = 'debit';
    IF NOT FOUND THEN
        outcome := 'debit_not_found';
    ELSE
        -- The voucher's row is the lock of everything about it; refunds take it as charges do.
        PERFORM FROM vouchers v WHERE v.organiser_id = v_debit.organiser_id AND v.voucher_id = v_debit.voucher_id FOR NO KEY UPDATE;
        IF EXISTS (SELECT FROM entries e WHERE e.organiser_id = v_debit.organiser_id AND e.reverses = v_debit.entry_id) THEN
            outcome := 'already_reversed';
        ELSE
            outcome := 'ok';
            UPDATE vouchers v SET
                debited = v.debited - v_debit.amount,
                available = v.available + CASE WHEN v.state NOT IN ('expired', 'closed') THEN v_debit.amount ELSE 0 END,
                expired = v.expired + CASE WHEN v.state IN ('expired', 'closed') AND v.cancelled_from IS NULL THEN v_debit.amount ELSE 0 END,
                cancelled = v.cancelled + CASE WHEN v.state IN ('expired', 'closed') AND v.cancelled_from IS NOT NULL THEN v_debit.amount ELSE 0 END
            WHERE v.organiser_id = v_debit.organiser_id AND v.voucher_id = v_debit.voucher_id
            RETURNING v.* INTO v_voucher;
            INSERT INTO entries (organiser_id, entry_id, voucher_id, code_id, provider_id, credential_id, kind, amount, service_date, reason, reverses)
            VALUES (v_debit.organiser_id, p_entry, v_debit.voucher_id, v_debit.code_id, p_provider, p_credential, 'reversal', -v_debit.amount, v_debit.service_date, p_reason, v_debit.entry_id);
            answer := json_build_object(
                'reversal_id', p_entry, 'debit_id', v_debit.entry_id, 'voucher_id', v_debit.voucher_id,
                'amount', v_debit.amount, 'unit', v_voucher.unit,
                'entered_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                'available', v_voucher.available)::text;
            PERFORM tell_of_entry(p.receipts, 'debit_reversed', v_debit.organiser_id, v_debit.voucher_id, p_entry,
                                  v_voucher.available, p_quiet_from, p_quiet_to)
            FROM programmes p WHERE p.organiser_id = v_voucher.organiser_id AND p.programme = v_voucher.programme;
        END IF;
    END IF;
    UPDATE requests r SET outcome = reverse_debit.outcome, answer = reverse_debit.answer
    WHERE r.owner_id = p_provider AND r.idempotency_key = p_key;
END $$;
