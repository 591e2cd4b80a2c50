"""Every SQL statement on providers, approvals and keys. Whether a key is live is asked of the caller's clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.providers.model import ApiKey, Approval, ApprovedProvider, Owner, Provider
from service.providers.prices import PriceList, Prices

INSERT_PROVIDER = """
INSERT INTO providers (provider_id, business_id, name) VALUES ($1, $2, $3) ON CONFLICT (business_id) DO NOTHING
"""


async def insert_provider(conn: Connection, *, provider_id: UUID, business_id: str, name: str) -> None:
    await conn.execute(INSERT_PROVIDER, provider_id, business_id, name)


SELECT_PROVIDER = "SELECT provider_id, business_id, name, suspended_at FROM providers WHERE business_id = $1"


async def select_provider(conn: Connection, *, business_id: str) -> Provider | None:
    row = await conn.fetchrow(SELECT_PROVIDER, business_id)
    return None if row is None else _provider(row)


UPDATE_PROVIDER_SUSPENDED = """
UPDATE providers
   SET suspended_at = CASE WHEN $2 THEN coalesce(suspended_at, now()) END
 WHERE business_id = $1
RETURNING provider_id, business_id, name, suspended_at
"""


async def update_provider_suspended(conn: Connection, *, business_id: str, suspended: bool) -> Provider | None:
    row = await conn.fetchrow(UPDATE_PROVIDER_SUSPENDED, business_id, suspended)
    return None if row is None else _provider(row)


SELECT_PROVIDERS = """
SELECT provider_id, business_id, name, suspended_at, coalesce(approvals.in_words, '{}') AS approvals
  FROM providers
  LEFT JOIN LATERAL (
    SELECT array_agg(
             concat(programme, ' · ', coalesce(o.name, r.name), ' · ', valid_from, '–', valid_to)
             ORDER BY programme, coalesce(o.name, r.name)
           ) AS in_words
      FROM approvals a
      LEFT JOIN organisers o USING (organiser_id)
      LEFT JOIN regions r ON r.region_id = a.region_id
     WHERE a.provider_id = providers.provider_id
  ) approvals ON true
 ORDER BY providers.name, business_id
"""


async def select_providers(conn: Connection) -> Sequence[ApprovedProvider]:
    rows = await conn.fetch(SELECT_PROVIDERS)
    return [ApprovedProvider(_provider(row), tuple(row["approvals"])) for row in rows]


UPSERT_APPROVAL = """
INSERT INTO approvals (approval_id, provider_id, programme, organiser_id, region_id, valid_from, valid_to)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT ON CONSTRAINT approvals_unique DO UPDATE SET valid_from = excluded.valid_from, valid_to = excluded.valid_to
RETURNING approval_id, provider_id, programme, organiser_id, region_id, valid_from, valid_to
"""


async def upsert_approval(conn: Connection, *, approval: Approval) -> Approval:
    row = await conn.fetchrow(
        UPSERT_APPROVAL,
        approval.approval_id,
        approval.provider_id,
        approval.programme,
        approval.organiser_id,
        approval.region_id,
        approval.valid_from,
        approval.valid_to,
    )
    assert row is not None
    return Approval(**row)


SELECT_PROVIDERS_NAMED = """
SELECT provider_id, business_id, name, suspended_at FROM providers WHERE business_id = ANY($1::text[])
"""


async def select_providers_named(conn: Connection, *, business_ids: Sequence[str]) -> Sequence[Provider]:
    """Those of these that are there."""
    return [_provider(row) for row in await conn.fetch(SELECT_PROVIDERS_NAMED, business_ids)]


# In the order of the constraint, so that two who approve the same wait for each other instead of in a circle.
UPSERT_OWN_APPROVALS = """
INSERT INTO approvals (approval_id, provider_id, programme, organiser_id, valid_from, valid_to)
SELECT gen_random_uuid(), p.provider_id, g.programme, $3, $4, $5
  FROM unnest($1::uuid[]) AS p(provider_id) CROSS JOIN unnest($2::text[]) AS g(programme)
 ORDER BY p.provider_id, g.programme
