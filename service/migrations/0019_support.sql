-- Guess protection that a person can see and end: blocks with their beginning and their lifting, the breaker of the whole
-- installation, keys for whoever supports it, and a look-up of codes whose limits hold under concurrency.

-- One row a credential, for ever: what was before the newest block or lifting is in the audit log.
ALTER TABLE credential_blocks
    ADD COLUMN blocked_at  timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN lifted_at   timestamptz,  -- misses until then are forgiven: they stay, and count no more
    ADD COLUMN lifted_by   text,
    ADD COLUMN lift_reason text,
    ADD CONSTRAINT credential_blocks_lifting_told CHECK (num_nonnulls(lifted_at, lifted_by, lift_reason) IN (0, 3));

-- So many misses on the whole installation that a person must look. Open until one has said what it was.
CREATE TABLE breaker_trips (
    trip_id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tripped_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    misses          integer NOT NULL,     -- that tripped it
    acknowledged_at timestamptz,          -- misses until then do not trip it again
    acknowledged_by text,
    reason          text,
    CONSTRAINT breaker_trips_acknowledgement_told CHECK (num_nonnulls(acknowledged_at, acknowledged_by, reason) IN (0, 3))
);
CREATE UNIQUE INDEX breaker_trips_one_open ON breaker_trips ((true)) WHERE acknowledged_at IS NULL;
CREATE INDEX breaker_trips_acknowledged ON breaker_trips (acknowledged_at);

-- Keys of whoever runs the installation belong to no organiser and no provider.
ALTER TABLE api_keys
    ADD COLUMN is_support boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT api_keys_one_owner,
    ADD CONSTRAINT api_keys_one_owner CHECK (num_nonnulls(organiser_id, provider_id) + is_support::integer = 1);

-- The only place where the limits are written.
CREATE FUNCTION guess_limits(
    OUT misses_an_hour integer,         -- stop a credential for an hour
    OUT misses_an_hour_tripped integer, -- the same while the breaker is tripped
    OUT misses_a_day integer,           -- stop it for a day
    OUT misses_of_all integer           -- of the whole installation in a day: trip the breaker
) LANGUAGE sql IMMUTABLE AS $$ SELECT 5, 2, 20, 50 $$;

-- Two misses of one credential at the same moment are counted one after the other. Held until the commit, by misses
-- and liftings alone: a good code waits for it only when it shares a transaction with a miss. A credential can take it 20
-- times a day, then it is stopped.
CREATE FUNCTION lock_misses(p_credential uuid) RETURNS void
LANGUAGE sql VOLATILE AS $$ SELECT pg_advisory_xact_lock(hashtextextended('misses of ' || p_credential, 0)) $$;

-- Writes a miss down, and stops the credential when it was one too many. Under lock_misses.
CREATE FUNCTION count_miss(p_provider uuid, p_credential uuid) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_limits record;
    v_hour bigint;
    v_day bigint;
BEGIN
    SELECT * INTO v_limits FROM guess_limits();
    INSERT INTO code_misses (credential_id, provider_id, missed_at) VALUES (p_credential, p_provider, clock_timestamp());
    SELECT count(*) FILTER (WHERE m.missed_at > now() - interval '1 hour'), count(*) INTO v_hour, v_day
    FROM code_misses m
    WHERE m.credential_id = p_credential AND m.missed_at > now() - interval '1 day'
      AND m.missed_at > COALESCE((SELECT b.lifted_at FROM credential_blocks b WHERE b.credential_id = p_credential), '-infinity');
    IF EXISTS (SELECT FROM breaker_trips t WHERE t.acknowledged_at IS NULL) THEN
        v_limits.misses_an_hour := v_limits.misses_an_hour_tripped;
    END IF;
    IF v_day >= v_limits.misses_a_day OR v_hour >= v_limits.misses_an_hour THEN
        INSERT INTO credential_blocks (credential_id, blocked_until)
        VALUES (p_credential, now() + CASE WHEN v_day >= v_limits.misses_a_day THEN interval '1 day' ELSE interval '1 hour' END)
        ON CONFLICT (credential_id) DO UPDATE SET
            blocked_at = CASE WHEN credential_blocks.blocked_until > now() THEN credential_blocks.blocked_at ELSE clock_timestamp() END,
            blocked_until = GREATEST(credential_blocks.blocked_until, excluded.blocked_until);
    END IF;
END $$;

