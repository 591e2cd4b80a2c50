"""Every SQL statement on blocks and the breaker, but for the counting itself (migrations/0019)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.guessing.model import Acknowledgement, Breaker, Lifting, Suspect, Weighed

WEIGH_MISSES = "SELECT misses_today, is_tripped, has_just_tripped FROM weigh_misses()"


async def weigh_misses(conn: Connection) -> Weighed:
    row = await conn.fetchrow(WEIGH_MISSES)
    assert row is not None
    return Weighed(**row)


# A worker's phone is told from another's by its last digits, as a key is.
SELECT_SUSPECTS = """
WITH missed AS (
    SELECT credential_id, count(*) FILTER (WHERE missed_at > now() - interval '1 hour') AS hour, count(*) AS day,
           (array_agg(provider_id ORDER BY missed_at DESC))[1] AS provider_id
      FROM code_misses WHERE missed_at > now() - interval '1 day' GROUP BY credential_id
)
SELECT credential_id,
       CASE WHEN k.key_id IS NOT NULL THEN 'key' WHEN w.worker_id IS NOT NULL THEN 'worker'
            WHEN u.person_id IS NOT NULL THEN 'person' ELSE 'unknown' END AS kind,
       coalesce(k.name, w.name, u.name) AS name, coalesce(k.hint, w.phone_hint) AS hint,
       p.provider_id, p.business_id, p.name AS provider_name,
       coalesce(m.hour, 0) AS misses_last_hour, coalesce(m.day, 0) AS misses_last_day,
       b.blocked_at, b.blocked_until
  FROM missed m
  FULL JOIN (SELECT * FROM credential_blocks WHERE blocked_until > now()) b USING (credential_id)
  LEFT JOIN api_keys k ON k.key_id = credential_id
  LEFT JOIN workers w ON w.worker_id = credential_id
  LEFT JOIN people u ON u.person_id = credential_id
  LEFT JOIN providers p ON p.provider_id = coalesce(k.provider_id, w.provider_id, u.provider_id, m.provider_id)
 ORDER BY b.blocked_at DESC NULLS LAST, m.day DESC, credential_id
 LIMIT $1
"""


async def select_suspects(conn: Connection, *, limit: int) -> Sequence[Suspect]:
    """Who is blocked, the newest block first; then who has missed, the most first."""
    return [Suspect(**row) for row in await conn.fetch(SELECT_SUSPECTS, limit)]


SELECT_BREAKER = """
SELECT t.tripped_at, t.misses AS misses_that_tripped,
       m.misses_today, m.misses_counted,
       l.misses_an_hour, l.misses_an_hour_tripped, l.misses_a_day, l.misses_of_all
  FROM guess_limits() l
 CROSS JOIN LATERAL (
    SELECT count(*) AS misses_today,
           count(*) FILTER (WHERE missed_at > coalesce((SELECT max(acknowledged_at) FROM breaker_trips), '-infinity'))
           AS misses_counted
      FROM code_misses WHERE missed_at > now() - interval '1 day') m
  LEFT JOIN breaker_trips t ON t.acknowledged_at IS NULL
"""


async def select_breaker(conn: Connection) -> Breaker:
    row = await conn.fetchrow(SELECT_BREAKER)
    assert row is not None
    return Breaker(**row)


LOCK_MISSES = "SELECT lock_misses($1)"


async def lock_misses(conn: Connection, *, credential_id: UUID) -> None:
    """Until the end of the transaction no miss of this credential is counted."""
    await conn.execute(LOCK_MISSES, credential_id)


# A block that ran out by itself is lifted, too: its misses still count for the day.
LIFT = """
UPDATE credential_blocks SET blocked_until = least(blocked_until, now()), lifted_at = clock_timestamp(),
       lifted_by = $2, lift_reason = $3
 WHERE credential_id = $1 AND (lifted_at IS NULL OR lifted_at < blocked_at)
RETURNING credential_id, lifted_at, lifted_by, lift_reason AS reason
"""


async def lift(conn: Connection, *, credential_id: UUID, lifted_by: str, reason: str) -> Lifting | None:
    """None when the newest block was lifted before, or there never was one."""
    row = await conn.fetchrow(LIFT, credential_id, lifted_by, reason)
    return None if row is None else Lifting(**row)


SELECT_LIFTING = """
SELECT credential_id, lifted_at, lifted_by, lift_reason AS reason FROM credential_blocks
 WHERE credential_id = $1 AND lifted_at IS NOT NULL
"""


async def select_lifting(conn: Connection, *, credential_id: UUID) -> Lifting | None:
    row = await conn.fetchrow(SELECT_LIFTING, credential_id)
    return None if row is None else Lifting(**row)


_ACKNOWLEDGEMENT = "trip_id, tripped_at, misses, acknowledged_at, acknowledged_by, reason"

ACKNOWLEDGE = f"""
UPDATE breaker_trips SET acknowledged_at = clock_timestamp(), acknowledged_by = $1, reason = $2
 WHERE acknowledged_at IS NULL
RETURNING {_ACKNOWLEDGEMENT}
"""


async def acknowledge(conn: Connection, *, acknowledged_by: str, reason: str) -> Acknowledgement | None:
    """None when no trip is open."""
    return _acknowledgement(await conn.fetchrow(ACKNOWLEDGE, acknowledged_by, reason))


SELECT_ACKNOWLEDGEMENT = f"""
SELECT {_ACKNOWLEDGEMENT} FROM breaker_trips WHERE acknowledged_at IS NOT NULL ORDER BY acknowledged_at DESC LIMIT 1
"""


async def select_acknowledgement(conn: Connection) -> Acknowledgement | None:
    """Of the last trip that was acknowledged."""
    return _acknowledgement(await conn.fetchrow(SELECT_ACKNOWLEDGEMENT))


def _acknowledgement(row: Record | None) -> Acknowledgement | None:
    return None if row is None else Acknowledgement(**row)
