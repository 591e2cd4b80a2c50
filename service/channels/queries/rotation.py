"""Recipients are moved to newer keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast
from uuid import UUID

from asyncpg import Record

from service.db import Connection

COUNT_MESSAGES = "SELECT count(*) FROM messages"


async def count_messages(conn: Connection) -> int:
    return cast("int", await conn.fetchval(COUNT_MESSAGES))


LOCK_RECIPIENTS = """
SELECT organiser_id, message_id, channel, other_channel, recipient_sealed, recipient_index, other_sealed, other_index
  FROM messages
 WHERE (organiser_id, message_id) > ($1, $2) ORDER BY organiser_id, message_id LIMIT $3 FOR NO KEY UPDATE
"""


async def lock_recipients(conn: Connection, *, after: tuple[UUID, UUID], limit: int) -> Sequence[Record]:
    return await conn.fetch(LOCK_RECIPIENTS, *after, limit)


UPDATE_RECIPIENTS = """
UPDATE messages m
   SET recipient_sealed = new.recipient_sealed, recipient_index = new.recipient_index,
       other_sealed = new.other_sealed, other_index = new.other_index
  FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[])
       AS new (organiser_id, message_id, recipient_sealed, recipient_index, other_sealed, other_index)
 WHERE m.organiser_id = new.organiser_id AND m.message_id = new.message_id
"""


async def update_recipients(
    conn: Connection, *, rows: Sequence[tuple[UUID, UUID, bytes, bytes, bytes | None, bytes | None]]
) -> None:
    await conn.execute(UPDATE_RECIPIENTS, *([row[place] for row in rows] for place in range(6)))
