"""Contacts that must not be written to. Time is the database's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from asyncpg import Record

from service.channels.suppressions import WISHES
from service.db import Connection

# Sorted, so that two workers who suppress the same contacts wait for each other instead of in a circle. A wish replaces
# a fault and no fault a wish; one that was lifted begins anew.
SUPPRESS = """
INSERT INTO suppressions AS s (channel, contact_index, contact_sealed, index_key, reason)
SELECT n.channel, n.contact_index, n.contact_sealed, $5, n.reason
  FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[]) AS n(channel, contact_index, contact_sealed, reason)
 ORDER BY n.channel, n.contact_index
ON CONFLICT (channel, contact_index) DO UPDATE
   SET contact_sealed = excluded.contact_sealed, index_key = excluded.index_key, reason = excluded.reason,
       since = now(), lifted_at = NULL, lifted_by = NULL, lift_reason = NULL
 WHERE s.lifted_at IS NOT NULL OR (excluded.reason = ANY($6::text[]) AND s.reason <> ALL($6::text[]))
RETURNING s.channel, s.reason
"""


async def suppress(
    conn: Connection, *, rows: Sequence[tuple[str, bytes, bytes, str]], index_key: str
) -> Sequence[Record]:
    """Add (channel, index, sealed contact, reason), each contact once; returns those that are new or changed."""
    return await conn.fetch(
        SUPPRESS, *(list(column) for column in zip(*rows, strict=True)), index_key, [wish.value for wish in WISHES]
    )


SELECT_STANDING = """
SELECT s.channel, s.contact_index, s.reason, s.since
  FROM suppressions s JOIN unnest($1::text[], $2::bytea[]) AS n(channel, contact_index) USING (channel, contact_index)
 WHERE s.lifted_at IS NULL
"""


async def select_standing(
    conn: Connection, *, channels: Sequence[str], contact_indexes: Sequence[bytes]
) -> Sequence[Record]:
    return await conn.fetch(SELECT_STANDING, channels, contact_indexes)


LIFT = """
UPDATE suppressions SET lifted_at = now(), lifted_by = $3, lift_reason = $4
 WHERE channel = $1 AND contact_index = ANY($2::bytea[]) AND lifted_at IS NULL AND ($5::text IS NULL OR reason = $5)
RETURNING reason
"""


async def lift(
    conn: Connection,
    *,
    channel: str,
    contact_indexes: Sequence[bytes],
    lifted_by: str,
    lift_reason: str | None,
    only: str | None,
) -> bool:
    """False when there was nothing to lift."""
    rows = await conn.fetch(LIFT, channel, contact_indexes, lifted_by, lift_reason, only)
    return bool(rows)


# What waits for its next try is decided now, not then. A message that another worker has in its hands is let be: that
# one looks at the suppressions by itself. What keeps quiet hours keeps them: a START may come before the morning.
HURRY_PENDING = """
UPDATE messages m SET due_at = now()
  FROM (SELECT organiser_id, message_id FROM messages
         WHERE recipient_index = ANY($2::bytea[]) AND channel = $1 AND state = 'pending' AND due_at > now()
           AND priority < 8
         ORDER BY organiser_id, message_id FOR UPDATE SKIP LOCKED) AS waiting
 WHERE m.organiser_id = waiting.organiser_id AND m.message_id = waiting.message_id
"""


async def hurry_pending(conn: Connection, *, channel: str, contact_indexes: Sequence[bytes]) -> None:
    """Let the dispatcher look at a contact's waiting messages now."""
    await conn.execute(HURRY_PENDING, channel, contact_indexes)


COUNT_SUPPRESSIONS = "SELECT count(*) FROM suppressions"


async def count_suppressions(conn: Connection) -> int:
    return cast("int", await conn.fetchval(COUNT_SUPPRESSIONS))


LOCK_SUPPRESSIONS = """
SELECT channel, contact_index, contact_sealed FROM suppressions
 WHERE (channel, contact_index) > ($1, $2) ORDER BY channel, contact_index LIMIT $3 FOR UPDATE
"""


async def lock_suppressions(conn: Connection, *, after: tuple[str, bytes], limit: int) -> Sequence[Record]:
    return await conn.fetch(LOCK_SUPPRESSIONS, *after, limit)


RESEAL_SUPPRESSION = """
UPDATE suppressions SET contact_sealed = $3, index_key = $4 WHERE channel = $1 AND contact_index = $2
"""


async def reseal_suppression(
    conn: Connection, *, channel: str, contact_index: bytes, contact_sealed: bytes, index_key: str
) -> None:
    await conn.execute(RESEAL_SUPPRESSION, channel, contact_index, contact_sealed, index_key)


# A contact that was suppressed anew while the rotation was under way has a row under the new key already. Of the two,
# the one that stands stays; of two that stand, the wish.
MOVE_SUPPRESSION = """
WITH old AS (
    DELETE FROM suppressions WHERE channel = $1 AND contact_index = $2 RETURNING *
)
INSERT INTO suppressions AS s
    (channel, contact_index, contact_sealed, index_key, reason, since, lifted_at, lifted_by, lift_reason)
SELECT channel, $3, $4, $5, reason, since, lifted_at, lifted_by, lift_reason FROM old
ON CONFLICT (channel, contact_index) DO UPDATE
   SET reason = excluded.reason, since = excluded.since, lifted_at = excluded.lifted_at,
       lifted_by = excluded.lifted_by, lift_reason = excluded.lift_reason
 WHERE excluded.lifted_at IS NULL
   AND (s.lifted_at IS NOT NULL OR (excluded.reason = ANY($6::text[]) AND s.reason <> ALL($6::text[])))
"""


async def move_suppression(
    conn: Connection, *, channel: str, old_index: bytes, new_index: bytes, contact_sealed: bytes, index_key: str
) -> None:
    """Put a row under its new index; one that is there already is kept or replaced by what weighs more."""
    wishes = [wish.value for wish in WISHES]
    await conn.execute(MOVE_SUPPRESSION, channel, old_index, new_index, contact_sealed, index_key, wishes)
