-- What is certain is told before what is asked: whoever answers that a visit is another one, and not the same once more, is
-- not told only then that the week is full or that too little is left. Nothing else in the function is changed (0035).

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
    END IF;
    RETURN c;
END $$;
