"""The mail that a bounce is about."""

from __future__ import annotations

from uuid import UUID

from asyncpg import Record

from service.db import Connection

SELECT_MAIL = """
SELECT t.reference, m.message_id, m.recipient_sealed
  FROM attempts t JOIN messages m ON m.organiser_id = t.organiser_id AND m.message_id = t.message_id
 WHERE t.organiser_id = $1 AND t.token = $2 AND m.channel = 'email'
"""


async def select_mail(conn: Connection, *, organiser_id: UUID, token: UUID) -> Record | None:
    """The e-mail of an attempt, found by the attempt's token."""
    return await conn.fetchrow(SELECT_MAIL, organiser_id, token)
