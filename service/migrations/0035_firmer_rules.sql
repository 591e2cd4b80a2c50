-- The rule book, firmer: a hold keeps its prices, a visit without times is told apart from one like it, a voucher that was
-- cancelled while it was suspended stays shut, and what a debit names is the decision in force on its day.

-- The provider's prices when the hold was made, for an hour, visit or session on a weekday, in an evening, on a Saturday
-- and on a Sunday. A list that has not begun can be replaced, and a provider's first one begins on any day: what the
-- family was told it would pay must not change with them. NULL: it had none, and asked what the voucher is worth.
ALTER TABLE holds
    ADD COLUMN price_list_id uuid,
    ADD COLUMN price_cents bigint[],
    ADD CONSTRAINT holds_prices_whole CHECK (num_nonnulls(price_list_id, price_cents) IN (0, 2) AND cardinality(price_cents) = 4);
UPDATE holds h SET price_list_id = l.price_list_id,
                   price_cents = ARRAY[l.weekday_cents, l.evening_cents, l.saturday_cents, l.sunday_cents]
FROM (SELECT k.organiser_id, k.hold_id, p.* FROM holds k
      JOIN vouchers v ON v.organiser_id = k.organiser_id AND v.voucher_id = k.voucher_id
      CROSS JOIN LATERAL prices_on(v.organiser_id, k.provider_id, v.programme, k.service_date) AS p
          (price_list_id, of_organiser, of_provider, programme, starts_on, weekday_cents, evening_cents, saturday_cents, sunday_cents)) l
WHERE h.organiser_id = l.organiser_id AND h.hold_id = l.hold_id AND l.price_list_id IS NOT NULL;

-- Nothing is entered late for a voucher that was cancelled while it was suspended, or suspended after it was cancelled:
-- what it was suspended for (a code in wrong hands, visits that nobody made) is not over with the need.
ALTER TABLE vouchers
    ADD COLUMN late_entry_stopped boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT vouchers_stopped_when_cancelled CHECK (NOT late_entry_stopped OR state IN ('cancelled', 'closed'));

-- The reference of the decision that is in force for a visit's day: the first one's, or that of the latest later one.
CREATE FUNCTION decision_ref_on(p_organiser uuid, p_voucher uuid, p_first text, p_day date) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT COALESCE((
        SELECT k.decision_ref FROM decision_versions k
        WHERE k.organiser_id = p_organiser AND k.voucher_id = p_voucher AND k.starts_on <= p_day
          AND k.outcome IS DISTINCT FROM 'dropped'
        ORDER BY k.starts_on DESC, k.version_id DESC LIMIT 1), p_first)
$$;

-- Whether a visit like this one is charged or held already, by the same provider and for the same day. With times: one
-- that began at the same moment. Without: one as long, or as dear, of which all else that is told is the same, too,
-- charged within half a day or held: whoever has two such visits gives each a reference, or says so (duplicate_ok).
-- A capture at the moment that was held is not asked again: of a hold and another visit, the later one was, when it was made.
CREATE FUNCTION is_double(v vouchers, o charge_order, p_amount bigint, p_service_date date, h holds) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF h.hold_id IS NOT NULL AND o.starts_at IS NOT DISTINCT FROM h.starts_at THEN
        RETURN false;
    END IF;
    RETURN EXISTS (
            SELECT FROM entries e
            WHERE e.organiser_id = v.organiser_id AND e.voucher_id = v.voucher_id AND e.service_date = p_service_date
              AND e.provider_id = o.provider_id AND e.kind = 'debit'
              AND (e.starts_at = o.starts_at
                   OR (o.starts_at IS NULL AND e.starts_at IS NULL AND e.amount = p_amount
                       AND e.entered_at > now() - interval '12 hours'
                       AND (e.visit_type, e.task_type, e.worker, e.reference)
                           IS NOT DISTINCT FROM (COALESCE(o.visit_type, 'visit'), o.task_type, o.worker, o.reference)))
              AND e.amount > (SELECT COALESCE(-sum(r.amount), 0) FROM entries r
                              WHERE r.organiser_id = e.organiser_id AND r.reverses = e.entry_id))
        OR EXISTS (
            SELECT FROM holds k
            WHERE k.organiser_id = v.organiser_id AND k.voucher_id = v.voucher_id AND k.service_date = p_service_date
              AND k.provider_id = o.provider_id AND k.state = 'held'
              AND (k.starts_at = o.starts_at
                   OR (o.starts_at IS NULL AND k.starts_at IS NULL AND k.amount = p_amount
                       AND (k.task_type, k.worker, k.reference) IS NOT DISTINCT FROM (o.task_type, o.worker, o.reference))));
END $$;

