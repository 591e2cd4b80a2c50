"""Every SQL statement of the directory: who is listed and for what price, and the profiles. One statement a page."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.directory.model import Profile
from service.directory.search import Place, Search

_OFFER = """
       o.organiser_id, o.slug, o.name AS organiser_name, o.help_phone, o.default_language, p.programme, p.names, p.unit,
       r.step, r.weekday_cents AS weekday_value, r.evening_cents AS evening_value, r.saturday_cents AS saturday_value,
       r.sunday_cents AS sunday_value, r.evening_from, r.evening_to, r.free_by_law"""
_PROFILE = "t.descriptions, t.areas, t.hours, t.languages, t.phone, t.email, t.web, t.takes_new"

# $1: one organiser's, by its short name, or all; $2: an area, which counts only who has told that it works there.
SELECT_OFFERS = f"""
SELECT {_OFFER},
       (SELECT count(*) FROM listed_providers(o.organiser_id, p.programme, helsinki_today()) AS l (provider_id)
         WHERE $2::text = '' OR EXISTS (
           SELECT FROM told_profile(l.provider_id, p.programme) t, unnest(t.areas) area
            WHERE starts_with(search_key(area), search_key($2)))) AS providers
  FROM organisers o
  JOIN programmes p USING (organiser_id)
  CROSS JOIN LATERAL rules_on(p.organiser_id, p.programme, helsinki_today()) r
 WHERE $1::text IS NULL OR o.slug = $1
 ORDER BY name_order(o.name) COLLATE "C", o.slug, p.programme
"""


async def select_offers(conn: Connection, *, organiser: str | None, area: str) -> Sequence[Record]:
    """Every programme with its organiser and today's rules, and how many providers are listed for it."""
    return list(await conn.fetch(SELECT_OFFERS, organiser, area))


# Of one programme. $3: the tariff band of the hours that are looked for; $4–$8: the search; $9: the order; $10–$13:
# behind which place; $14: how many; $15: the size of the visit that is worked out for each that is shown. The order by
# own contribution is that of what the price is above the value: a test holds it to the figures.
SEARCH_PROVIDERS = f"""
WITH found AS (
  SELECT p.provider_id, p.business_id, p.name, name_order(p.name) AS name_order, {_PROFILE},
         l.weekday_cents, l.evening_cents, l.saturday_cents, l.sunday_cents,
         of_band($3, r.weekday_cents, r.evening_cents, r.saturday_cents, r.sunday_cents) AS value,
         COALESCE(of_band($3, l.weekday_cents, l.evening_cents, l.saturday_cents, l.sunday_cents),
                  of_band($3, r.weekday_cents, r.evening_cents, r.saturday_cents, r.sunday_cents)) AS price
    FROM rules_on($1, $2, helsinki_today()) r
    CROSS JOIN listed_providers($1, $2, helsinki_today()) AS listed (provider_id)
    JOIN providers p ON p.provider_id = listed.provider_id
    -- prices_on, written out: PostgreSQL does not inline it, and 500 calls take longer than all the rest
    LEFT JOIN LATERAL (SELECT x.* FROM price_lists x
                        WHERE x.organiser_id = $1 AND x.provider_id = p.provider_id AND x.programme = $2
                          AND x.starts_on <= helsinki_today()
                        ORDER BY x.starts_on DESC LIMIT 1) l ON true
    LEFT JOIN LATERAL told_profile(p.provider_id, $2) t ON true
   WHERE ($4 = '' OR strpos(search_key(p.name), search_key($4)) > 0)
     AND ($5 = '' OR EXISTS (SELECT FROM unnest(t.areas) area WHERE starts_with(search_key(area), search_key($5))))
     AND ($6 = '' OR t.hours ? $6)
     AND ($7 = '' OR $7 = ANY (t.languages))
     AND (NOT $8::boolean OR t.takes_new)
), placed AS (
  SELECT found.*,
         CASE $9::text WHEN 'own' THEN COALESCE(GREATEST(price - value, 0), 1::bigint << 50)
                       WHEN 'price' THEN COALESCE(price, 1::bigint << 50) ELSE 0 END AS first_key,
         CASE WHEN $9 = 'own' THEN COALESCE(price, 1::bigint << 50) ELSE 0 END AS second_key
    FROM found
), shown AS (
  SELECT * FROM placed
   WHERE (first_key, second_key, name_order COLLATE "C", business_id) > ($10::bigint, $11::bigint, $12::text, $13::text)
   ORDER BY first_key, second_key, name_order COLLATE "C", business_id LIMIT $14
)
SELECT shown.*, (SELECT count(*) FROM found) AS total,
       jsonb_build_array(to_jsonb(e)) AS estimates
  FROM shown
  CROSS JOIN LATERAL visit_estimate($1, $2, (SELECT unit FROM programmes WHERE organiser_id = $1 AND programme = $2),
                                    shown.provider_id, helsinki_today(), ARRAY[$3], ARRAY[$15::bigint]) e
 ORDER BY first_key, second_key, name_order COLLATE "C", business_id
"""


async def search_providers(
    conn: Connection,
    *,
    organiser_id: UUID,
    programme: str,
    search: Search,
    band: str,
    after: Place,
    limit: int,
    visit: int,
) -> Sequence[Record]:
    """Those that are found, in order, each with the number of all that are, and what such a visit would cost there."""
    return list(
        await conn.fetch(
            SEARCH_PROVIDERS,
            organiser_id,
            programme,
            band,
            search.name,
            search.area,
            search.when,
            search.language,
            search.takes_new,
            search.sort,
            after.first,
            after.second,
            after.name_order,
            after.business_id,
            limit,
            visit,
        )
    )


