"""What has been sent, counted over all workers: tokens by second, parts by day, texts by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from asyncpg import Record

from service.db import Connection

# A bucket that holds one second's worth. Its row stays locked until the claim commits: a gateway with a rate is claimed
# by one worker at a time, which a batch makes cheap.
LOCK_BUCKET = """
SELECT tokens FROM gateway_rates WHERE gateway = $1 FOR UPDATE
"""

FILL_BUCKET = """
INSERT INTO gateway_rates (gateway, tokens, refilled_at) VALUES ($1, GREATEST($2::float8, 1), clock_timestamp())
ON CONFLICT (gateway) DO NOTHING
"""


async def lock_bucket(conn: Connection, *, gateway: str, per_second: float) -> None:
    """Lock a gateway's bucket until the transaction ends; one that there is not yet is full."""
    if await conn.fetchval(LOCK_BUCKET, gateway) is None:
        await conn.execute(FILL_BUCKET, gateway, per_second)
        await conn.fetchval(LOCK_BUCKET, gateway)


TAKE_TOKENS = """
WITH bucket AS (
    SELECT LEAST(tokens + $2 * GREATEST(extract(epoch FROM clock_timestamp() - refilled_at)::float8, 0),
                 GREATEST($2::float8, 1)) AS tokens
      FROM gateway_rates WHERE gateway = $1
)
UPDATE gateway_rates r
   SET tokens = bucket.tokens - LEAST(floor(bucket.tokens), $3::int), refilled_at = clock_timestamp()
  FROM bucket WHERE r.gateway = $1
RETURNING LEAST(floor(bucket.tokens), $3::int)::int AS granted
"""


async def take_tokens(conn: Connection, *, gateway: str, per_second: float, wanted: int) -> int:
    """Take up to `wanted` tokens, one a message, of a locked bucket; how many were there. By the database's clock."""
    return int(await conn.fetchval(TAKE_TOKENS, gateway, per_second, wanted))


SELECT_SPENT = """
SELECT day, parts, extra, alerted_at FROM gateway_spend
 WHERE gateway = $1 AND day = (now() AT TIME ZONE 'Europe/Helsinki')::date
"""


async def select_spent(conn: Connection, *, gateway: str) -> Record | None:
    """What a gateway was handed today, by the calendar in Helsinki."""
    return await conn.fetchrow(SELECT_SPENT, gateway)


ADD_SPENT = """
INSERT INTO gateway_spend AS s (gateway, day, parts)
VALUES ($1, (now() AT TIME ZONE 'Europe/Helsinki')::date, $2)
ON CONFLICT (gateway, day) DO UPDATE SET parts = s.parts + excluded.parts
RETURNING parts, extra, alerted_at
"""


async def add_spent(conn: Connection, *, gateway: str, parts: int) -> Record:
    row = await conn.fetchrow(ADD_SPENT, gateway, parts)
    assert row is not None
    return row


MARK_ALERTED = """
UPDATE gateway_spend SET alerted_at = now()
 WHERE gateway = $1 AND day = (now() AT TIME ZONE 'Europe/Helsinki')::date AND alerted_at IS NULL
RETURNING gateway
"""


async def mark_alerted(conn: Connection, *, gateway: str) -> bool:
    """True for the one who is to tell that the budget is nearly spent today."""
    return await conn.fetchval(MARK_ALERTED, gateway) is not None


ALLOW_EXTRA = """
INSERT INTO gateway_spend AS s (gateway, day, extra)
VALUES ($1, (now() AT TIME ZONE 'Europe/Helsinki')::date, $2)
ON CONFLICT (gateway, day) DO UPDATE SET extra = s.extra + excluded.extra, alerted_at = NULL
RETURNING extra
"""


async def allow_extra(conn: Connection, *, gateway: str, parts: int) -> int:
    """Let a gateway have more today; what it has on top in all."""
    return int(await conn.fetchval(ALLOW_EXTRA, gateway, parts))


NEXT_MIDNIGHT = """
SELECT ((now() AT TIME ZONE 'Europe/Helsinki')::date + 1)::timestamp AT TIME ZONE 'Europe/Helsinki'
"""


async def next_midnight(conn: Connection) -> datetime:
    """When the day ends in Helsinki."""
    midnight: datetime = await conn.fetchval(NEXT_MIDNIGHT)
    return midnight


# Messages that were tried, not attempts: a retry is the same text. Only numbers that the batch takes over the cap.
SELECT_FULL_NUMBERS = """
SELECT n.recipient_index, counted.sent
  FROM unnest($1::bytea[], $2::int[]) AS n(recipient_index, wanted),
       LATERAL (SELECT count(*) AS sent
                  FROM (SELECT FROM messages m
                         WHERE m.recipient_index = n.recipient_index AND m.created_at > now() - interval '1 day'
                           AND m.channel = 'sms' AND m.fence > 0
                         LIMIT $3) AS within) AS counted
 WHERE counted.sent + n.wanted > $3
"""


async def select_full_numbers(conn: Connection, *, wanted: Mapping[bytes, int], cap: int) -> dict[bytes, int]:
    """The numbers that `wanted` more texts would take over the cap, and how many each got within a day."""
    rows = await conn.fetch(SELECT_FULL_NUMBERS, list(wanted), list(wanted.values()), cap)
    return {row["recipient_index"]: row["sent"] for row in rows}


SELECT_FIRST = """
SELECT m.message_id
  FROM unnest($1::uuid[], $2::uuid[]) AS c(organiser_id, message_id)
  JOIN messages m USING (organiser_id, message_id)
 WHERE NOT EXISTS (SELECT FROM messages o
                    WHERE o.organiser_id = m.organiser_id AND o.subject_id = m.subject_id AND o.kind = m.kind
                      AND o.message_id <> m.message_id AND o.fallback_of IS NULL
                      AND (o.created_at, o.message_id) < (m.created_at, m.message_id))
"""


async def select_first(conn: Connection, *, messages: Sequence[tuple[UUID, UUID]]) -> frozenset[UUID]:
    """Which of the messages (organiser, message) are the first of their kind about their subject."""
    organisers, ids = zip(*messages, strict=True)
    return frozenset(row["message_id"] for row in await conn.fetch(SELECT_FIRST, list(organisers), list(ids)))