-- What the parts of a visit cost by their tariff bands. amounts: of each part, what p_limit leaves of it, from the visit's
-- beginning on (NULL: all); paid_cents: what the voucher is worth for those, or the price where that is lower;
-- price_cents: the price of all parts. Sums are in cents × p_per, the minutes of an hour or one visit, and are rounded to
-- cents once, half up.
CREATE TYPE visit_cost AS (amounts bigint[], paid_cents bigint, price_cents bigint);
CREATE FUNCTION price_of(
    p_bands text[], p_amounts bigint[], p_limit bigint, p_per bigint, r programme_rules, l price_lists
) RETURNS visit_cost LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    c visit_cost;
    v_left bigint := p_limit;
    v_value bigint;
    v_price bigint;
    v_paid bigint := 0;
    v_total bigint := 0;
BEGIN
    c.amounts := p_amounts;
    FOR i IN 1 .. cardinality(p_bands) LOOP
        v_value := of_band(p_bands[i], r.weekday_cents, r.evening_cents, r.saturday_cents, r.sunday_cents);
        v_price := COALESCE(of_band(p_bands[i], l.weekday_cents, l.evening_cents, l.saturday_cents, l.sunday_cents), v_value);
        v_total := v_total + v_price * p_amounts[i];
        c.amounts[i] := LEAST(p_amounts[i], v_left);
        v_left := v_left - c.amounts[i];
        v_paid := v_paid + LEAST(v_price, v_value) * c.amounts[i];
    END LOOP;
    c.paid_cents := (2 * v_paid + p_per) / (2 * p_per);
    c.price_cents := (2 * v_total + p_per) / (2 * p_per);
    RETURN c;
END $$;

