-- What charging a voucher rests on: the rules, the look-up of a code, the replay of a request, and validating. The functions
-- that charge are in 0014, beside what a family is told of it. Each public function is one autocommit call under READ
-- COMMITTED: one round trip, one commit. What the steps guard against is told in docs/reliability.md.

-- The one place that decides whether a voucher may be charged. NULL: it may. The order of the tests is the order of
-- precedence and is mirrored by `refusal` in service/debits/model.py; weekly caps, holds, tariffs and possible
-- duplicates get their places here as they come.
CREATE FUNCTION debit_refusal(v vouchers, p_amount bigint, p_service_date date, p_today date) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN v.state = 'closed' THEN 'voucher_closed'
        WHEN v.state = 'suspended' THEN 'voucher_suspended'
        WHEN v.state = 'cancelled' AND p_service_date >= v.cancelled_from THEN 'voucher_cancelled'
        WHEN p_service_date > p_today THEN 'service_date_in_future'
        WHEN p_service_date < v.valid_from THEN 'voucher_not_yet_valid'
        WHEN p_service_date > v.valid_to THEN 'voucher_expired'
        WHEN p_today > LEAST(v.valid_to, v.cancelled_from) + 30 THEN 'late_entry_closed'
        WHEN p_amount % v.step <> 0 THEN 'amount_not_in_steps'
        WHEN p_amount > v.available THEN 'insufficient_value'
    END
$$;

-- What a refusal tells besides its code. Only ever shown to a provider who is approved for the voucher.
CREATE FUNCTION refusal_details(v vouchers, p_amount bigint, p_service_date date) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object(
        'available', v.available, 'requested', p_amount, 'unit', v.unit, 'step', v.step,
        'valid_from', v.valid_from, 'valid_to', v.valid_to, 'cancelled_from', v.cancelled_from,
        'service_date', p_service_date)
$$;

CREATE FUNCTION helsinki_today() RETURNS date
LANGUAGE sql STABLE AS $$ SELECT (now() AT TIME ZONE 'Europe/Helsinki')::date $$;

CREATE FUNCTION provider_is_approved(p_provider uuid, p_organiser uuid, p_programme text, p_on date) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM approvals a
        WHERE a.provider_id = p_provider AND a.programme = p_programme
          AND p_on >= a.valid_from AND (a.valid_to IS NULL OR p_on <= a.valid_to)
          AND (a.organiser_id = p_organiser
               OR a.region_id = (SELECT o.region_id FROM organisers o WHERE o.organiser_id = p_organiser)))
$$;