ON CONFLICT ON CONSTRAINT approvals_unique DO UPDATE SET valid_from = excluded.valid_from, valid_to = excluded.valid_to
"""


async def upsert_own_approvals(
    conn: Connection,
    *,
    provider_ids: Sequence[UUID],
    programmes: Sequence[str],
    organiser_id: UUID,
    valid_from: date,
    valid_to: date | None,
) -> None:
    """Each of the providers for each of the programmes, by one organiser."""
    await conn.execute(UPSERT_OWN_APPROVALS, provider_ids, programmes, organiser_id, valid_from, valid_to)


# One that has begun may have been charged under, and is ended, not taken away.
DELETE_APPROVAL = """
DELETE FROM approvals
 WHERE provider_id = $1 AND programme = $2 AND organiser_id = $3 AND valid_from > helsinki_today()
RETURNING approval_id
"""


async def delete_approval(conn: Connection, *, provider_id: UUID, programme: str, organiser_id: UUID) -> bool:
    """False: there is none, or it has begun."""
    return await conn.fetchval(DELETE_APPROVAL, provider_id, programme, organiser_id) is not None


# The owner's row, not its keys, is what two creators can both lock: the third key does not exist yet.
# Foreign keys from elsewhere take FOR KEY SHARE, which this does not stop.
LOCK_ORGANISER = "SELECT FROM organisers WHERE organiser_id = $1 FOR NO KEY UPDATE"
LOCK_PROVIDER = "SELECT FROM providers WHERE provider_id = $1 FOR NO KEY UPDATE"
LOCK_SUPPORT = "SELECT pg_advisory_xact_lock(hashtextextended('keys of ' || $1::uuid, 0))"  # which has no row

_LOCKS = {"organiser": LOCK_ORGANISER, "provider": LOCK_PROVIDER, "support": LOCK_SUPPORT}


async def lock_owner(conn: Connection, *, owner: Owner, owner_id: UUID) -> None:
    await conn.execute(_LOCKS[owner], owner_id)


INSERT_KEY = """
INSERT INTO api_keys (key_id, key_hash, hint, name, organiser_id, provider_id, is_support, permissions, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""


async def insert_key(
    conn: Connection,
    *,
    key_id: UUID,
    key_hash: bytes,
    hint: str,
    name: str,
    owner: Owner,
    owner_id: UUID,
    permissions: Sequence[str],
    expires_at: datetime | None,
) -> None:
    await conn.execute(
        INSERT_KEY,
        key_id,
        key_hash,
        hint,
        name,
        owner_id if owner == "organiser" else None,
        owner_id if owner == "provider" else None,
        owner == "support",
        permissions,
        expires_at,
    )


_KEY = "key_id, hint, name, permissions, created_at, expires_at, revoked_at"

SELECT_KEYS_OF_ORGANISER = f"SELECT {_KEY} FROM api_keys WHERE organiser_id = $1 ORDER BY key_id"
SELECT_KEYS_OF_PROVIDER = f"SELECT {_KEY} FROM api_keys WHERE provider_id = $1 ORDER BY key_id"
SELECT_KEYS_OF_SUPPORT = f"SELECT {_KEY} FROM api_keys WHERE is_support ORDER BY key_id"


async def select_keys(conn: Connection, *, owner: Owner, owner_id: UUID) -> Sequence[ApiKey]:
    """Oldest first."""
    if owner == "support":
        return [_key(row) for row in await conn.fetch(SELECT_KEYS_OF_SUPPORT)]
    statement = SELECT_KEYS_OF_ORGANISER if owner == "organiser" else SELECT_KEYS_OF_PROVIDER
    return [_key(row) for row in await conn.fetch(statement, owner_id)]


UPDATE_KEY_REVOKED = f"""
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE key_id = $1 RETURNING {_KEY}
"""


async def update_key_revoked(conn: Connection, *, key_id: UUID) -> ApiKey | None:
    row = await conn.fetchrow(UPDATE_KEY_REVOKED, key_id)
    return None if row is None else _key(row)


SELECT_CALLER = """
SELECT key_id, organiser_id, k.provider_id, permissions
  FROM api_keys k LEFT JOIN providers p ON p.provider_id = k.provider_id
 WHERE key_hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) AND suspended_at IS NULL
"""


async def select_caller(conn: Connection, *, key_hash: bytes, now: datetime) -> Record | None:
    """Whose live key this is; nobody's when the provider is suspended."""
    return await conn.fetchrow(SELECT_CALLER, key_hash, now)


# Not now(): that stands still at the beginning of the transaction, which may have waited for a rival with a newer key.
SELECT_CLOCK = "SELECT clock_timestamp()"


async def select_clock(conn: Connection) -> datetime:
    """The database's clock: the one that `created_at` and `revoked_at` were written by."""
    now: datetime = await conn.fetchval(SELECT_CLOCK)
    return now


# Of one organiser ($3) or of a region ($4): those that have the programme and have approved the provider for it, on the
# day or later.
SELECT_APPROVERS = """
SELECT o.organiser_id, o.slug
  FROM organisers o JOIN programmes p ON p.organiser_id = o.organiser_id AND p.programme = $2
 WHERE (o.organiser_id = $3 OR o.region_id = $4)
   AND EXISTS (SELECT FROM approvals a
                WHERE a.provider_id = $1 AND a.programme = $2 AND (a.valid_to IS NULL OR a.valid_to >= $5)
                  AND (a.organiser_id = o.organiser_id OR a.region_id = o.region_id))
 ORDER BY o.slug
"""


async def select_approvers(
    conn: Connection, *, provider_id: UUID, programme: str, organiser_id: UUID | None, region_id: UUID | None, day: date
) -> Sequence[tuple[UUID, str]]:
    """The id and the short name of each."""
    rows = await conn.fetch(SELECT_APPROVERS, provider_id, programme, organiser_id, region_id, day)
    return [(row["organiser_id"], row["slug"]) for row in rows]


SELECT_PRICE_LISTS = """
SELECT o.slug, l.programme, l.starts_on, l.weekday_cents, l.evening_cents, l.saturday_cents, l.sunday_cents
  FROM price_lists l JOIN organisers o USING (organiser_id)
 WHERE l.provider_id = $1 ORDER BY o.slug, l.programme, l.starts_on
"""


async def select_price_lists(conn: Connection, *, provider_id: UUID) -> Sequence[PriceList]:
    """Every list of a provider's, by organiser, programme and day."""
    return [
        PriceList(
            organiser=row["slug"],
            programme=row["programme"],
            starts_on=row["starts_on"],
            prices=Prices(row["weekday_cents"], row["evening_cents"], row["saturday_cents"], row["sunday_cents"]),
        )
        for row in await conn.fetch(SELECT_PRICE_LISTS, provider_id)
    ]


# A list that has begun is not touched, whoever asks: debits name it.
UPSERT_PRICE_LIST = """
INSERT INTO price_lists (price_list_id, organiser_id, provider_id, programme, starts_on, weekday_cents, evening_cents,
    saturday_cents, sunday_cents, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT ON CONSTRAINT price_lists_one_a_day DO UPDATE
SET (weekday_cents, evening_cents, saturday_cents, sunday_cents, created_by, created_at)
  = ROW ($6, $7, $8, $9, $10, now())
WHERE price_lists.starts_on > helsinki_today()
"""


async def upsert_price_list(
    conn: Connection,
    *,
    price_list_id: UUID,
    organiser_id: UUID,
    provider_id: UUID,
    programme: str,
    starts_on: date,
    prices: Prices,
    created_by: str,
) -> None:
    """Store a list; one that begins on the same day and has not begun is replaced."""
    await conn.execute(
        UPSERT_PRICE_LIST,
        price_list_id,
        organiser_id,
        provider_id,
        programme,
        starts_on,
        prices.weekday_cents,
        prices.evening_cents,
        prices.saturday_cents,
        prices.sunday_cents,
        created_by,
    )


SELECT_TODAY = "SELECT helsinki_today()"


async def select_today(conn: Connection) -> date:
    """The day in Finland, by the database's clock."""
    today: date = await conn.fetchval(SELECT_TODAY)
    return today


def _provider(row: Record) -> Provider:
    return Provider(row["provider_id"], row["business_id"], row["name"], row["suspended_at"])


def _key(row: Record) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        hint=row["hint"],
        name=row["name"],
        permissions=tuple(row["permissions"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
