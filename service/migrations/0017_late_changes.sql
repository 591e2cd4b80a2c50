-- What a later decision changes of a voucher, and what the calendar does to it.
-- Whoever changes a voucher locks its row first, as a charge does. A caseworker's change locks the family's row before
-- that, and so does a later decision on its day, before which only its own row is taken, by one worker at a time. The
-- other schedules lock vouchers only and take none that is locked. So no two wait in a circle.

-- A later decision about a voucher: what it asked, from when, by whom and why, and when it was applied. Append-only but
-- for what became of it, which is written once.
CREATE TABLE decision_versions (
    organiser_id   uuid NOT NULL,
    version_id     uuid NOT NULL,
    voucher_id     uuid NOT NULL,
    decision_ref   text NOT NULL,
    asked_from     date,                -- as it was asked; none: from the day of asking
    starts_on      date NOT NULL,
    granted        bigint,              -- the new total; none: as it was
    sets_visits    boolean NOT NULL,
    weekly_visits  integer,             -- none although sets_visits: no cap from that day on
    sets_minutes   boolean NOT NULL,
    weekly_minutes integer,
    valid_to       date,                -- later than before; none: as it was
    reason         text NOT NULL,
    created_by     text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    outcome        text,                -- none: its day has not come
    ended_at       timestamptz,
    granted_after  bigint,              -- more than asked when so much had been used by its day
    PRIMARY KEY (organiser_id, version_id),
    FOREIGN KEY (organiser_id, voucher_id) REFERENCES vouchers,
    CONSTRAINT decision_versions_ref_unique UNIQUE (organiser_id, decision_ref),
    CONSTRAINT decision_versions_outcome_known CHECK (outcome IN ('applied', 'dropped')),
    CONSTRAINT decision_versions_ended_whole CHECK ((outcome IS NULL) = (ended_at IS NULL)),
    CONSTRAINT decision_versions_change_something CHECK (granted IS NOT NULL OR sets_visits OR sets_minutes OR valid_to IS NOT NULL),
    CONSTRAINT decision_versions_positive CHECK (granted > 0 AND weekly_visits > 0 AND weekly_minutes > 0)
);
CREATE INDEX decision_versions_of_voucher ON decision_versions (organiser_id, voucher_id, starts_on);
CREATE INDEX decision_versions_waiting ON decision_versions (starts_on) WHERE outcome IS NULL;

-- The vouchers that expire and close next. A charge changes none of these columns: its update stays heap-only. The
-- searches ask for this order, or else the planner, who takes most vouchers to be over, would read the table.
CREATE INDEX vouchers_expiring ON vouchers ((LEAST(valid_to, cancelled_from))) WHERE state = 'issued';
CREATE INDEX vouchers_closing ON vouchers ((LEAST(valid_to, cancelled_from))) WHERE state <> 'closed';

-- The caps that a voucher's later decisions make, from each of their days on. On a day each of the two caps is what the
-- latest decision by then says of it, or else the voucher's first one: so a decision about visits leaves the minutes of
-- another one alone. The caller has locked the voucher.
CREATE FUNCTION write_caps(p_organiser uuid, p_voucher uuid) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO voucher_caps (organiser_id, voucher_id, starts_on, weekly_visits, weekly_minutes)
    SELECT p_organiser, p_voucher, t.starts_on,
           CASE WHEN a.version_id IS NOT NULL THEN a.weekly_visits ELSE v.weekly_visits END,
           CASE WHEN b.version_id IS NOT NULL THEN b.weekly_minutes ELSE v.weekly_minutes END
    FROM (SELECT DISTINCT d.starts_on FROM decision_versions d
          WHERE d.organiser_id = p_organiser AND d.voucher_id = p_voucher AND (d.sets_visits OR d.sets_minutes)) t
    JOIN vouchers v ON v.organiser_id = p_organiser AND v.voucher_id = p_voucher
    LEFT JOIN LATERAL (
        SELECT d.version_id, d.weekly_visits FROM decision_versions d
        WHERE d.organiser_id = p_organiser AND d.voucher_id = p_voucher AND d.sets_visits AND d.starts_on <= t.starts_on
        ORDER BY d.starts_on DESC, d.version_id DESC LIMIT 1) a ON true
    LEFT JOIN LATERAL (
        SELECT d.version_id, d.weekly_minutes FROM decision_versions d
        WHERE d.organiser_id = p_organiser AND d.voucher_id = p_voucher AND d.sets_minutes AND d.starts_on <= t.starts_on
        ORDER BY d.starts_on DESC, d.version_id DESC LIMIT 1) b ON true
    ON CONFLICT (organiser_id, voucher_id, starts_on) DO UPDATE
        SET weekly_visits = excluded.weekly_visits, weekly_minutes = excluded.weekly_minutes
        WHERE (voucher_caps.weekly_visits, voucher_caps.weekly_minutes)
              IS DISTINCT FROM (excluded.weekly_visits, excluded.weekly_minutes);
    UPDATE vouchers v SET caps_changed = true
    WHERE v.organiser_id = p_organiser AND v.voucher_id = p_voucher AND NOT v.caps_changed;
