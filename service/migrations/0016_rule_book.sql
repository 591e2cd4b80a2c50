-- The rule book: one function checks every charge, and debit, hold, capture and validate ask it, so they cannot disagree.
-- Each public function is one autocommit call under READ COMMITTED: one round trip, one commit. The voucher's row is
-- locked first and everything is read after that, in statements of their own: what a rival wrote while we waited is seen.
-- What only the calendar knows (public holidays, eves, how a visit's hours split at band borders) comes in as arguments.

DROP FUNCTION debit_many;
DROP FUNCTION debit;
DROP FUNCTION reverse_debit;
DROP FUNCTION validate_code;
DROP FUNCTION debit_refusal;
DROP FUNCTION refusal_details;

CREATE FUNCTION helsinki_day(p_at timestamptz) RETURNS date
LANGUAGE sql STABLE AS $$ SELECT (p_at AT TIME ZONE 'Europe/Helsinki')::date $$;

CREATE FUNCTION utc_text(p_at timestamptz) RETURNS text
LANGUAGE sql STABLE AS $$ SELECT to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') $$;

-- One request to charge or to hold, as the web process hands it over.
CREATE TYPE charge_order AS (
    provider_id          uuid,
    credential_id        uuid,
    key                  text,
    fingerprint          bytea,
    previous_fingerprint bytea,
    language             text,
    code_index           bytea,
    previous_code_index  bytea,
    new_id               uuid,        -- of the entry or the hold that it becomes
    amount               bigint,      -- none: as long as the times say, or one visit
    service_date         date,        -- none: today
    starts_at            timestamptz,
    ends_at              timestamptz,
    segment_bands        text[],      -- worked out from the times, in order: tariff bands …
    segment_amounts      bigint[],    -- … and how much falls into each: minutes, visits or sessions
    rules_from           date,        -- the version of the rules that they were worked out under
    visit_type           text,        -- 'visit' or 'no_show'
    task_type            text,
    worker               text,
    reference            text,
    partial              boolean,     -- charge what is left if that is less
    duplicate_ok         boolean
);

CREATE FUNCTION tariff_band(p_day date, p_holidays date[], p_eves date[], p_eves_count boolean) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN extract(isodow FROM p_day) = 7 OR p_day = ANY(p_holidays) OR (p_eves_count AND p_day = ANY(p_eves)) THEN 'sunday'
        WHEN extract(isodow FROM p_day) = 6 THEN 'saturday'
        ELSE 'weekday'
    END
$$;

CREATE FUNCTION of_band(p_band text, p_weekday bigint, p_evening bigint, p_saturday bigint, p_sunday bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_band WHEN 'weekday' THEN p_weekday WHEN 'evening' THEN p_evening WHEN 'saturday' THEN p_saturday ELSE p_sunday END
$$;

-- Of what is asked, as much as there is room for, in whole steps, if a part will do.
CREATE FUNCTION takes(p_asked bigint, p_room bigint, p_step bigint, p_partial boolean) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_partial AND p_asked > p_room AND p_asked % p_step = 0 THEN p_room / p_step * p_step ELSE p_asked END
$$;

CREATE FUNCTION rules_on(p_organiser uuid, p_programme text, p_day date) RETURNS programme_rules
LANGUAGE sql STABLE AS $$
    SELECT r FROM programme_rules r
    WHERE r.organiser_id = p_organiser AND r.programme = p_programme AND r.starts_on <= p_day
    ORDER BY r.starts_on DESC LIMIT 1
$$;

CREATE FUNCTION prices_on(p_organiser uuid, p_provider uuid, p_programme text, p_day date) RETURNS price_lists
LANGUAGE sql STABLE AS $$
    SELECT l FROM price_lists l
    WHERE l.organiser_id = p_organiser AND l.provider_id = p_provider AND l.programme = p_programme AND l.starts_on <= p_day
    ORDER BY l.starts_on DESC LIMIT 1
$$;

-- The weekly caps for visits on a day.
CREATE FUNCTION caps_on(v vouchers, p_day date, OUT visits integer, OUT minutes integer)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    visits := v.weekly_visits;
    minutes := v.weekly_minutes;
    IF v.caps_changed THEN
        SELECT c.weekly_visits, c.weekly_minutes INTO visits, minutes FROM voucher_caps c
        WHERE c.organiser_id = v.organiser_id AND c.voucher_id = v.voucher_id AND c.starts_on <= p_day
        ORDER BY c.starts_on DESC LIMIT 1;
        IF NOT FOUND THEN
            visits := v.weekly_visits;
            minutes := v.weekly_minutes;
        END IF;
    END IF;
END $$;

-- What is used of the ISO week of a day, by all providers, what is held included.
CREATE FUNCTION week_use(p_organiser uuid, p_voucher uuid, p_day date, p_except_hold uuid, OUT visits bigint, OUT minutes bigint)
LANGUAGE sql STABLE AS $$
    SELECT COALESCE(sum(u.visits), 0)::bigint, COALESCE(sum(u.minutes), 0)::bigint
    FROM (SELECT e.visits, e.minutes FROM entries e
          WHERE e.organiser_id = p_organiser AND e.voucher_id = p_voucher
            AND e.service_date >= date_trunc('week', p_day)::date AND e.service_date < date_trunc('week', p_day)::date + 7
          UNION ALL
          SELECT h.visits, h.minutes FROM holds h
          WHERE h.organiser_id = p_organiser AND h.voucher_id = p_voucher AND h.state = 'held'
            AND h.service_date >= date_trunc('week', p_day)::date AND h.service_date < date_trunc('week', p_day)::date + 7
            AND h.hold_id IS DISTINCT FROM p_except_hold) u
$$;

-- The first day after p_day on which a visit like this has room in its week: a Monday, or the day of another cap.
CREATE FUNCTION next_allowed_date(v vouchers, p_day date, p_visits integer, p_minutes bigint, p_except_hold uuid) RETURNS date
LANGUAGE sql STABLE AS $$
    SELECT min(d.day)
    FROM (SELECT g::date AS day
          FROM generate_series(date_trunc('week', p_day) + interval '7 days', v.valid_to::timestamp, interval '7 days') g
          UNION
          SELECT c.starts_on FROM voucher_caps c
          WHERE c.organiser_id = v.organiser_id AND c.voucher_id = v.voucher_id AND c.starts_on > p_day) d,
         LATERAL caps_on(v, d.day) cap,
         LATERAL week_use(v.organiser_id, v.voucher_id, d.day, p_except_hold) used
    WHERE d.day >= v.valid_from AND d.day <= v.valid_to AND (v.cancelled_from IS NULL OR d.day < v.cancelled_from)
      AND (cap.visits IS NULL OR used.visits + p_visits <= cap.visits)
      AND (cap.minutes IS NULL OR used.minutes + p_minutes <= cap.minutes)
$$;

-- What a check found. asked: what was wanted; amount: what is taken, less when only a part is covered; visits and minutes:
-- of the week. pays_cents: the organiser, own_cents: the family; NULL: not known.
CREATE TYPE charge_check AS (
    outcome         text,
    details         jsonb,
    asked           bigint,
    amount          bigint,
    visits          integer,
    minutes         bigint,
    rules           programme_rules,
    prices          price_lists,
    segment_bands   text[],
    segment_amounts bigint[],
    pays_cents      bigint,
    own_cents       bigint,
    cap_visits      integer,
    cap_minutes     integer,
    used_visits     bigint,
    used_minutes    bigint,
    next_allowed_on date
);

-- The one place that decides whether a voucher may be charged, and what is charged then. outcome NULL: it may be.
-- The order of the tests is the order of precedence, and that of DEBIT_REFUSALS in service/debits/model.py.
-- p_what: 'debit', 'hold', 'capture' (of hold h, whose value and place in the week are its own) or 'validate' (a question
-- that leaves out the amount is about the smallest one).
CREATE FUNCTION check_charge(
    v vouchers, o charge_order, p_what text, p_today date, p_service_date date, p_holidays date[], p_eves date[], h holds
) RETURNS charge_check LANGUAGE plpgsql STABLE AS $$
DECLARE
    c charge_check;
    v_counts_visits CONSTANT boolean := v.unit IN ('visits', 'sessions');
    v_per CONSTANT bigint := CASE WHEN v.unit IN ('visits', 'sessions') THEN 1 ELSE 60 END;
    v_room CONSTANT bigint := COALESCE(h.amount, v.available);
    v_rules programme_rules;
    v_prices price_lists;
    v_band text;
    v_left bigint;
    v_value bigint;
    v_price bigint;
    v_paid bigint := 0;  -- sums in cents × v_per: rounded to cents once, half up
    v_total bigint := 0;
    v_needs_room boolean;
    i integer;
BEGIN
    v_rules := rules_on(v.organiser_id, v.programme, p_service_date);
    IF o.rules_from <> v_rules.starts_on THEN
        c.outcome := 'rules_changed';  -- since the times were worked out: not a verdict, they are worked out again
        RETURN c;
    END IF;
    v_prices := prices_on(v.organiser_id, o.provider_id, v.programme, p_service_date);
    c.rules := v_rules;
    c.prices := v_prices;
    v_band := tariff_band(p_service_date, p_holidays, p_eves, v_rules.eves_are_holidays);

    -- What is wanted; and what is taken: all of it, or on request the part that is left, from the visit's beginning on.
    c.asked := COALESCE(o.amount, CASE
        WHEN v.unit = 'minutes' THEN (SELECT sum(s) FROM unnest(o.segment_amounts) s)
        WHEN v_counts_visits THEN 1
        END, CASE WHEN p_what = 'validate' AND o.starts_at IS NULL THEN v_rules.step END);
    c.segment_bands := COALESCE(o.segment_bands, ARRAY[v_band]);
    c.segment_amounts := COALESCE(o.segment_amounts, ARRAY[c.asked]);
    c.amount := takes(c.asked, v_room, v_rules.step, o.partial);
    c.pays_cents := CASE WHEN v.unit = 'cents' THEN c.amount END;

    -- What that costs. Money is only worked out where no amount but the hours are told.
    IF v.unit <> 'cents' OR (v_rules.weekday_cents IS NOT NULL AND o.segment_bands IS NOT NULL AND o.amount IS NULL) THEN
        v_left := c.amount;
        FOR i IN 1 .. cardinality(c.segment_bands) LOOP
            v_value := of_band(c.segment_bands[i], v_rules.weekday_cents, v_rules.evening_cents, v_rules.saturday_cents, v_rules.sunday_cents);
            v_price := COALESCE(of_band(c.segment_bands[i], v_prices.weekday_cents, v_prices.evening_cents,
                                        v_prices.saturday_cents, v_prices.sunday_cents), v_value);
            v_total := v_total + v_price * c.segment_amounts[i];
            IF v.unit <> 'cents' THEN
                c.segment_amounts[i] := LEAST(c.segment_amounts[i], v_left);
                v_left := v_left - c.segment_amounts[i];
            END IF;
            v_paid := v_paid + LEAST(v_price, v_value) * c.segment_amounts[i];
        END LOOP;
    END IF;
    IF v_rules.weekday_cents IS NOT NULL AND (v.unit <> 'cents' OR (o.segment_bands IS NOT NULL AND o.amount IS NULL)) THEN
        c.pays_cents := (2 * v_paid + v_per) / (2 * v_per);
        IF v.unit = 'cents' THEN
            c.asked := c.pays_cents;
            c.amount := takes(c.asked, v_room, v_rules.step, o.partial);
            c.pays_cents := c.amount;
        END IF;
        c.own_cents := (2 * v_total + v_per) / (2 * v_per) - c.pays_cents;
    END IF;
    c.visits := CASE WHEN v_counts_visits THEN c.amount ELSE 1 END;
    c.minutes := CASE WHEN v.unit = 'minutes' THEN c.amount
                    ELSE COALESCE(extract(epoch FROM o.ends_at - o.starts_at)::bigint / 60, 0) END;

    -- The week. What is held already has its place.
    SELECT k.visits, k.minutes INTO c.cap_visits, c.cap_minutes FROM caps_on(v, p_service_date) k;
    IF num_nonnulls(c.cap_visits, c.cap_minutes) > 0 THEN
        SELECT u.visits, u.minutes INTO c.used_visits, c.used_minutes
        FROM week_use(v.organiser_id, v.voucher_id, p_service_date, h.hold_id) u;
        v_needs_room := h.hold_id IS NULL OR c.visits > h.visits OR c.minutes > h.minutes;
    END IF;

    c.outcome := CASE
        WHEN v.state = 'closed' THEN 'voucher_closed'
        WHEN v.state = 'suspended' THEN 'voucher_suspended'
        WHEN v.state = 'cancelled' AND p_service_date >= v.cancelled_from THEN 'voucher_cancelled'
        WHEN p_service_date > p_today AND p_what IN ('debit', 'capture') THEN 'service_date_in_future'
        WHEN o.ends_at > now() + interval '15 minutes' AND p_what IN ('debit', 'capture') THEN 'visit_not_over'
        WHEN p_service_date < v.valid_from THEN 'voucher_not_yet_valid'
        WHEN p_service_date > v.valid_to THEN 'voucher_expired'
        WHEN p_today > LEAST(v.valid_to, v.cancelled_from) + v_rules.late_entry_days THEN 'late_entry_closed'
        WHEN o.visit_type = 'no_show' AND NOT v_rules.no_show_allowed THEN 'no_show_not_allowed'
        WHEN v_rules.task_types <> '{}' AND o.task_type <> ALL(v_rules.task_types) THEN 'task_type_unknown'
        WHEN o.starts_at IS NULL AND (p_what <> 'validate' OR o.amount IS NOT NULL) AND v_band = 'weekday' AND v.unit <> 'cents' AND v_rules.evening_from IS NOT NULL
             AND v_rules.weekday_cents IS NOT NULL AND (v_rules.evening_cents <> v_rules.weekday_cents OR v_prices.evening_cents <> v_prices.weekday_cents) THEN 'times_required'
        WHEN c.asked IS NULL THEN 'amount_required'
        WHEN c.asked > h.amount AND o.partial IS NOT TRUE THEN 'capture_above_hold'
        WHEN v.unit = 'minutes' AND o.segment_amounts IS NOT NULL AND c.asked <> (SELECT sum(s) FROM unnest(o.segment_amounts) s)
            THEN 'amount_differs_from_times'
        WHEN c.asked <= 0 OR c.asked % v_rules.step <> 0 THEN 'amount_not_in_steps'
        WHEN v_rules.free_by_law AND c.own_cents > 0 AND c.amount = c.asked THEN 'own_contribution_not_allowed'
        -- Of a hold and another visit at the same moment, the later one was told apart when it was made: a capture at
        -- the moment that was held is not asked again.
        WHEN o.starts_at IS DISTINCT FROM h.starts_at AND o.starts_at IS NOT NULL AND o.duplicate_ok IS NOT TRUE AND (EXISTS (
                SELECT FROM entries e
                WHERE e.organiser_id = v.organiser_id AND e.voucher_id = v.voucher_id AND e.service_date = p_service_date
                  AND e.provider_id = o.provider_id AND e.starts_at = o.starts_at AND e.kind = 'debit'
                  AND e.amount > (SELECT COALESCE(-sum(r.amount), 0) FROM entries r
                                  WHERE r.organiser_id = e.organiser_id AND r.reverses = e.entry_id))
             OR EXISTS (
                SELECT FROM holds k
                WHERE k.organiser_id = v.organiser_id AND k.voucher_id = v.voucher_id AND k.service_date = p_service_date
                  AND k.provider_id = o.provider_id AND k.starts_at = o.starts_at AND k.state = 'held')) THEN 'possible_duplicate'
        WHEN v_needs_room AND c.used_visits + c.visits > c.cap_visits THEN 'weekly_visits_used'
        WHEN v_needs_room AND c.used_minutes + c.minutes > c.cap_minutes THEN 'weekly_minutes_used'
        -- A part will not do where the family may not pay the rest.
        WHEN c.asked > v_room AND (o.partial IS NOT TRUE OR c.amount <= 0 OR (v_rules.free_by_law AND p_what <> 'capture'))
            THEN 'insufficient_value'
    END;

    IF c.outcome IN ('weekly_visits_used', 'weekly_minutes_used') THEN
        c.next_allowed_on := next_allowed_date(v, p_service_date, c.visits, c.minutes, h.hold_id);
    END IF;
    IF c.outcome IS NOT NULL THEN
        -- What a refusal tells besides its code. Only ever shown to a provider who is approved for the voucher.
        c.details := jsonb_build_object(
            'available', v.available, 'requested', c.asked, 'unit', v.unit, 'step', v_rules.step,
            'valid_from', v.valid_from, 'valid_to', v.valid_to, 'cancelled_from', v.cancelled_from,
            'service_date', p_service_date, 'late_entry_until', LEAST(v.valid_to, v.cancelled_from) + v_rules.late_entry_days);
        c.details := c.details || CASE c.outcome
            WHEN 'weekly_visits_used' THEN jsonb_build_object(
                'used_visits', c.used_visits, 'weekly_visits', c.cap_visits, 'next_allowed_date', c.next_allowed_on)
            WHEN 'weekly_minutes_used' THEN jsonb_build_object(
                'used_minutes', c.used_minutes, 'weekly_minutes', c.cap_minutes, 'next_allowed_date', c.next_allowed_on)
            WHEN 'own_contribution_not_allowed' THEN jsonb_build_object('family_pays_cents', c.own_cents)
            WHEN 'task_type_unknown' THEN jsonb_build_object('task_types', v_rules.task_types)
            WHEN 'capture_above_hold' THEN jsonb_build_object('held', h.amount)
            ELSE '{}' END;
    END IF;
    RETURN c;
END $$;

-- Claims a key for its owner, or gives the answer that it got before. outcome NULL: it is ours to answer.
CREATE FUNCTION claim_request(
    p_owner uuid, p_key text, p_fingerprint bytea, p_previous_fingerprint bytea, p_language text,
    OUT outcome text, OUT answer text, OUT replayed boolean, OUT language text
) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    replayed := false;
    language := p_language;
    INSERT INTO requests (owner_id, idempotency_key, fingerprint, language)
    VALUES (p_owner, p_key, p_fingerprint, p_language) ON CONFLICT DO NOTHING;  -- a rival with the same key waits here
    IF NOT FOUND THEN
        SELECT r.outcome, r.answer, r.language INTO outcome, answer, language
        FROM replay_request(p_owner, p_key, p_fingerprint, p_previous_fingerprint, p_language) r;
        replayed := outcome <> 'idempotency_key_reused';
    END IF;
END $$;

-- Charges a visit: the entry, the value, and what the family is told. The voucher is locked and checked.
CREATE FUNCTION write_debit(
    v vouchers, o charge_order, c charge_check, p_service_date date, h holds, p_quiet_from integer, p_quiet_to integer
) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_available bigint;
    v_decision record;
BEGIN
    UPDATE vouchers u SET available = u.available + COALESCE(h.amount, 0) - c.amount, held = u.held - COALESCE(h.amount, 0),
                          debited = u.debited + c.amount
    WHERE u.organiser_id = v.organiser_id AND u.voucher_id = v.voucher_id RETURNING u.available INTO v_available;
    INSERT INTO entries (organiser_id, entry_id, voucher_id, programme, code_id, provider_id, credential_id, kind, amount, service_date,
                         reference, starts_at, ends_at, visit_type, task_type, worker, visits, minutes, hold_id, rules_from,
                         price_list_id, segment_bands, segment_amounts, pays_cents, own_cents)
    VALUES (v.organiser_id, o.new_id, v.voucher_id, v.programme, COALESCE(h.code_id, v.code_id), o.provider_id, o.credential_id, 'debit', c.amount,
            p_service_date, o.reference, o.starts_at, o.ends_at, COALESCE(o.visit_type, 'visit'), o.task_type, o.worker,
            c.visits, c.minutes, h.hold_id, (c.rules).starts_on, (c.prices).price_list_id, c.segment_bands, c.segment_amounts,
            c.pays_cents, c.own_cents);
    SELECT d.decision_ref, d.status, g.slug, p.receipts INTO v_decision
    FROM decisions d JOIN organisers g ON g.organiser_id = d.organiser_id
    JOIN programmes p ON p.organiser_id = d.organiser_id AND p.programme = d.programme
    WHERE d.organiser_id = v.organiser_id AND d.decision_id = v.decision_id;
    PERFORM tell_of_entry(v_decision.receipts, 'debit_receipt', v.organiser_id, v.voucher_id, o.new_id,
                          v_available, p_quiet_from, p_quiet_to);
    RETURN json_build_object(
        'debit_id', o.new_id, 'voucher_id', v.voucher_id, 'organiser', v_decision.slug, 'programme', v.programme,
        'amount', c.amount, 'unit', v.unit, 'not_covered', c.asked - c.amount, 'service_date', p_service_date,
        'starts_at', utc_text(o.starts_at), 'ends_at', utc_text(o.ends_at), 'visit_type', COALESCE(o.visit_type, 'visit'),
        'task_type', o.task_type, 'worker', o.worker, 'hold_id', h.hold_id,
        'voucher_pays_cents', c.pays_cents, 'family_pays_cents', c.own_cents,
        'entered_at', utc_text(now()), 'reference', o.reference, 'available', v_available, 'valid_to', v.valid_to,
        'decision_ref', v_decision.decision_ref, 'decision_status', v_decision.status)::text;
END $$;

-- Charge one visit. Exactly one effect for a (provider, key), for ever; a replay gets the first answer.
-- outcome 'ok': answer is the body of the 201; anything else: the code of the refusal, answer is its details.
-- Steps: 1 claim the key, or replay it 2 find the code 3 lock the voucher 4 check 5 write the entry, what the family is
-- told of it, and the outcome, refusals too.
CREATE FUNCTION debit(
    o charge_order, p_holidays date[], p_eves date[], p_quiet_from integer DEFAULT 21, p_quiet_to integer DEFAULT 8,
    OUT outcome text, OUT answer text, OUT replayed boolean, OUT language text
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_found record;
    v_voucher vouchers;
    v_check charge_check;
    v_today date := helsinki_today();
    v_service_date date := COALESCE(o.service_date, v_today);
BEGIN
    SELECT * INTO outcome, answer, replayed, language
    FROM claim_request(o.provider_id, o.key, o.fingerprint, o.previous_fingerprint, o.language);
    IF outcome IS NOT NULL THEN RETURN; END IF;

    SELECT * INTO v_found FROM find_code(o.provider_id, o.credential_id, o.code_index, o.previous_code_index, v_service_date);
    outcome := v_found.outcome;
    answer := v_found.details::text;
    IF outcome = 'ok' THEN
        SELECT v.* INTO v_voucher FROM vouchers v
        WHERE v.organiser_id = v_found.organiser_id AND v.voucher_id = v_found.voucher_id FOR NO KEY UPDATE;
        IF v_voucher.code_id <> v_found.code_id THEN  -- replaced since it was found
            outcome := 'code_superseded';
            answer := '{}';
        ELSE
            SELECT * INTO v_check FROM check_charge(v_voucher, o, 'debit', v_today, v_service_date, p_holidays, p_eves, NULL);
            outcome := COALESCE(v_check.outcome, 'ok');
            answer := v_check.details::text;
        END IF;
    END IF;
    IF outcome IN ('credential_blocked', 'rules_changed') THEN
        -- Not a verdict about this request: it may be repeated with the same key.
        DELETE FROM requests r WHERE r.owner_id = o.provider_id AND r.idempotency_key = o.key;
        RETURN;
    END IF;
    IF outcome = 'ok' THEN
        answer := write_debit(v_voucher, o, v_check, v_service_date, NULL, p_quiet_from, p_quiet_to);
    END IF;
    UPDATE requests r SET outcome = debit.outcome, answer = debit.answer
    WHERE r.owner_id = o.provider_id AND r.idempotency_key = o.key;
END $$;

-- Many charges in one transaction: what arrives while a commit is under way shares the next one. Vouchers are taken in
-- the order of their codes, so that two such calls never wait for each other in a circle over them. Over a key that came
-- with another code, or misses of one credential, they can: then PostgreSQL undoes one, and its orders are tried alone.
CREATE FUNCTION debit_many(
    p_orders charge_order[], p_holidays date[], p_eves date[], p_quiet_from integer DEFAULT 21, p_quiet_to integer DEFAULT 8
) RETURNS TABLE (place bigint, outcome text, answer text, replayed boolean, language text)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE r record;
BEGIN
    FOR r IN
        SELECT i AS place, p_orders[i] AS o FROM generate_subscripts(p_orders, 1) i
        ORDER BY (p_orders[i]).code_index, (p_orders[i]).provider_id, (p_orders[i]).key
    LOOP
        RETURN QUERY SELECT r.place::bigint, d.outcome, d.answer, d.replayed, d.language
        FROM debit(r.o, p_holidays, p_eves, p_quiet_from, p_quiet_to) d;
    END LOOP;
END $$;

-- Keep value and a place in the week for a visit that is booked. Steps as in debit.
CREATE FUNCTION hold_visit(
    o charge_order, p_holidays date[], p_eves date[],
    OUT outcome text, OUT answer text, OUT replayed boolean, OUT language text
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_found record;
    v_voucher vouchers;
    v_check charge_check;
    v_today date := helsinki_today();
    v_service_date date := COALESCE(o.service_date, v_today);
    v_lapses_at timestamptz;
    v_available bigint;
BEGIN
    SELECT * INTO outcome, answer, replayed, language
    FROM claim_request(o.provider_id, o.key, o.fingerprint, o.previous_fingerprint, o.language);
    IF outcome IS NOT NULL THEN RETURN; END IF;

    SELECT * INTO v_found FROM find_code(o.provider_id, o.credential_id, o.code_index, o.previous_code_index,
                                         LEAST(v_service_date, v_today));
    outcome := v_found.outcome;
    answer := v_found.details::text;
    IF outcome = 'ok' THEN
        SELECT v.* INTO v_voucher FROM vouchers v
        WHERE v.organiser_id = v_found.organiser_id AND v.voucher_id = v_found.voucher_id FOR NO KEY UPDATE;
        IF v_voucher.code_id <> v_found.code_id THEN
            outcome := 'code_superseded';
            answer := '{}';
        ELSIF v_service_date > v_today
              AND NOT provider_is_approved(o.provider_id, v_voucher.organiser_id, v_voucher.programme, v_service_date) THEN
            outcome := 'not_approved_on_date';
            answer := '{}';
        ELSE
            SELECT * INTO v_check FROM check_charge(v_voucher, o, 'hold', v_today, v_service_date, p_holidays, p_eves, NULL);
            outcome := COALESCE(v_check.outcome, 'ok');
            answer := v_check.details::text;
            v_lapses_at := COALESCE(o.ends_at, (v_service_date + 1)::timestamp AT TIME ZONE 'Europe/Helsinki')
                           + make_interval(hours => (v_check.rules).hold_lapse_hours);
            IF outcome = 'ok' AND v_lapses_at <= now() THEN
                outcome := 'hold_too_late';
                answer := jsonb_build_object('service_date', v_service_date)::text;
            END IF;
        END IF;
    END IF;
    IF outcome IN ('credential_blocked', 'rules_changed') THEN
        DELETE FROM requests r WHERE r.owner_id = o.provider_id AND r.idempotency_key = o.key;
        RETURN;
    END IF;
    IF outcome = 'ok' THEN
        UPDATE vouchers v SET available = v.available - v_check.amount, held = v.held + v_check.amount
        WHERE v.organiser_id = v_voucher.organiser_id AND v.voucher_id = v_voucher.voucher_id RETURNING v.available INTO v_available;
        INSERT INTO holds (organiser_id, hold_id, voucher_id, code_id, provider_id, credential_id, asked, amount, visits, minutes, service_date,
                           starts_at, ends_at, task_type, worker, reference, rules_from, segment_bands, segment_amounts, lapses_at)
        VALUES (v_voucher.organiser_id, o.new_id, v_voucher.voucher_id, v_voucher.code_id, o.provider_id, o.credential_id, o.amount, v_check.amount,
                v_check.visits, v_check.minutes, v_service_date, o.starts_at, o.ends_at, o.task_type, o.worker, o.reference,
                (v_check.rules).starts_on, o.segment_bands, o.segment_amounts, v_lapses_at);
        answer := json_build_object(
            'hold_id', o.new_id, 'voucher_id', v_voucher.voucher_id, 'programme', v_voucher.programme, 'state', 'held',
            'amount', v_check.amount, 'unit', v_voucher.unit, 'not_covered', v_check.asked - v_check.amount,
            'service_date', v_service_date, 'starts_at', utc_text(o.starts_at), 'ends_at', utc_text(o.ends_at),
            'task_type', o.task_type, 'worker', o.worker, 'reference', o.reference,
            'voucher_pays_cents', v_check.pays_cents, 'family_pays_cents', v_check.own_cents,
            'created_at', utc_text(now()), 'lapses_at', utc_text(v_lapses_at), 'available', v_available)::text;
    END IF;
    UPDATE requests r SET outcome = hold_visit.outcome, answer = hold_visit.answer
    WHERE r.owner_id = o.provider_id AND r.idempotency_key = o.key;
END $$;

-- Charge a visit that was held: as much, or less, and the rest is free again. o says what is other than in the hold.
CREATE FUNCTION capture_hold(
    o charge_order, p_hold uuid, p_holidays date[], p_eves date[], p_quiet_from integer DEFAULT 21, p_quiet_to integer DEFAULT 8,
    OUT outcome text, OUT answer text, OUT replayed boolean, OUT language text
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_hold holds;
    v_voucher vouchers;
    v_check charge_check;
    v_today date := helsinki_today();
BEGIN
    SELECT * INTO outcome, answer, replayed, language
    FROM claim_request(o.provider_id, o.key, o.fingerprint, o.previous_fingerprint, o.language);
    IF outcome IS NOT NULL THEN RETURN; END IF;

    SELECT k.* INTO v_hold FROM holds k WHERE k.provider_id = o.provider_id AND k.hold_id = p_hold;
    IF NOT FOUND THEN
        outcome := 'hold_not_found';
        answer := '{}';
    ELSE
        SELECT v.* INTO v_voucher FROM vouchers v
        WHERE v.organiser_id = v_hold.organiser_id AND v.voucher_id = v_hold.voucher_id FOR NO KEY UPDATE;
        SELECT k.* INTO v_hold FROM holds k WHERE k.organiser_id = v_hold.organiser_id AND k.hold_id = p_hold;
        IF v_hold.state <> 'held' OR v_hold.lapses_at <= now() THEN
            outcome := 'hold_ended';
            answer := jsonb_build_object('state', CASE WHEN v_hold.state = 'held' THEN 'lapsed' ELSE v_hold.state END)::text;
        ELSIF helsinki_day(o.starts_at) <> v_hold.service_date THEN
            outcome := 'capture_on_another_day';
            answer := jsonb_build_object('service_date', v_hold.service_date)::text;
        ELSIF NOT provider_is_approved(o.provider_id, v_hold.organiser_id, v_voucher.programme, v_hold.service_date) THEN
            outcome := 'not_approved_on_date';  -- the approval has ended since
            answer := '{}';
        ELSE
            o.partial := false;
            IF o.starts_at IS NULL THEN
                o.starts_at := v_hold.starts_at;
                o.ends_at := v_hold.ends_at;
                IF o.amount IS NULL THEN
                    -- As it was promised: the same amount, and the same for the family to pay.
                    o.amount := v_hold.asked;
                    o.partial := true;
                    o.segment_bands := v_hold.segment_bands;
                    o.segment_amounts := v_hold.segment_amounts;
                ELSIF v_voucher.unit = 'cents' THEN
                    o.segment_bands := v_hold.segment_bands;
                    o.segment_amounts := v_hold.segment_amounts;
                ELSIF v_hold.segment_bands IS NOT NULL AND o.amount <= v_hold.amount THEN  -- the beginning of what was booked
                    SELECT array_agg(s.band ORDER BY s.i), array_agg(s.part ORDER BY s.i) INTO o.segment_bands, o.segment_amounts
                    FROM (SELECT t.i, t.band, LEAST(t.amount, o.amount - (sum(t.amount) OVER (ORDER BY t.i) - t.amount)) AS part
                          FROM unnest(v_hold.segment_bands, v_hold.segment_amounts) WITH ORDINALITY AS t (band, amount, i)) s
                    WHERE s.part > 0;
                END IF;
            END IF;
            o.task_type := COALESCE(o.task_type, v_hold.task_type);
            o.worker := COALESCE(o.worker, v_hold.worker);
            o.reference := COALESCE(o.reference, v_hold.reference);
            SELECT * INTO v_check FROM check_charge(v_voucher, o, 'capture', v_today, v_hold.service_date, p_holidays, p_eves, v_hold);
            outcome := COALESCE(v_check.outcome, 'ok');
            answer := v_check.details::text;
        END IF;
    END IF;
    IF outcome = 'rules_changed' THEN
        DELETE FROM requests r WHERE r.owner_id = o.provider_id AND r.idempotency_key = o.key;
        RETURN;
    END IF;
    IF outcome = 'ok' THEN
        UPDATE holds k SET state = 'captured', ended_at = now(), ended_by = 'credential:' || o.credential_id
        WHERE k.organiser_id = v_hold.organiser_id AND k.hold_id = p_hold;
        answer := write_debit(v_voucher, o, v_check, v_hold.service_date, v_hold, p_quiet_from, p_quiet_to);
    END IF;
    UPDATE requests r SET outcome = capture_hold.outcome, answer = capture_hold.answer
    WHERE r.owner_id = o.provider_id AND r.idempotency_key = o.key;
END $$;

-- End a hold without a charge; its value is free again. The caller has locked the voucher. False: it had ended.
CREATE FUNCTION free_hold(p_organiser uuid, p_hold uuid, p_state text, p_by text, p_reason text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE v_hold holds;
BEGIN
    UPDATE holds k SET state = p_state, ended_at = now(), ended_by = p_by, reason = p_reason
    WHERE k.organiser_id = p_organiser AND k.hold_id = p_hold AND k.state = 'held' RETURNING k.* INTO v_hold;
    IF NOT FOUND THEN RETURN false; END IF;
    UPDATE vouchers v SET held = v.held - v_hold.amount, available = v.available + v_hold.amount
    WHERE v.organiser_id = p_organiser AND v.voucher_id = v_hold.voucher_id;
    RETURN true;
END $$;

-- A provider drops a hold of its own.
CREATE FUNCTION void_hold(
    p_provider uuid, p_credential uuid, p_key text, p_fingerprint bytea, p_previous_fingerprint bytea, p_language text,
    p_hold uuid, p_reason text,
    OUT outcome text, OUT answer text, OUT replayed boolean, OUT language text
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE v_hold holds;
BEGIN
    SELECT * INTO outcome, answer, replayed, language
    FROM claim_request(p_provider, p_key, p_fingerprint, p_previous_fingerprint, p_language);
    IF outcome IS NOT NULL THEN RETURN; END IF;

    SELECT k.* INTO v_hold FROM holds k WHERE k.provider_id = p_provider AND k.hold_id = p_hold;
    IF NOT FOUND THEN
        outcome := 'hold_not_found';
        answer := '{}';
    ELSE
        PERFORM FROM vouchers v WHERE v.organiser_id = v_hold.organiser_id AND v.voucher_id = v_hold.voucher_id FOR NO KEY UPDATE;
        IF free_hold(v_hold.organiser_id, p_hold, 'voided', 'credential:' || p_credential, p_reason) THEN
            outcome := 'ok';
            SELECT json_build_object('hold_id', p_hold, 'voucher_id', v.voucher_id, 'state', 'voided', 'amount', v_hold.amount,
                                     'unit', v.unit, 'ended_at', utc_text(now()), 'available', v.available)::text
            INTO answer FROM vouchers v WHERE v.organiser_id = v_hold.organiser_id AND v.voucher_id = v_hold.voucher_id;
        ELSE
            outcome := 'hold_ended';
            SELECT jsonb_build_object('state', k.state)::text INTO answer
            FROM holds k WHERE k.organiser_id = v_hold.organiser_id AND k.hold_id = p_hold;
        END IF;
    END IF;
    UPDATE requests r SET outcome = void_hold.outcome, answer = void_hold.answer
    WHERE r.owner_id = p_provider AND r.idempotency_key = p_key;
END $$;

-- Holds whose time has run out. A voucher that is busy is passed over: the next round has it.
CREATE FUNCTION lapse_holds(p_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    r record;
    v_count integer := 0;
BEGIN
    FOR r IN SELECT k.organiser_id, k.hold_id, k.voucher_id FROM holds k
             WHERE k.state = 'held' AND k.lapses_at <= now() ORDER BY k.lapses_at LIMIT p_limit
    LOOP
        PERFORM FROM vouchers v WHERE v.organiser_id = r.organiser_id AND v.voucher_id = r.voucher_id FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND AND free_hold(r.organiser_id, r.hold_id, 'lapsed', 'schedule', NULL) THEN v_count := v_count + 1; END IF;
    END LOOP;
    RETURN v_count;
END $$;

-- Undo a debit that is not settled, or a part of it, with an entry of the opposite sign. Value goes back to the family
-- while the voucher is open, and to the budget when it is closed. What the organiser and the family had paid goes back
-- in proportion, and the last part takes what is left: all parts together are the whole, to the cent.
CREATE FUNCTION reverse_debit(
    p_provider uuid, p_credential uuid, p_key text, p_fingerprint bytea, p_previous_fingerprint bytea, p_language text,
    p_entry uuid, p_debit uuid, p_amount bigint, p_reason text,
    p_quiet_from integer DEFAULT 21, p_quiet_to integer DEFAULT 8,
    OUT outcome text, OUT answer text, OUT replayed boolean, OUT language text
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    d entries;
    v_voucher vouchers;
    v_done record;
    v_left bigint;
    v_amount bigint;
    v_step bigint;
    v_counts_visits boolean;
BEGIN
    SELECT * INTO outcome, answer, replayed, language
    FROM claim_request(p_provider, p_key, p_fingerprint, p_previous_fingerprint, p_language);
    IF outcome IS NOT NULL THEN RETURN; END IF;

    answer := '{}';
    SELECT e.* INTO d FROM entries e WHERE e.provider_id = p_provider AND e.entry_id = p_debit AND e.kind = 'debit';
    IF NOT FOUND THEN
        outcome := 'debit_not_found';
    ELSE
        -- The voucher's row is the lock of everything about it; refunds take it as charges do.
        SELECT v.* INTO v_voucher FROM vouchers v
        WHERE v.organiser_id = d.organiser_id AND v.voucher_id = d.voucher_id FOR NO KEY UPDATE;
        SELECT COALESCE(-sum(r.amount), 0)::bigint AS amount, COALESCE(-sum(r.pays_cents), 0)::bigint AS pays_cents,
               COALESCE(-sum(r.own_cents), 0)::bigint AS own_cents, COALESCE(-sum(r.minutes), 0)::bigint AS minutes INTO v_done
        FROM entries r WHERE r.organiser_id = d.organiser_id AND r.reverses = d.entry_id;
        v_left := d.amount - v_done.amount;
        v_amount := COALESCE(p_amount, v_left);
        v_step := (rules_on(d.organiser_id, v_voucher.programme, d.service_date)).step;
        outcome := CASE
            WHEN v_left = 0 THEN 'already_reversed'
            WHEN EXISTS (SELECT FROM settled_entries s WHERE s.organiser_id = d.organiser_id AND s.entry_id = d.entry_id) THEN 'debit_settled'
            WHEN v_amount > v_left THEN 'reversal_above_debit'
            WHEN v_amount < v_left AND v_amount % v_step <> 0 THEN 'amount_not_in_steps'
            ELSE 'ok' END;
        IF outcome <> 'ok' THEN
            answer := jsonb_build_object('left', v_left, 'requested', v_amount, 'unit', v_voucher.unit, 'step', v_step)::text;
        ELSE
            v_counts_visits := v_voucher.unit IN ('visits', 'sessions');
            UPDATE vouchers v SET
                debited = v.debited - v_amount,
                available = v.available + CASE WHEN v.state <> 'closed' THEN v_amount ELSE 0 END,
                expired = v.expired + CASE WHEN v.state = 'closed' AND v.cancelled_from IS NULL THEN v_amount ELSE 0 END,
                cancelled = v.cancelled + CASE WHEN v.state = 'closed' AND v.cancelled_from IS NOT NULL THEN v_amount ELSE 0 END
            WHERE v.organiser_id = d.organiser_id AND v.voucher_id = d.voucher_id
            RETURNING v.* INTO v_voucher;
            INSERT INTO entries (organiser_id, entry_id, voucher_id, programme, code_id, provider_id, credential_id, kind, amount, service_date,
                                 reason, reverses, starts_at, ends_at, visit_type, task_type, worker, hold_id, rules_from, price_list_id,
                                 visits, minutes, pays_cents, own_cents)
            VALUES (d.organiser_id, p_entry, d.voucher_id, d.programme, d.code_id, p_provider, p_credential, 'reversal', -v_amount, d.service_date,
                    p_reason, d.entry_id, d.starts_at, d.ends_at, d.visit_type, d.task_type, d.worker, d.hold_id, d.rules_from, d.price_list_id,
                    CASE WHEN v_counts_visits THEN -v_amount WHEN v_amount = v_left THEN -1 ELSE 0 END,
                    CASE WHEN v_voucher.unit = 'minutes' THEN -v_amount WHEN v_amount = v_left THEN -(d.minutes - v_done.minutes) ELSE 0 END,
                    v_done.pays_cents - (2 * d.pays_cents * (v_done.amount + v_amount) + d.amount) / (2 * d.amount),
                    v_done.own_cents - (2 * d.own_cents * (v_done.amount + v_amount) + d.amount) / (2 * d.amount));
            IF v_voucher.state = 'closed' THEN
                INSERT INTO value_changes (organiser_id, change_id, voucher_id, kind, amount, effective_on, actor, reason, entry_id)
                VALUES (d.organiser_id, gen_random_uuid(), d.voucher_id,
                        CASE WHEN v_voucher.cancelled_from IS NULL THEN 'expired' ELSE 'cancelled' END,
                        v_amount, helsinki_today(), 'credential:' || p_credential, 'reversal', p_entry);
            END IF;
            answer := json_build_object(
                'reversal_id', p_entry, 'debit_id', d.entry_id, 'voucher_id', d.voucher_id,
                'amount', v_amount, 'left', v_left - v_amount, 'unit', v_voucher.unit, 'entered_at', utc_text(now()),
                'available', v_voucher.available)::text;
            PERFORM tell_of_entry(p.receipts, 'debit_reversed', d.organiser_id, d.voucher_id, p_entry,
                                  v_voucher.available, p_quiet_from, p_quiet_to)
            FROM programmes p WHERE p.organiser_id = v_voucher.organiser_id AND p.programme = v_voucher.programme;
        END IF;
    END IF;
    UPDATE requests r SET outcome = reverse_debit.outcome, answer = reverse_debit.answer
    WHERE r.owner_id = p_provider AND r.idempotency_key = p_key;
END $$;

-- What a code is good for, by the same rules as a debit. A promise of nothing: only a debit or a hold is.
CREATE FUNCTION validate_code(o charge_order, p_holidays date[], p_eves date[], OUT outcome text, OUT details jsonb)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_found record;
    v_voucher vouchers;
    v_check charge_check;
    v_is_visit boolean;
    v_rules programme_rules;
    v_prices price_lists;
    v_today date := helsinki_today();
    v_service_date date := COALESCE(o.service_date, v_today);
BEGIN
    SELECT * INTO v_found FROM find_code(o.provider_id, o.credential_id, o.code_index, o.previous_code_index,
                                         LEAST(v_service_date, v_today));
    outcome := v_found.outcome;
    details := v_found.details;
    IF outcome <> 'ok' THEN RETURN; END IF;
    SELECT v.* INTO v_voucher FROM vouchers v
    WHERE v.organiser_id = v_found.organiser_id AND v.voucher_id = v_found.voucher_id;
    IF v_service_date > v_today
       AND NOT provider_is_approved(o.provider_id, v_voucher.organiser_id, v_voucher.programme, v_service_date) THEN
        outcome := 'not_approved_on_date';
        details := '{}';
        RETURN;
    END IF;
    SELECT * INTO v_check FROM check_charge(v_voucher, o, 'validate', v_today, v_service_date, p_holidays, p_eves, NULL);
    IF v_check.outcome = 'rules_changed' THEN
        outcome := 'rules_changed';
        RETURN;
    END IF;
    v_rules := v_check.rules;
    v_prices := v_check.prices;
    v_is_visit := o.amount IS NOT NULL OR o.starts_at IS NOT NULL OR v_voucher.unit IN ('visits', 'sessions');
    SELECT jsonb_build_object(
        'voucher_id', v_voucher.voucher_id, 'organiser', g.slug, 'organiser_name', g.name,
        'programme', v_voucher.programme, 'programme_names', p.names, 'unit', v_voucher.unit, 'step', v_rules.step,
        'available', v_voucher.available, 'held', v_voucher.held, 'granted', v_voucher.granted,
        'weekly_visits', v_check.cap_visits, 'weekly_minutes', v_check.cap_minutes,
        'used_visits', v_check.used_visits, 'used_minutes', v_check.used_minutes, 'next_allowed_date', v_check.next_allowed_on,
        'valid_from', v_voucher.valid_from, 'valid_to', v_voucher.valid_to,
        'initials', b.initials, 'municipality', b.municipality,
        'decision_ref', d.decision_ref, 'decision_status', d.status,
        'task_types', v_rules.task_types, 'no_show_allowed', v_rules.no_show_allowed, 'free_by_law', v_rules.free_by_law,
        'times_asked', COALESCE(v_rules.evening_from IS NOT NULL AND v_rules.weekday_cents IS NOT NULL AND v_voucher.unit <> 'cents'
                                AND (v_rules.evening_cents <> v_rules.weekday_cents OR v_prices.evening_cents <> v_prices.weekday_cents), false),
        'amount', CASE WHEN v_is_visit THEN v_check.amount END,
        'voucher_pays_cents', CASE WHEN v_is_visit THEN v_check.pays_cents END,
        'family_pays_cents', CASE WHEN v_is_visit THEN v_check.own_cents END,
        'rates', CASE WHEN v_rules.weekday_cents IS NOT NULL THEN (
            SELECT jsonb_agg(jsonb_build_object('band', t.band, 'voucher_pays_cents', LEAST(t.value, t.price),
                                                'family_pays_cents', t.price - LEAST(t.value, t.price)) ORDER BY t.i)
            FROM (SELECT u.i, u.band, u.value, COALESCE(u.price, u.value) AS price
                  FROM (VALUES (1, 'weekday', v_rules.weekday_cents, v_prices.weekday_cents),
                               (2, 'evening', v_rules.evening_cents, v_prices.evening_cents),
                               (3, 'saturday', v_rules.saturday_cents, v_prices.saturday_cents),
                               (4, 'sunday', v_rules.sunday_cents, v_prices.sunday_cents)) AS u (i, band, value, price)) t) END,
        'refusal', v_check.outcome,
        'refusal_details', v_check.details)
    INTO details
    FROM decisions d
    JOIN organisers g ON g.organiser_id = d.organiser_id
    JOIN programmes p ON p.organiser_id = d.organiser_id AND p.programme = d.programme
    LEFT JOIN beneficiaries b ON b.organiser_id = d.organiser_id AND b.voucher_id = v_voucher.voucher_id
    WHERE d.organiser_id = v_voucher.organiser_id AND d.decision_id = v_voucher.decision_id;
END $$;
