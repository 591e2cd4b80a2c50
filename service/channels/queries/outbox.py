"""Messages come into being, are withdrawn, and are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from asyncpg import Record

from service.db import Connection


class MessageRow(NamedTuple):
    """A new row of `messages`, in the order of MESSAGE_COLUMNS; what is not here has a default.

    A tuple, because imports make very many.
    """

    organiser_id: UUID
    message_id: UUID
    kind: str
    subject_id: UUID
    secret_id: UUID | None
    fields: Mapping[str, str]
    channel: str
    language: str
    recipient_sealed: bytes
    recipient_index: bytes
    recipient_hint: str
    other_channel: str | None
    other_sealed: bytes | None
    other_index: bytes | None
    other_hint: str | None
    priority: int
    deadline_s: int
    requested_by: str


# A contact that must not be written to: the message is a failure from the start, and due to be decided.
INSERT_MESSAGE = """
WITH standing AS (
    SELECT reason FROM suppressions
     WHERE channel = $7 AND contact_index = ANY($19::bytea[]) AND lifted_at IS NULL
     ORDER BY reason DESC LIMIT 1
)
INSERT INTO messages (
       organiser_id, message_id, kind, subject_id, secret_id, fields, channel, language,
       recipient_sealed, recipient_index, recipient_hint, other_channel, other_sealed, other_index, other_hint,
       priority, deadline_at, requested_by, state, reason, suppressed_for)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, now() + make_interval(secs => $17), $18,
        CASE WHEN EXISTS (SELECT FROM standing) THEN 'failed' ELSE 'pending' END,
        CASE WHEN EXISTS (SELECT FROM standing) THEN 'suppressed_contact' END, (SELECT reason FROM standing))
"""


async def insert_message(conn: Connection, *, row: MessageRow, recipient_indexes: Sequence[bytes]) -> None:
    """`recipient_indexes`: what the recipient may be suppressed under."""
    await conn.execute(INSERT_MESSAGE, *row, recipient_indexes)


SELECT_NOW = "SELECT now()"


async def select_now(conn: Connection) -> datetime:
    """The time of this transaction."""
    now: datetime = await conn.fetchval(SELECT_NOW)
    return now


async def copy_messages(conn: Connection, *, records: Sequence[tuple[object, ...]], columns: Sequence[str]) -> None:
    await conn.copy_records_to_table("messages", records=records, columns=columns)


SUPPRESS_PENDING = """
WITH unsent AS (
    SELECT organiser_id, message_id FROM messages
     WHERE organiser_id = $1 AND secret_id = $2 AND state = 'pending' AND due_at IS NOT NULL
     ORDER BY message_id FOR UPDATE
)
UPDATE messages m SET state = 'suppressed', reason = $3, due_at = NULL
  FROM unsent WHERE m.organiser_id = unsent.organiser_id AND m.message_id = unsent.message_id AND m.state = 'pending'
RETURNING m.message_id
"""


async def suppress_pending(conn: Connection, *, organiser_id: UUID, secret_id: UUID, reason: str) -> Sequence[UUID]:
    rows = await conn.fetch(SUPPRESS_PENDING, organiser_id, secret_id, reason)
    return [row["message_id"] for row in rows]


WITHDRAW_ANSWERS = """
WITH unsent AS (
    SELECT organiser_id, message_id FROM messages
     WHERE organiser_id = $1 AND subject_id = $2 AND kind LIKE 'reply\\_%' AND state = 'pending' AND due_at IS NOT NULL
     ORDER BY message_id FOR UPDATE
)
UPDATE messages m SET state = 'suppressed', reason = $3, due_at = NULL
  FROM unsent WHERE m.organiser_id = unsent.organiser_id AND m.message_id = unsent.message_id AND m.state = 'pending'
"""


async def withdraw_answers(conn: Connection, *, organiser_id: UUID, subject_id: UUID, reason: str) -> None:
    """Withdraw what is not sent yet of the answers to texts about a subject."""
    await conn.execute(WITHDRAW_ANSWERS, organiser_id, subject_id, reason)


# What took over from another message has no other channel left, and gets none.
READDRESS_PENDING = """
WITH unsent AS (
    SELECT organiser_id, message_id FROM messages
     WHERE organiser_id = $1 AND subject_id = $2 AND state = 'pending' AND due_at IS NOT NULL
     ORDER BY message_id FOR UPDATE
)
UPDATE messages m
   SET language = $3, channel = $4, recipient_sealed = $5, recipient_index = $6, recipient_hint = $7,
       other_channel = CASE WHEN m.fallback_of IS NULL THEN $8 END,
       other_sealed = CASE WHEN m.fallback_of IS NULL THEN $9::bytea END,
       other_index = CASE WHEN m.fallback_of IS NULL THEN $10::bytea END,
       other_hint = CASE WHEN m.fallback_of IS NULL THEN $11 END
  FROM unsent WHERE m.organiser_id = unsent.organiser_id AND m.message_id = unsent.message_id AND m.state = 'pending'
