-- History's first page at once by every filter and by each two of them, however much there is.

-- A worker's debits in the order of entry, as before; days, organiser and programme are told by the index itself, where
-- each row was looked up for them. It takes the place of the one without them: a debit writes as many entries as before.
CREATE INDEX entries_of_provider_by_worker_and_more
    ON entries (provider_id, worker, entry_id, service_date, organiser_id, programme) WHERE amount > 0 AND worker IS NOT NULL;
DROP INDEX entries_of_provider_by_worker;
ALTER INDEX entries_of_provider_by_worker_and_more RENAME TO entries_of_provider_by_worker;

-- What is left of its debit after this one: which debits are reversed in part and which as a whole is told by their
-- reversals alone. Without it, all that a provider ever took back was looked through for the few of the other kind.
ALTER TABLE entries ADD COLUMN leaves bigint;
UPDATE entries u SET leaves = r.leaves
FROM (SELECT k.organiser_id, k.entry_id,
             (d.amount + sum(k.amount) OVER (PARTITION BY k.organiser_id, k.reverses ORDER BY k.entry_id))::bigint AS leaves
      FROM entries k JOIN entries d ON d.organiser_id = k.organiser_id AND d.entry_id = k.reverses
      WHERE k.reverses IS NOT NULL) r
WHERE u.organiser_id = r.organiser_id AND u.entry_id = r.entry_id;
ALTER TABLE entries ADD CONSTRAINT entries_leaves_known CHECK ((reverses IS NULL) = (leaves IS NULL) AND leaves >= 0) NOT VALID;

-- In either order, with all that a filter may ask: a reversal has the organiser, the programme, the day and the worker of
-- its debit. Only what takes back pays for these.
DROP INDEX entries_taken_back;
CREATE INDEX entries_taken_back ON entries (provider_id, reverses, leaves, service_date, organiser_id, programme, worker)
    WHERE reverses IS NOT NULL;
CREATE INDEX entries_taken_back_by_day ON entries (provider_id, service_date, reverses, leaves, organiser_id, programme, worker)
    WHERE reverses IS NOT NULL;

-- The newest that is settled, before which no other is looked for.
CREATE INDEX settled_entries_by_entry ON settled_entries (entry_id);

-- As in 0016, and it tells what it leaves.
CREATE OR REPLACE FUNCTION reverse_debit(
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
                                 reason, reverses, leaves, starts_at, ends_at, visit_type, task_type, worker, hold_id, rules_from, price_list_id,
                                 visits, minutes, pays_cents, own_cents)
            VALUES (d.organiser_id, p_entry, d.voucher_id, d.programme, d.code_id, p_provider, p_credential, 'reversal', -v_amount, d.service_date,
                    p_reason, d.entry_id, v_left - v_amount, d.starts_at, d.ends_at, d.visit_type, d.task_type, d.worker, d.hold_id, d.rules_from, d.price_list_id,
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
