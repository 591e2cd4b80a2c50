-- The public directory of approved providers (Service Voucher Act 569/2009): what a provider tells of itself, who is
-- listed, and what a family would pay. Nothing of this is about families; all of it is meant to be read by everybody.

-- In the programme's place '': what is told of every programme. A row of one programme says only what is otherwise
-- there; what it leaves out (NULL) is as it is in general, so a new telephone number is written once.
CREATE TABLE provider_profiles (
    provider_id  uuid NOT NULL REFERENCES providers,
    programme    text NOT NULL,
    descriptions jsonb NOT NULL DEFAULT '{}',  -- by language: fi, sv, en
    areas        text[],                       -- municipalities
    hours        jsonb,                        -- by kind of day: {"weekday": "8–16", "evening": ""}; '' is at no told hours
    languages    text[],
    phone        text,
    email        text,
    web          text,
    takes_new    boolean,                      -- new customers
    updated_at   timestamptz NOT NULL DEFAULT now(),
    updated_by   text NOT NULL,
    PRIMARY KEY (provider_id, programme),
    CONSTRAINT profiles_programme_plain CHECK (programme ~ '^([a-z0-9][a-z0-9-]{0,39})?$'),
    CONSTRAINT profiles_web_is_https CHECK (web LIKE 'https://%')
);

CREATE INDEX approvals_by_programme ON approvals (programme, organiser_id, region_id);

-- What a person types is found whatever its case, and with the letters of a foreign keyboard: no collation or extension
-- is needed for that, so it is the same on every server.
CREATE FUNCTION search_key(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT translate(lower(p_text), 'ÅÄÖÆØÉÈÊËÜÕÁÀÂÍÓÔÚČŠŽĐŊŦåäöæøéèêëüõáàâíóôúčšžđŋŧ',
                                    'aaoaoeeeeuoaaaiooucszdntaaoaoeeeeuoaaaiooucszdnt')
$$;

-- A name's place in a list, to be compared by bytes: å, ä and ö come after z.
CREATE FUNCTION name_order(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT translate(lower(p_text), 'ÅÄÖÉÜåäöéü', '{|}eu{|}eu') $$;

-- Who may be chosen on a day: approved by the organiser or its region, and not suspended. As provider_is_approved has
-- it, for all at once.
CREATE FUNCTION listed_providers(p_organiser uuid, p_programme text, p_day date) RETURNS SETOF uuid
LANGUAGE sql STABLE AS $$
    SELECT p.provider_id FROM providers p
    WHERE p.suspended_at IS NULL AND p.provider_id IN (
        SELECT a.provider_id FROM approvals a
        WHERE a.programme = p_programme AND p_day >= a.valid_from AND (a.valid_to IS NULL OR p_day <= a.valid_to)
          AND (a.organiser_id = p_organiser
               OR a.region_id = (SELECT o.region_id FROM organisers o WHERE o.organiser_id = p_organiser)))
$$;

-- What a provider tells of one programme: its general words, with those of the programme in their place.
CREATE FUNCTION told_profile(p_provider uuid, p_programme text) RETURNS TABLE (
    descriptions jsonb, areas text[], hours jsonb, languages text[], phone text, email text, web text, takes_new boolean
) LANGUAGE sql STABLE AS $$
    SELECT COALESCE(g.descriptions, '{}') || COALESCE(s.descriptions, '{}'), COALESCE(s.areas, g.areas),
           COALESCE(s.hours, g.hours), COALESCE(s.languages, g.languages), COALESCE(s.phone, g.phone),
           COALESCE(s.email, g.email), COALESCE(s.web, g.web), COALESCE(s.takes_new, g.takes_new)
    FROM (SELECT 1) one
    LEFT JOIN provider_profiles g ON g.provider_id = p_provider AND g.programme = ''
    LEFT JOIN provider_profiles s ON s.provider_id = p_provider AND s.programme = p_programme AND s.programme <> ''
$$;

-- What a visit would cost a family with enough left on its voucher: the answer of check_charge itself, so that the
-- directory and the debit cannot disagree. NULLs: it is not known, as with vouchers of a sum of money.
CREATE FUNCTION visit_estimate(
    p_organiser uuid, p_programme text, p_unit text, p_provider uuid, p_day date, p_bands text[], p_amounts bigint[],
    OUT pays_cents bigint, OUT own_cents bigint, OUT is_refused boolean
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v vouchers;
    o charge_order;
    c charge_check;
BEGIN
    v.organiser_id := p_organiser;
    v.programme := p_programme;
    v.unit := p_unit;
    v.state := 'issued';
    v.available := 1000000000000;
    v.valid_from := p_day;
    v.valid_to := p_day;
    v.caps_changed := false;
    o.provider_id := p_provider;
    o.segment_bands := p_bands;
    o.segment_amounts := p_amounts;
    c := check_charge(v, o, 'validate', p_day, p_day, '{}', '{}', NULL);
    pays_cents := c.pays_cents;
    own_cents := c.own_cents;
    is_refused := c.outcome IS NOT DISTINCT FROM 'own_contribution_not_allowed';
END $$;