END $$;

-- Do what a later decision says of value and validity. What is used, held or gone cannot be taken back: a lowering whose
-- day comes late takes what is left, in whole steps. NULL: it was done before. 'dropped': the voucher has ended meanwhile.
CREATE FUNCTION apply_version(p_organiser uuid, p_version uuid) RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    d decision_versions;
    v vouchers;
    v_step bigint;
    v_granted bigint;
    v_valid_to date;
    v_outcome text := 'dropped';
BEGIN
    SELECT k.* INTO d FROM decision_versions k WHERE k.organiser_id = p_organiser AND k.version_id = p_version;
    SELECT u.* INTO v FROM vouchers u WHERE u.organiser_id = p_organiser AND u.voucher_id = d.voucher_id FOR NO KEY UPDATE;
    PERFORM FROM decision_versions k WHERE k.organiser_id = p_organiser AND k.version_id = p_version AND k.outcome IS NULL;
    IF NOT FOUND THEN RETURN NULL; END IF;
    v_granted := v.granted;
    IF v.state NOT IN ('cancelled', 'closed') THEN
        v_outcome := 'applied';
        v_step := (rules_on(p_organiser, v.programme, d.starts_on)).step;
        IF d.granted IS NOT NULL THEN
            v_granted := CASE WHEN d.granted >= v.granted THEN d.granted
                              ELSE LEAST(v.granted, GREATEST(d.granted, (v.granted - v.available + v_step - 1) / v_step * v_step)) END;
        END IF;
        v_valid_to := GREATEST(v.valid_to, d.valid_to);
        IF v_granted <> v.granted OR v_valid_to <> v.valid_to THEN
            UPDATE vouchers u SET
                granted = v_granted, available = u.available + v_granted - u.granted, valid_to = v_valid_to,
                state = CASE WHEN u.state = 'expired' AND v_valid_to >= helsinki_today() THEN 'issued' ELSE u.state END
            WHERE u.organiser_id = p_organiser AND u.voucher_id = v.voucher_id;
        END IF;
        IF v_granted <> v.granted THEN
            INSERT INTO value_changes (organiser_id, change_id, voucher_id, kind, amount, effective_on, decision_ref, actor, reason)
            VALUES (p_organiser, gen_random_uuid(), v.voucher_id, CASE WHEN v_granted > v.granted THEN 'raised' ELSE 'lowered' END,
                    abs(v_granted - v.granted), d.starts_on, d.decision_ref, d.created_by, d.reason);
        END IF;
    END IF;
    UPDATE decision_versions k SET outcome = v_outcome, ended_at = now(), granted_after = v_granted
    WHERE k.organiser_id = p_organiser AND k.version_id = p_version;
    RETURN v_outcome;
END $$;

-- Drop what is held for visits from a day on; the value is free again. The caller has locked the voucher.
CREATE FUNCTION void_holds_from(p_organiser uuid, p_voucher uuid, p_from date, p_by text, p_reason text) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    r record;
    v_count integer := 0;
BEGIN
    FOR r IN SELECT k.hold_id FROM holds k
             WHERE k.organiser_id = p_organiser AND k.voucher_id = p_voucher AND k.state = 'held' AND k.service_date >= p_from
    LOOP
        IF free_hold(p_organiser, r.hold_id, 'voided', p_by, p_reason) THEN v_count := v_count + 1; END IF;
    END LOOP;
    RETURN v_count;
END $$;

-- How long after its end visits of a voucher may be entered: as its programme's rules say, and where they changed during
-- its validity, the longest. A charge is judged by the rules of its visit's day, and none is to find the voucher closed.
CREATE FUNCTION late_entry_days_of(v vouchers) RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT max(r.late_entry_days) FROM programme_rules r
    WHERE r.organiser_id = v.organiser_id AND r.programme = v.programme AND r.starts_on <= GREATEST(v.valid_from, LEAST(v.valid_to, v.cancelled_from))
      AND r.starts_on >= COALESCE((rules_on(v.organiser_id, v.programme, v.valid_from)).starts_on, '-infinity')
$$;