-- Finds what a code pays from, for a provider, or says why there is nothing for them: 'credential_blocked',
-- 'not_approved_on_date', 'code_superseded', or 'code_unknown' for everything that is not this provider's business: an
-- unknown code, another organiser's or programme's, one replaced more than 30 days ago. That one answer comes after the
-- same statements whatever the reason, and is counted as a miss.
CREATE OR REPLACE FUNCTION find_code(
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
    v_approved_today boolean;
    v_is_current boolean;
BEGIN
    SELECT b.blocked_until INTO v_until FROM credential_blocks b WHERE b.credential_id = p_credential AND b.blocked_until > now();
    IF v_until IS NULL THEN
        SELECT c.organiser_id, c.voucher_id, c.code_id INTO organiser_id, voucher_id, code_id
        FROM voucher_codes c WHERE c.code_index = p_index;
        IF code_id IS NULL AND p_previous_index IS NOT NULL THEN
            SELECT c.organiser_id, c.voucher_id, c.code_id INTO organiser_id, voucher_id, code_id
            FROM voucher_codes c WHERE c.code_index = p_previous_index;
        ELSIF p_previous_index IS NOT NULL THEN
            PERFORM FROM voucher_codes c WHERE c.code_index = p_previous_index;  -- as when the first finds nothing
        END IF;
        SELECT v.programme, v.code_id INTO v_programme, v_live_code FROM vouchers v
        WHERE v.organiser_id = COALESCE(find_code.organiser_id, nobody) AND v.voucher_id = COALESCE(find_code.voucher_id, nobody);
        v_approved := provider_is_approved(p_provider, COALESCE(organiser_id, nobody), COALESCE(v_programme, ''), p_service_date);
        IF v_approved AND v_live_code = code_id THEN
            outcome := 'ok';
            RETURN;
        END IF;

        v_approved_today := provider_is_approved(p_provider, COALESCE(organiser_id, nobody), COALESCE(v_programme, ''), helsinki_today());
        SELECT c.superseded_at INTO v_superseded_at FROM codes c
        WHERE c.organiser_id = COALESCE(find_code.organiser_id, nobody) AND c.code_id = COALESCE(find_code.code_id, nobody);
        -- One replaced long ago is nobody's business on any day.
        v_is_current := COALESCE(v_live_code = code_id OR v_superseded_at > now() - interval '30 days', false);
        IF v_is_current AND (v_approved OR v_approved_today) THEN
            outcome := CASE WHEN v_approved THEN 'code_superseded' ELSE 'not_approved_on_date' END;
            details := '{}';
            RETURN;
        END IF;

        PERFORM lock_misses(p_credential);
        -- By a miss that was counted while this one waited.
        SELECT b.blocked_until INTO v_until FROM credential_blocks b WHERE b.credential_id = p_credential AND b.blocked_until > now();
        IF v_until IS NULL THEN
            PERFORM count_miss(p_provider, p_credential);
            outcome := 'code_unknown';
            details := '{}';
        END IF;
        organiser_id := NULL; voucher_id := NULL; code_id := NULL;
    END IF;
    IF v_until IS NOT NULL THEN
        outcome := 'credential_blocked';
        details := jsonb_build_object(
            'retry_at', to_char(v_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'retry_after_s', ceil(extract(epoch FROM v_until - now()))::int);
    END IF;
END $$;

-- What the misses of the last 24 hours come to; trips the breaker when it is time. For after the commit of a miss: of
-- misses at the same moment, whoever looks last sees them all, and nobody waits for anybody.
CREATE FUNCTION weigh_misses(OUT misses_today bigint, OUT is_tripped boolean, OUT has_just_tripped boolean)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE v_misses bigint;
BEGIN
    SELECT count(*), count(*) FILTER (WHERE m.missed_at > COALESCE((SELECT max(t.acknowledged_at) FROM breaker_trips t), '-infinity'))
    INTO misses_today, v_misses
    FROM code_misses m WHERE m.missed_at > now() - interval '1 day';
    has_just_tripped := false;
    IF v_misses >= (SELECT l.misses_of_all FROM guess_limits() l) THEN
        INSERT INTO breaker_trips (misses) VALUES (v_misses) ON CONFLICT DO NOTHING;
        has_just_tripped := FOUND;
    END IF;
    is_tripped := EXISTS (SELECT FROM breaker_trips t WHERE t.acknowledged_at IS NULL);
END $$;
