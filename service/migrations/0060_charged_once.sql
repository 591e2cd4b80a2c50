-- A visit is charged once, also when only a part of it was taken, when a worker texts what the office has charged or booked,
-- and when the repeat finds the week full. Of three functions, what is new: is_double compares what was asked, and what was
-- taken, and knows how little a text tells; write_debit keeps what was asked; check_charge tells what is certain
-- before what is asked (whoever answers that a visit is another one is not told only then that the week is full), and tells
-- in a refusal of a full week or of too little value that a visit like this one is there already. The rest is as in 0035.

-- What was asked for where only a part of it was charged. NULL: as much as was charged. Not looked for in the rows that are
-- there, which have none: debits would wait meanwhile.
ALTER TABLE entries
    ADD COLUMN asked bigint,
    ADD CONSTRAINT entries_asked_whole CHECK (asked IS NULL OR (asked > amount AND kind = 'debit')) NOT VALID;

-- Whether a visit like this one is charged or held already, by the same provider and for the same day. With times: one
-- that began at the same moment. Without: one for which as much was asked, or of which as much was taken, and of which all
-- else that is told is the same, too, charged within half a day or held: whoever has two such visits gives each a reference,
-- or says so (duplicate_ok). A worker's text tells neither task nor reference, and a visit that the office entered may name
-- whoever did: as much is then enough, unless it is what another worker texted.
-- A capture at the moment that was held is not asked again: of a hold and another visit, the later one was, when it was made.
CREATE OR REPLACE FUNCTION is_double(v vouchers, o charge_order, p_amount bigint, p_service_date date, h holds) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_asked CONSTANT bigint := COALESCE(o.amount, 1);  -- without times, only one visit is asked for by telling no amount
    v_is_text CONSTANT boolean := COALESCE(o.key LIKE 'sms:%', false);
BEGIN
    IF h.hold_id IS NOT NULL AND o.starts_at IS NOT DISTINCT FROM h.starts_at THEN
        RETURN false;
    END IF;
    RETURN EXISTS (
            SELECT FROM entries e
            WHERE e.organiser_id = v.organiser_id AND e.voucher_id = v.voucher_id AND e.service_date = p_service_date
              AND e.provider_id = o.provider_id AND e.kind = 'debit'
              AND (e.starts_at = o.starts_at
                   OR (o.starts_at IS NULL AND e.starts_at IS NULL
                       AND (v_asked IN (e.asked, e.amount) OR e.amount = p_amount)
                       AND e.entered_at > now() - interval '12 hours'
                       AND e.visit_type = COALESCE(o.visit_type, 'visit')
                       AND CASE WHEN v_is_text
                           THEN e.credential_id = o.credential_id OR NOT EXISTS (SELECT FROM workers w WHERE w.worker_id = e.credential_id)
                           ELSE (e.task_type, e.worker, e.reference) IS NOT DISTINCT FROM (o.task_type, o.worker, o.reference) END))
              AND e.amount > (SELECT COALESCE(-sum(r.amount), 0) FROM entries r
                              WHERE r.organiser_id = e.organiser_id AND r.reverses = e.entry_id))
        OR EXISTS (
            SELECT FROM holds k
            WHERE k.organiser_id = v.organiser_id AND k.voucher_id = v.voucher_id AND k.service_date = p_service_date
              AND k.provider_id = o.provider_id AND k.state = 'held'
              AND (k.starts_at = o.starts_at
                   OR (o.starts_at IS NULL AND k.starts_at IS NULL
                       AND (v_asked IN (k.asked, k.amount) OR k.amount = p_amount)
                       AND (v_is_text OR (k.task_type, k.worker, k.reference) IS NOT DISTINCT FROM (o.task_type, o.worker, o.reference)))));
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
        WHEN v_needs_room AND c.used_visits + c.visits > c.cap_visits THEN 'weekly_visits_used'
        WHEN v_needs_room AND c.used_minutes + c.minutes > c.cap_minutes THEN 'weekly_minutes_used'
        -- A part will not do where the family may not pay the rest.
        WHEN c.asked > v_room AND (o.partial IS NOT TRUE OR c.amount <= 0 OR (v_rules.free_by_law AND p_what <> 'capture'))
            THEN 'insufficient_value'
        -- A question comes when nothing else is in the way: nobody is asked, says yes, and is refused all the same.
        WHEN o.duplicate_ok IS NOT TRUE AND NOT v_is_question AND is_double(v, o, c.amount, p_service_date, h) THEN 'possible_duplicate'
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
        -- Whoever only sends a visit again must not hear that there is room next week, and enter it there.
        IF c.outcome IN ('weekly_visits_used', 'weekly_minutes_used', 'insufficient_value') AND o.duplicate_ok IS NOT TRUE
           AND NOT v_is_question AND is_double(v, o, c.amount, p_service_date, h) THEN
            c.details := c.details || '{"similar_debit": true}';
        END IF;
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
    INSERT INTO entries (organiser_id, entry_id, voucher_id, programme, code_id, provider_id, credential_id, kind, amount, asked, service_date,
                         reference, starts_at, ends_at, visit_type, task_type, worker, visits, minutes, hold_id, rules_from,
                         price_list_id, segment_bands, segment_amounts, pays_cents, own_cents, entered_at)
    VALUES (v.organiser_id, o.new_id, v.voucher_id, v.programme, COALESCE(h.code_id, v.code_id), o.provider_id, o.credential_id, 'debit', c.amount, NULLIF(c.asked, c.amount),
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