-- Finds what a code pays from, for a provider, or says why there is nothing for them: 'credential_blocked',
-- 'not_approved_on_date', 'code_superseded', or 'code_unknown' for everything that is not this provider's business: an
-- unknown code, another organiser's or programme's, one replaced more than 30 days ago: the same answer after the same
-- work, counted as a miss. 5 misses an hour or 20 a day stop the credential.
CREATE FUNCTION find_code(
    p_provider uuid, p_credential uuid, p_index bytea, p_previous_index bytea, p_service_date date,
    OUT outcome text, OUT details jsonb, OUT organiser_id uuid, OUT voucher_id uuid, OUT code_id uuid
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    v_until timestamptz;
    v_superseded_at timestamptz;
    v_live_code uuid;
    v_programme text;
    v_approved boolean;
    v_hour bigint;
    v_day bigint;
BEGIN
    SELECT b.blocked_until INTO v_until FROM credential_blocks b WHERE b.credential_id = p_credential AND b.blocked_until > now();
    IF FOUND THEN
        outcome := 'credential_blocked';
        details := jsonb_build_object(
            'retry_at', to_char(v_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'retry_after_s', ceil(extract(epoch FROM v_until - now()))::int);
        RETURN;
    END IF;

    SELECT c.organiser_id, c.voucher_id, c.code_id INTO organiser_id, voucher_id, code_id
    FROM voucher_codes c WHERE c.code_index = p_index;
    IF NOT FOUND AND p_previous_index IS NOT NULL THEN
        SELECT c.organiser_id, c.voucher_id, c.code_id INTO organiser_id, voucher_id, code_id
        FROM voucher_codes c WHERE c.code_index = p_previous_index;
    END IF;

    -- Done for a code that nobody has, too: whether one exists must not show in the time it takes.
    SELECT v.programme, v.code_id INTO v_programme, v_live_code FROM vouchers v
    WHERE v.organiser_id = COALESCE(find_code.organiser_id, nobody) AND v.voucher_id = COALESCE(find_code.voucher_id, nobody);
    v_approved := provider_is_approved(p_provider, COALESCE(organiser_id, nobody), COALESCE(v_programme, ''), p_service_date);
    IF NOT v_approved
       AND provider_is_approved(p_provider, COALESCE(organiser_id, nobody), COALESCE(v_programme, ''), helsinki_today())
    THEN
        outcome := 'not_approved_on_date';
        details := '{}';
        RETURN;
    END IF;

    IF v_approved THEN
        IF v_live_code = code_id THEN
            outcome := 'ok';
            RETURN;
        END IF;
        SELECT c.superseded_at INTO v_superseded_at
        FROM codes c WHERE c.organiser_id = find_code.organiser_id AND c.code_id = find_code.code_id;
        IF v_superseded_at > now() - interval '30 days' THEN
            outcome := 'code_superseded';
            details := '{}';
            RETURN;
        END IF;
    END IF;

    outcome := 'code_unknown';
    details := '{}';
    organiser_id := NULL; voucher_id := NULL; code_id := NULL;
    INSERT INTO code_misses (credential_id, provider_id, missed_at) VALUES (p_credential, p_provider, clock_timestamp());
    SELECT count(*) FILTER (WHERE m.missed_at > now() - interval '1 hour'), count(*) INTO v_hour, v_day
    FROM code_misses m WHERE m.credential_id = p_credential AND m.missed_at > now() - interval '1 day';
    IF v_day >= 20 OR v_hour >= 5 THEN
        INSERT INTO credential_blocks (credential_id, blocked_until)
        VALUES (p_credential, now() + CASE WHEN v_day >= 20 THEN interval '1 day' ELSE interval '1 hour' END)
        ON CONFLICT (credential_id) DO UPDATE SET blocked_until = GREATEST(credential_blocks.blocked_until, excluded.blocked_until);
    END IF;
END $$;

-- The answer that an earlier request with this key got. The replay writes, so that its own commit waits for a
-- synchronous standby: an answer that only the primary knows is not an answer.
CREATE FUNCTION replay_request(
    p_owner uuid, p_key text, p_fingerprint bytea, p_previous_fingerprint bytea, p_language text,
    OUT outcome text, OUT answer text, OUT language text
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE v_fingerprint bytea;
BEGIN
    UPDATE requests r SET replays = r.replays + 1 WHERE r.owner_id = p_owner AND r.idempotency_key = p_key
    RETURNING r.fingerprint, r.outcome, r.answer, r.language INTO v_fingerprint, outcome, answer, language;
    IF v_fingerprint <> p_fingerprint AND v_fingerprint IS DISTINCT FROM p_previous_fingerprint THEN
        outcome := 'idempotency_key_reused';
        answer := '{}';
        language := p_language;
    END IF;
END $$;

-- What a code is good for, by the same rules as a debit. A promise of nothing: only a debit or a hold is.
CREATE FUNCTION validate_code(
    p_provider uuid, p_credential uuid, p_index bytea, p_previous_index bytea, p_amount bigint, p_service_date date,
    OUT outcome text, OUT details jsonb
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_found record;
    v_voucher vouchers;
    v_today date := helsinki_today();
    v_service_date date := COALESCE(p_service_date, v_today);
    v_refusal text;
BEGIN
    SELECT * INTO v_found FROM find_code(p_provider, p_credential, p_index, p_previous_index, v_service_date);
    outcome := v_found.outcome;
    details := v_found.details;
    IF outcome <> 'ok' THEN RETURN; END IF;
    SELECT v.* INTO v_voucher FROM vouchers v
    WHERE v.organiser_id = v_found.organiser_id AND v.voucher_id = v_found.voucher_id;
    -- Without an amount the question is whether the smallest one would do.
    v_refusal := debit_refusal(v_voucher, COALESCE(p_amount, v_voucher.step), v_service_date, v_today);
    SELECT jsonb_build_object(
        'voucher_id', v_voucher.voucher_id, 'organiser', o.slug, 'organiser_name', o.name,
        'programme', v_voucher.programme, 'programme_names', p.names, 'unit', v_voucher.unit, 'step', v_voucher.step,
        'unit_value_cents', p.unit_value_cents, 'available', v_voucher.available, 'granted', v_voucher.granted,
        'weekly_visits', v_voucher.weekly_visits, 'weekly_minutes', v_voucher.weekly_minutes,
        'valid_from', v_voucher.valid_from, 'valid_to', v_voucher.valid_to,
        'initials', b.initials, 'municipality', b.municipality,
        'decision_ref', d.decision_ref, 'decision_status', d.status,
        'refusal', v_refusal,
        'refusal_details', CASE WHEN v_refusal IS NOT NULL
            THEN refusal_details(v_voucher, COALESCE(p_amount, v_voucher.step), v_service_date) END)
    INTO details
    FROM decisions d
    JOIN organisers o ON o.organiser_id = d.organiser_id
    JOIN programmes p ON p.organiser_id = d.organiser_id AND p.programme = d.programme
    LEFT JOIN beneficiaries b ON b.organiser_id = d.organiser_id AND b.voucher_id = v_voucher.voucher_id
    WHERE d.organiser_id = v_voucher.organiser_id AND d.decision_id = v_voucher.decision_id;
END $$;