-- Vouchers whose last day is over. Their value stays for visits that are entered late.
CREATE FUNCTION expire_vouchers(p_limit integer) RETURNS integer
LANGUAGE sql VOLATILE AS $$
    WITH ended AS (
        SELECT v.organiser_id, v.voucher_id FROM vouchers v
        WHERE v.state = 'issued' AND LEAST(v.valid_to, v.cancelled_from) < helsinki_today()
        ORDER BY LEAST(v.valid_to, v.cancelled_from) LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED),
    expired AS (
        UPDATE vouchers v SET state = 'expired' FROM ended e
        WHERE v.organiser_id = e.organiser_id AND v.voucher_id = e.voucher_id RETURNING v.voucher_id)
    SELECT count(*)::integer FROM expired
$$;

-- Vouchers whose time for late entries is over. What is left goes back to the budget, what was held for visits that
-- nobody charged, too.
CREATE FUNCTION close_vouchers(p_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    c record;
    r record;
    v vouchers;
    v_left bigint;
    v_count integer := 0;
BEGIN
    FOR c IN
        -- late_entry_days_of is slow: it is asked about those that their programme's shortest lets by, until there are enough.
        WITH shortest AS MATERIALIZED (
            SELECT k.organiser_id, k.programme, min(k.late_entry_days) AS days FROM programme_rules k GROUP BY 1, 2)
        SELECT e.organiser_id, e.voucher_id FROM (
            SELECT u.organiser_id, u.voucher_id, u AS whole, LEAST(u.valid_to, u.cancelled_from) AS last_day
            FROM vouchers u JOIN shortest s ON s.organiser_id = u.organiser_id AND s.programme = u.programme
            WHERE u.state <> 'closed'
              AND LEAST(u.valid_to, u.cancelled_from) < helsinki_today() - (SELECT min(k.days) FROM shortest k)
              AND LEAST(u.valid_to, u.cancelled_from) < helsinki_today() - s.days
            ORDER BY LEAST(u.valid_to, u.cancelled_from) OFFSET 0) e
        WHERE e.last_day < helsinki_today() - late_entry_days_of(e.whole)
        LIMIT p_limit
    LOOP
        SELECT u.* INTO v FROM vouchers u
        WHERE u.organiser_id = c.organiser_id AND u.voucher_id = c.voucher_id AND u.state <> 'closed'
          AND LEAST(u.valid_to, u.cancelled_from) < helsinki_today() - late_entry_days_of(u) FOR NO KEY UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;  -- busy, or renewed or closed meanwhile
        -- One that is to be renewed today, or whose renewal failed, must not lose its value to the order of the schedules.
        CONTINUE WHEN v.cancelled_from IS NULL AND EXISTS (
            SELECT FROM decision_versions d
            WHERE d.organiser_id = v.organiser_id AND d.voucher_id = v.voucher_id AND d.outcome IS NULL
              AND d.starts_on <= helsinki_today());
        FOR r IN SELECT k.hold_id FROM holds k
                 WHERE k.organiser_id = v.organiser_id AND k.voucher_id = v.voucher_id AND k.state = 'held'
        LOOP
            PERFORM free_hold(v.organiser_id, r.hold_id, 'lapsed', 'schedule', 'voucher_closed');
        END LOOP;
        SELECT u.available INTO v_left FROM vouchers u WHERE u.organiser_id = v.organiser_id AND u.voucher_id = v.voucher_id;
        UPDATE vouchers u SET
            state = 'closed', available = 0,
            expired = u.expired + CASE WHEN u.cancelled_from IS NULL THEN v_left ELSE 0 END,
            cancelled = u.cancelled + CASE WHEN u.cancelled_from IS NULL THEN 0 ELSE v_left END
        WHERE u.organiser_id = v.organiser_id AND u.voucher_id = v.voucher_id;
        IF v_left > 0 THEN
            INSERT INTO value_changes (organiser_id, change_id, voucher_id, kind, amount, effective_on, actor)
            VALUES (v.organiser_id, gen_random_uuid(), v.voucher_id,
                    CASE WHEN v.cancelled_from IS NULL THEN 'expired' ELSE 'cancelled' END, v_left, helsinki_today(), 'schedule');
        END IF;
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;

-- A voucher that is renewed ends anew, and its family is reminded of that end, too: once for each end.
DROP INDEX messages_reminded_once;
CREATE UNIQUE INDEX messages_reminded_once ON messages (organiser_id, subject_id, kind, (COALESCE(fields ->> 'ends_on', '')))
    WHERE kind IN ('reminder_unused', 'reminder_expiring') AND fallback_of IS NULL;
CREATE OR REPLACE FUNCTION queue_family_message(
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
    ON CONFLICT (organiser_id, subject_id, kind, (COALESCE(fields ->> 'ends_on', '')))
        WHERE kind IN ('reminder_unused', 'reminder_expiring') AND fallback_of IS NULL DO NOTHING;
    RETURN FOUND;
END $$;