# $1: by their business ids; $2, $3: of one organiser, of one programme, or of all. Each visit in every tariff band, as
# long as $4 minutes in whole steps, or one.
SELECT_LISTED = f"""
SELECT who.business_id, who.name, {_OFFER}, 0::bigint AS providers, {_PROFILE},
       l.weekday_cents, l.evening_cents, l.saturday_cents, l.sunday_cents,
       n.starts_on AS next_from, n.weekday_cents AS next_weekday, n.evening_cents AS next_evening,
       n.saturday_cents AS next_saturday, n.sunday_cents AS next_sunday,
       (SELECT jsonb_agg(to_jsonb(e) ORDER BY visit.place)
          FROM unnest(ARRAY['weekday', 'evening', 'saturday', 'sunday']) WITH ORDINALITY AS visit (band, place),
               visit_estimate(o.organiser_id, p.programme, p.unit, who.provider_id, helsinki_today(),
                              ARRAY[visit.band], ARRAY[size.of_visit]) e) AS estimates
  FROM providers who
  CROSS JOIN organisers o
  JOIN programmes p USING (organiser_id)
  CROSS JOIN LATERAL rules_on(o.organiser_id, p.programme, helsinki_today()) r
  CROSS JOIN LATERAL (SELECT CASE WHEN p.unit = 'cents' THEN $4::bigint
                                  WHEN p.unit = 'minutes' THEN ($4 + r.step - 1) / r.step * r.step ELSE 1 END
                          AS of_visit) size
  LEFT JOIN LATERAL prices_on(o.organiser_id, who.provider_id, p.programme, helsinki_today()) l ON true
  LEFT JOIN LATERAL (SELECT * FROM price_lists x
                      WHERE x.organiser_id = o.organiser_id AND x.provider_id = who.provider_id
                        AND x.programme = p.programme AND x.starts_on > helsinki_today()
                      ORDER BY x.starts_on LIMIT 1) n ON true
  LEFT JOIN LATERAL told_profile(who.provider_id, p.programme) t ON true
 WHERE who.business_id = ANY ($1::text[])
   AND ($2::text IS NULL OR o.slug = $2) AND ($3::text IS NULL OR p.programme = $3)
   AND who.provider_id IN (SELECT listed_providers(o.organiser_id, p.programme, helsinki_today()))
 ORDER BY name_order(o.name) COLLATE "C", o.slug, p.programme, array_position($1::text[], who.business_id)
"""


async def select_listed(
    conn: Connection, *, business_ids: Sequence[str], organiser: str | None, programme: str | None, minutes: int
) -> Sequence[Record]:
    """Providers with all that they are listed for, by organiser and programme, and in the order of their ids."""
    return list(await conn.fetch(SELECT_LISTED, business_ids, organiser, programme, minutes))


SELECT_PROFILES = """
SELECT p.name, p.business_id, t.programme, t.descriptions, t.areas, t.hours, t.languages, t.phone, t.email, t.web,
       t.takes_new
  FROM providers p LEFT JOIN provider_profiles t USING (provider_id)
 WHERE p.provider_id = $1 ORDER BY t.programme
"""


async def select_profiles(conn: Connection, *, provider_id: UUID) -> Sequence[Record]:
    """A provider's name with every profile that it keeps; one row without a programme when it keeps none."""
    return list(await conn.fetch(SELECT_PROFILES, provider_id))


LOCK_PROFILE = """
SELECT t.descriptions, t.areas, t.hours, t.languages, t.phone, t.email, t.web, t.takes_new
  FROM provider_profiles t WHERE provider_id = $1 AND programme = $2 FOR UPDATE
"""


async def lock_profile(conn: Connection, *, provider_id: UUID, programme: str) -> Record | None:
    return await conn.fetchrow(LOCK_PROFILE, provider_id, programme)


UPSERT_PROFILE = """
INSERT INTO provider_profiles (provider_id, programme, descriptions, areas, hours, languages, phone, email, web,
    takes_new, updated_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (provider_id, programme) DO UPDATE
SET (descriptions, areas, hours, languages, phone, email, web, takes_new, updated_by, updated_at)
  = ROW ($3, $4, $5, $6, $7, $8, $9, $10, $11, now())
"""


async def upsert_profile(
    conn: Connection, *, provider_id: UUID, programme: str, profile: Profile, updated_by: str
) -> None:
    await conn.execute(
        UPSERT_PROFILE,
        provider_id,
        programme,
        dict(profile.descriptions),
        profile.areas,
        None if profile.hours is None else dict(profile.hours),
        profile.languages,
        profile.phone,
        profile.email,
        profile.web,
        profile.takes_new,
        updated_by,
    )


# Those that a provider is or will be approved for, by any organiser: what it may tell something of its own about.
SELECT_APPROVED_PROGRAMMES = """
SELECT p.programme, (array_agg(p.names ORDER BY o.slug))[1] AS names
  FROM approvals a
  JOIN organisers o ON o.organiser_id = a.organiser_id OR o.region_id = a.region_id
  JOIN programmes p ON p.organiser_id = o.organiser_id AND p.programme = a.programme
 WHERE a.provider_id = $1 AND (a.valid_to IS NULL OR a.valid_to >= helsinki_today())
 GROUP BY p.programme ORDER BY p.programme
"""


async def select_approved_programmes(conn: Connection, *, provider_id: UUID) -> Sequence[Record]:
    return list(await conn.fetch(SELECT_APPROVED_PROGRAMMES, provider_id))


SELECT_WHO_TO_CALL = """
SELECT slug, name, help_phone FROM organisers ORDER BY name_order(name) COLLATE "C", slug
"""


async def select_who_to_call(conn: Connection) -> Sequence[Record]:
    """Every organiser with the number that its families call."""
    return list(await conn.fetch(SELECT_WHO_TO_CALL))