"""

Side = tuple[str, bytes, bytes, str]
"""A channel and a contact on it: sealed, its index, its hint."""


async def readdress_pending(
    conn: Connection,
    *,
    organiser_id: UUID,
    subject_id: UUID,
    language: str,
    recipient: Side,
    other: Side | tuple[None, None, None, None],
) -> None:
    """Give the unsent messages about a subject other recipients."""
    await conn.execute(READDRESS_PENDING, organiser_id, subject_id, language, *recipient, *other)


# The contact that would be next has changed, or gone: then the message has no other channel any more.
READDRESS_FALLBACKS = """
WITH handed_over AS (
    SELECT organiser_id, message_id FROM messages
     WHERE organiser_id = $1 AND subject_id = $2 AND other_channel IS NOT NULL AND due_at IS NOT NULL
       AND state <> 'pending'
     ORDER BY message_id FOR UPDATE
), found AS (
    SELECT h.organiser_id, h.message_id, n.*
      FROM handed_over h JOIN messages m USING (organiser_id, message_id)
      LEFT JOIN unnest($3::text[], $4::bytea[], $5::bytea[], $6::text[]) AS n(channel, sealed, index, hint)
             ON n.channel = m.other_channel
)
UPDATE messages m
   SET other_channel = found.channel, other_sealed = found.sealed, other_index = found.index, other_hint = found.hint
  FROM found WHERE m.organiser_id = found.organiser_id AND m.message_id = found.message_id
"""


async def readdress_fallbacks(
    conn: Connection, *, organiser_id: UUID, subject_id: UUID, contacts: Sequence[Side]
) -> None:
    """Let messages that were handed over fall back on these contacts only."""
    columns = (list(column) for column in zip(*contacts, strict=True))
    await conn.execute(READDRESS_FALLBACKS, organiser_id, subject_id, *columns)


# Behind a message that is not there: everything, as if none had been named.
SELECT_MESSAGES = """
SELECT message_id, kind, channel, language, recipient_hint, fallback_of, state, reason, suppressed_for, requested_by,
       created_at, due_at, accepted_at, delivered_at
  FROM messages WHERE organiser_id = $1 AND subject_id = $2
   AND COALESCE(
       (created_at, message_id) < (SELECT b.created_at, b.message_id FROM messages b
                                    WHERE b.organiser_id = $1 AND b.subject_id = $2 AND b.message_id = $3), true)
 ORDER BY created_at DESC, message_id DESC LIMIT $4
"""


async def select_messages(
    conn: Connection, *, organiser_id: UUID, subject_id: UUID, before: UUID | None, limit: int | None
) -> Sequence[Record]:
    """So many of the messages before one, newest first; all of them without a limit."""
    return await conn.fetch(SELECT_MESSAGES, organiser_id, subject_id, before, limit)


SELECT_ATTEMPTS = """
SELECT attempt_id, message_id, gateway, outcome, reference, error_code, parts, encoding, started_at, answered_at
  FROM attempts WHERE organiser_id = $1 AND message_id = ANY($2::uuid[])
 ORDER BY fence
"""


async def select_attempts(conn: Connection, *, organiser_id: UUID, message_ids: Sequence[UUID]) -> Sequence[Record]:
    return await conn.fetch(SELECT_ATTEMPTS, organiser_id, message_ids)


SELECT_RECEIPTS = """
SELECT attempt_id, status, error_code, received_at
  FROM receipts WHERE organiser_id = $1 AND attempt_id = ANY($2::uuid[])
 ORDER BY received_at, receipt_id
"""


async def select_receipts(conn: Connection, *, organiser_id: UUID, attempt_ids: Sequence[UUID]) -> Sequence[Record]:
    return await conn.fetch(SELECT_RECEIPTS, organiser_id, attempt_ids)
