"""A gateway is paused, probed and opened again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from asyncpg import Record

from service.channels.queries.quiet import awake
from service.db import Connection
from service.quiet_hours import QuietHours

EXTEND_PAUSE = """
UPDATE gateway_pauses SET paused_until = now() + make_interval(secs => $2)
 WHERE gateway = $1 AND paused_until <= now()
"""


async def extend_pause(conn: Connection, *, gateway: str, for_s: float) -> None:
    """Let nobody else probe a gateway for `for_s`: a message of this transaction's does."""
    await conn.execute(EXTEND_PAUSE, gateway, for_s)


# A pause that a person ordered ends when a person ends it.
END_PAUSE = """
WITH ended AS (
    DELETE FROM gateway_pauses WHERE gateway = $1 AND paused_by IS NULL
       AND paused_at < (SELECT started_at FROM attempts WHERE organiser_id = $2 AND attempt_id = $3)
    RETURNING gateway
)
INSERT INTO gateway_probes (gateway, passed_at) SELECT gateway, clock_timestamp() FROM ended
ON CONFLICT (gateway) DO UPDATE SET passed_at = excluded.passed_at
RETURNING gateway
"""


async def end_pause(conn: Connection, *, gateway: str, organiser_id: UUID, attempt_id: UUID) -> bool:
    """Open a gateway again after the probe `attempt_id`; not if it was paused anew since."""
    return await conn.fetchval(END_PAUSE, gateway, organiser_id, attempt_id) is not None


# Of the many calls that meet one fault, those begun before the pause do not lengthen it. The next pause is twice the
# time since the last began, within bounds.
PAUSE_GATEWAY = """
INSERT INTO gateway_pauses AS p (gateway, reason, paused_until)
VALUES ($1, $2, now() + make_interval(secs => $5))
ON CONFLICT (gateway) DO UPDATE
   SET reason = excluded.reason, paused_at = now(),
       paused_until = now() + LEAST(GREATEST(2 * (now() - p.paused_at), make_interval(secs => $5)),
                                    make_interval(secs => $6))
 WHERE p.paused_by IS NULL
   AND p.paused_at < (SELECT started_at FROM attempts WHERE organiser_id = $3 AND attempt_id = $4)
RETURNING extract(epoch FROM paused_until - now())::float8
"""


async def pause_gateway(
    conn: Connection,
    *,
    gateway: str,
    reason: str,
    organiser_id: UUID,
    attempt_id: UUID,
    shortest_s: float,
    longest_s: float,
) -> float | None:
    """Pause a gateway because of what attempt `attempt_id` met; the length, or None when it was paused already."""
    row = await conn.fetchrow(PAUSE_GATEWAY, gateway, reason, organiser_id, attempt_id, shortest_s, longest_s)
    return None if row is None else row[0]


END_PROBE = """
UPDATE gateway_pauses SET paused_until = now()
 WHERE gateway = $1 AND paused_by IS NULL AND reason <> 'budget'
   AND paused_at < (SELECT started_at FROM attempts WHERE organiser_id = $2 AND attempt_id = $3)
"""


async def end_probe(conn: Connection, *, gateway: str, organiser_id: UUID, attempt_id: UUID) -> None:
    """The probe `attempt_id` said nothing about the gateway: let another message try at once."""
    await conn.execute(END_PROBE, gateway, organiser_id, attempt_id)


PAUSE_UNTIL = """
INSERT INTO gateway_pauses AS p (gateway, reason, paused_until) VALUES ($1, $2, $3)
ON CONFLICT (gateway) DO NOTHING
RETURNING gateway
"""


async def pause_until(conn: Connection, *, gateway: str, reason: str, until: datetime) -> bool:
    """Pause a gateway that is not paused; False when it was."""
    return await conn.fetchval(PAUSE_UNTIL, gateway, reason, until) is not None


PAUSE_BY_HAND = """
INSERT INTO gateway_pauses (gateway, reason, paused_until, paused_by) VALUES ($1, $2, 'infinity', $3)
ON CONFLICT (gateway) DO UPDATE
   SET reason = excluded.reason, paused_at = now(), paused_until = 'infinity', paused_by = excluded.paused_by
"""


async def pause_by_hand(conn: Connection, *, gateway: str, reason: str, paused_by: str) -> None:
    """Pause a gateway until a person ends it; takes the place of a pause that there is."""
    await conn.execute(PAUSE_BY_HAND, gateway, reason, paused_by)


RESUME = """
DELETE FROM gateway_pauses WHERE gateway = $1 RETURNING gateway
"""


async def resume(conn: Connection, *, gateway: str) -> bool:
    """End a pause, whoever began it; False when there was none."""
    return await conn.fetchval(RESUME, gateway) is not None


SELECT_PAUSES = """
SELECT gateway, reason, paused_at, paused_by, CASE WHEN isfinite(paused_until) THEN paused_until END AS paused_until,
       paused_until <= now() AS is_probing
  FROM gateway_pauses ORDER BY gateway
"""


async def select_pauses(conn: Connection) -> Sequence[Record]:
    return await conn.fetch(SELECT_PAUSES)


# Until its first try a message has not used up any of its patience: it may have waited for us, and not for the gateway.
FAIL_HELD = """
WITH held AS (
    SELECT m.organiser_id, m.message_id
      FROM unnest($1::text[], $2::text[]) AS g(channel, gateway)
      JOIN gateway_pauses p ON p.gateway = g.gateway
      JOIN messages m ON m.channel = g.channel
     WHERE m.state = 'pending' AND m.deadline_at <= now()
       AND (m.fence > 0 OR GREATEST(m.due_at, p.began_at) + (m.deadline_at - m.due_at) <= now())
     ORDER BY m.organiser_id, m.message_id
     LIMIT $3
       FOR UPDATE OF m SKIP LOCKED
)
UPDATE messages m SET state = 'failed', reason = 'gateway_paused', due_at = now()
  FROM held WHERE m.organiser_id = held.organiser_id AND m.message_id = held.message_id
RETURNING m.message_id
"""


async def fail_held(conn: Connection, *, gateways: Mapping[str, str], limit: int) -> Sequence[UUID]:
    """Give up on messages that a paused gateway has held past their deadline, so that they go another way.

    For one that was never tried, as long counts from when it was due or the gateway stopped, whichever came later.
    """
    rows = await conn.fetch(FAIL_HELD, list(gateways), list(gateways.values()), limit)
    return [row["message_id"] for row in rows]


COUNT_DUE = f"""
SELECT channel, count(*) AS due FROM messages
 WHERE state = 'pending' AND due_at <= now() AND priority < {awake("$1", "$2")}
 GROUP BY channel
"""


async def count_due(conn: Connection, *, quiet: QuietHours) -> dict[str, int]:
    """Messages that are due and not sent, by channel."""
    rows = await conn.fetch(COUNT_DUE, quiet.from_hour, quiet.to_hour)
    return {row["channel"]: row["due"] for row in rows}


SELECT_QUEUE_AGE = f"""
SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0)::float8
  FROM messages WHERE state = 'pending' AND due_at <= now() AND priority < {awake("$1", "$2")}
"""


async def select_queue_age_s(conn: Connection, *, quiet: QuietHours) -> float:
    return float(await conn.fetchval(SELECT_QUEUE_AGE, quiet.from_hour, quiet.to_hour))
