-- A visit is charged once, also when one who enters it tells its times and the other its hours, and when the office enters what
-- a worker has texted. Of is_double, what is new; the rest is as in 0060.
--
-- Whether a visit like this one is charged or held already, by the same provider and for the same day. Where both tell times:
-- one that began at the same moment. Where not both do: one for which as much was asked, or of which as much was taken, and
-- of which all else that is told is the same, too, charged within half a day or held: whoever has two such visits gives
-- each a reference, or says so (duplicate_ok). A worker's text tells neither task nor reference, and a visit that the
-- office entered may name whoever did: as much is then enough, unless it is what another worker texted; and what the office
-- enters of a texted visit need not name who was there.
-- A capture at the moment that was held is not asked again: of a hold and another visit, the later one was, when it was made.
CREATE OR REPLACE FUNCTION is_double(v vouchers, o charge_order, p_amount bigint, p_service_date date, h holds) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    -- Only one visit is asked for by telling no amount; with times they tell it.
    v_asked CONSTANT bigint := COALESCE(o.amount, CASE
        WHEN o.starts_at IS NULL OR v.unit IN ('visits', 'sessions') THEN 1
        WHEN v.unit = 'minutes' THEN (SELECT sum(s) FROM unnest(o.segment_amounts) s)
        ELSE p_amount END);
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
                   OR ((o.starts_at IS NULL OR e.starts_at IS NULL)
                       AND (v_asked IN (e.asked, e.amount) OR e.amount = p_amount)
                       AND e.entered_at > now() - interval '12 hours'
                       AND e.visit_type = COALESCE(o.visit_type, 'visit')
                       AND CASE WHEN v_is_text
                           THEN e.credential_id = o.credential_id OR NOT EXISTS (SELECT FROM workers w WHERE w.worker_id = e.credential_id)
                           ELSE (e.task_type, e.worker, e.reference) IS NOT DISTINCT FROM (o.task_type, o.worker, o.reference)
                             OR (COALESCE(o.worker = e.worker, true) AND EXISTS (SELECT FROM workers w WHERE w.worker_id = e.credential_id))
                           END))
              AND e.amount > (SELECT COALESCE(-sum(r.amount), 0) FROM entries r
                              WHERE r.organiser_id = e.organiser_id AND r.reverses = e.entry_id))
        OR EXISTS (
            SELECT FROM holds k
            WHERE k.organiser_id = v.organiser_id AND k.voucher_id = v.voucher_id AND k.service_date = p_service_date
              AND k.provider_id = o.provider_id AND k.state = 'held' AND k.hold_id IS DISTINCT FROM h.hold_id
              AND (k.starts_at = o.starts_at
                   OR ((o.starts_at IS NULL OR k.starts_at IS NULL)
                       AND (v_asked IN (k.asked, k.amount) OR k.amount = p_amount)
                       AND (v_is_text OR (k.task_type, k.worker, k.reference) IS NOT DISTINCT FROM (o.task_type, o.worker, o.reference)))));
END $$;