-- The one place that decides whether a voucher may be charged, and what is charged then. outcome NULL: it may be.
-- The order of the tests is the order of precedence, and that of DEBIT_REFUSALS in service/debits/model.py.
-- p_what: 'debit', 'hold', 'capture' (of hold h, whose value and place in the week are its own) or 'validate' (a question
-- that leaves out the amount is about the smallest one).
CREATE OR REPLACE FUNCTION check_charge(
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
    v_cost visit_cost;
    v_is_question CONSTANT boolean := p_what = 'validate' AND o.amount IS NULL AND o.starts_at IS NULL;
    v_needs_room boolean;
BEGIN
    v_rules := rules_on(v.organiser_id, v.programme, p_service_date);
    IF o.rules_from <> v_rules.starts_on THEN
        c.outcome := 'rules_changed';  -- since the times were worked out: not a verdict, they are worked out again
        RETURN c;
    END IF;
    IF h.hold_id IS NULL THEN
        v_prices := prices_on(v.organiser_id, o.provider_id, v.programme, p_service_date);
    ELSE  -- as they were when it was made
        v_prices.price_list_id := h.price_list_id;
        v_prices.weekday_cents := h.price_cents[1];
        v_prices.evening_cents := h.price_cents[2];
        v_prices.saturday_cents := h.price_cents[3];
        v_prices.sunday_cents := h.price_cents[4];
    END IF;
    c.rules := v_rules;
    c.prices := v_prices;
    v_band := tariff_band(p_service_date, p_holidays, p_eves, v_rules.eves_are_holidays);

    -- What is wanted; and what is taken: all of it, or on request the part that is left, from the visit's beginning on.
    c.asked := COALESCE(o.amount, CASE
        WHEN v.unit = 'minutes' THEN (SELECT sum(s) FROM unnest(o.segment_amounts) s)
        WHEN v_counts_visits THEN 1
        END, CASE WHEN v_is_question THEN v_rules.step END);
    c.segment_bands := COALESCE(o.segment_bands, ARRAY[v_band]);
    c.segment_amounts := COALESCE(o.segment_amounts, ARRAY[c.asked]);
    c.amount := takes(c.asked, v_room, v_rules.step, o.partial);
    c.pays_cents := CASE WHEN v.unit = 'cents' THEN c.amount END;

    -- What that costs. Money is only worked out where no amount but the hours are told.
    IF v.unit <> 'cents' OR (v_rules.weekday_cents IS NOT NULL AND o.segment_bands IS NOT NULL AND o.amount IS NULL) THEN
        v_cost := price_of(c.segment_bands, c.segment_amounts, CASE WHEN v.unit <> 'cents' THEN c.amount END, v_per,
                           v_rules, v_prices);
        c.segment_amounts := v_cost.amounts;
        IF v_rules.weekday_cents IS NOT NULL THEN
            c.pays_cents := v_cost.paid_cents;
            IF v.unit = 'cents' THEN
                c.asked := c.pays_cents;
                c.amount := takes(c.asked, v_room, v_rules.step, o.partial);
                c.pays_cents := c.amount;
            END IF;
            c.own_cents := v_cost.price_cents - c.pays_cents;
        END IF;
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
        WHEN v.state = 'suspended' OR v.late_entry_stopped THEN 'voucher_suspended'
        WHEN v.state = 'cancelled' AND p_service_date >= v.cancelled_from THEN 'voucher_cancelled'
        WHEN p_service_date > p_today AND p_what IN ('debit', 'capture') THEN 'service_date_in_future'
        WHEN o.ends_at > now() + interval '15 minutes' AND p_what IN ('debit', 'capture') THEN 'visit_not_over'
        WHEN p_service_date < v.valid_from THEN 'voucher_not_yet_valid'
        WHEN p_service_date > v.valid_to THEN 'voucher_expired'
        WHEN p_today > LEAST(v.valid_to, v.cancelled_from) + v_rules.late_entry_days THEN 'late_entry_closed'
        WHEN o.visit_type = 'no_show' AND NOT v_rules.no_show_allowed THEN 'no_show_not_allowed'
        WHEN v_rules.task_types <> '{}' AND o.task_type <> ALL(v_rules.task_types) THEN 'task_type_unknown'
        WHEN o.starts_at IS NULL AND NOT v_is_question AND v_band = 'weekday' AND v.unit <> 'cents' AND v_rules.evening_from IS NOT NULL
             AND v_rules.weekday_cents IS NOT NULL AND (v_rules.evening_cents <> v_rules.weekday_cents OR v_prices.evening_cents <> v_prices.weekday_cents) THEN 'times_required'
        WHEN c.asked IS NULL THEN 'amount_required'
        WHEN c.asked > h.amount AND o.partial IS NOT TRUE THEN 'capture_above_hold'
        WHEN v.unit = 'minutes' AND o.segment_amounts IS NOT NULL AND c.asked <> (SELECT sum(s) FROM unnest(o.segment_amounts) s)
            THEN 'amount_differs_from_times'
        WHEN c.asked <= 0 OR c.asked % v_rules.step <> 0 THEN 'amount_not_in_steps'
        WHEN v_rules.free_by_law AND c.own_cents > 0 AND c.amount = c.asked THEN 'own_contribution_not_allowed'
        WHEN o.duplicate_ok IS NOT TRUE AND NOT v_is_question AND is_double(v, o, c.amount, p_service_date, h) THEN 'possible_duplicate'
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

-- Charges a visit: the entry, the value, and what the family is told. The voucher is locked and checked.
CREATE OR REPLACE FUNCTION write_debit(
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
                         price_list_id, segment_bands, segment_amounts, pays_cents, own_cents, entered_at)
    VALUES (v.organiser_id, o.new_id, v.voucher_id, v.programme, COALESCE(h.code_id, v.code_id), o.provider_id, o.credential_id, 'debit', c.amount,
            p_service_date, o.reference, o.starts_at, o.ends_at, COALESCE(o.visit_type, 'visit'), o.task_type, o.worker,
            c.visits, c.minutes, h.hold_id, (c.rules).starts_on, (c.prices).price_list_id, c.segment_bands, c.segment_amounts,
            c.pays_cents, c.own_cents, now());
    SELECT decision_ref_on(v.organiser_id, v.voucher_id, d.decision_ref, p_service_date) AS decision_ref, d.status, g.slug, p.receipts INTO v_decision
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

-- Keep value and a place in the week for a visit that is booked. Steps as in debit.
CREATE OR REPLACE FUNCTION hold_visit(
    o charge_order, p_holidays date[], p_eves date[],
    OUT outcome text, OUT answer text, OUT replayed boolean, OUT language text
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_found record;
    v_voucher vouchers;
    v_check charge_check;
    v_today date := helsinki_today();
    v_service_date date := COALESCE(o.service_date, v_today);
    v_prices price_lists;
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
        v_prices := v_check.prices;
        UPDATE vouchers v SET available = v.available - v_check.amount, held = v.held + v_check.amount
        WHERE v.organiser_id = v_voucher.organiser_id AND v.voucher_id = v_voucher.voucher_id RETURNING v.available INTO v_available;
        INSERT INTO holds (organiser_id, hold_id, voucher_id, code_id, provider_id, credential_id, asked, amount, visits, minutes, service_date,
                           starts_at, ends_at, task_type, worker, reference, rules_from, price_list_id, price_cents, segment_bands,
                           segment_amounts, lapses_at)
        VALUES (v_voucher.organiser_id, o.new_id, v_voucher.voucher_id, v_voucher.code_id, o.provider_id, o.credential_id, o.amount, v_check.amount,
                v_check.visits, v_check.minutes, v_service_date, o.starts_at, o.ends_at, o.task_type, o.worker, o.reference,
                (v_check.rules).starts_on, v_prices.price_list_id,
                CASE WHEN v_prices.price_list_id IS NOT NULL THEN ARRAY[
                    v_prices.weekday_cents, v_prices.evening_cents, v_prices.saturday_cents, v_prices.sunday_cents] END,
                o.segment_bands, o.segment_amounts, v_lapses_at);
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

-- What a code is good for, by the same rules as a debit. A promise of nothing: only a debit or a hold is.
CREATE OR REPLACE FUNCTION validate_code(o charge_order, p_holidays date[], p_eves date[], OUT outcome text, OUT details jsonb)
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
        'decision_ref', decision_ref_on(v_voucher.organiser_id, v_voucher.voucher_id, d.decision_ref, v_service_date), 'decision_status', d.status,
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
