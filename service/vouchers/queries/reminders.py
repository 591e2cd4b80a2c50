"""Which vouchers a family is reminded of, and what is left of them when it is."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.quiet_hours import QuietHours


def _insert(kind: str, *, when: str) -> str:
    return f"""
INSERT INTO messages (
       organiser_id, message_id, kind, subject_id, secret_id, fields, channel, language,
       recipient_sealed, recipient_index, recipient_hint, other_channel, other_sealed, other_index, other_hint,
       priority, due_at, deadline_at, requested_by)
SELECT c.organiser_id, gen_random_uuid(), '{kind}', c.voucher_id, c.voucher_id, '{{}}', c.channel, c.language,
       c.recipient_sealed, c.recipient_index, c.recipient_hint,
       c.other_channel, c.other_sealed, c.other_index, c.other_hint,
       8, q.due_at, q.due_at + c.patience, 'reminder'
  FROM vouchers v
  JOIN family_contacts c ON c.organiser_id = v.organiser_id AND c.voucher_id = v.voucher_id
 CROSS JOIN not_in_quiet_hours(now(), $1, $2) AS q(due_at)
 WHERE v.state = 'issued' AND v.available > 0
   AND {when}
   AND NOT EXISTS (
       SELECT FROM messages m
        WHERE m.organiser_id = v.organiser_id AND m.subject_id = v.voucher_id AND m.kind = '{kind}')
   AND NOT EXISTS (
       SELECT FROM attention a
        WHERE a.organiser_id = v.organiser_id AND a.subject_id = v.voucher_id AND a.resolved_at IS NULL
          AND a.message_id IS NOT NULL)
 LIMIT $3
ON CONFLICT (organiser_id, subject_id, kind)
      WHERE kind IN ('reminder_unused', 'reminder_expiring') AND fallback_of IS NULL DO NOTHING
RETURNING message_id
"""


# The bound of two weeks keeps the search short; it is longer than any outage, and vouchers that were old when the
# service learnt to remind are left alone.
QUEUE_UNUSED = _insert(
    "reminder_unused",
    when="""v.created_at <= now() - interval '3 days' AND v.valid_from <= helsinki_today() - 3
   AND (v.created_at > now() - interval '14 days' OR v.valid_from > helsinki_today() - 14)
   AND v.valid_to >= helsinki_today()
   AND NOT EXISTS (SELECT FROM entries e WHERE e.organiser_id = v.organiser_id AND e.voucher_id = v.voucher_id)""",
)


async def queue_unused(conn: Connection, *, quiet: QuietHours, limit: int) -> int:
    """Remind of vouchers that could have been used for three days and never were."""
    return len(await conn.fetch(QUEUE_UNUSED, quiet.from_hour, quiet.to_hour, limit))


# A voucher's own text has just said until when; and two reminders in three days would be one too many.
QUEUE_EXPIRING = _insert(
    "reminder_expiring",
    when="""v.valid_to BETWEEN helsinki_today() AND helsinki_today() + 14
   AND v.created_at <= now() - interval '3 days'
   AND NOT EXISTS (
       SELECT FROM messages m
        WHERE m.organiser_id = v.organiser_id AND m.subject_id = v.voucher_id AND m.kind = 'reminder_unused'
          AND m.created_at > now() - interval '3 days')""",
)


async def queue_expiring(conn: Connection, *, quiet: QuietHours, limit: int) -> int:
    """Remind of vouchers that end within 14 days with value left."""
    return len(await conn.fetch(QUEUE_EXPIRING, quiet.from_hour, quiet.to_hour, limit))


SELECT_NEVER_USED = """
SELECT v.organiser_id, v.voucher_id
  FROM messages m JOIN vouchers v ON v.organiser_id = m.organiser_id AND v.voucher_id = m.subject_id
 WHERE m.kind = 'reminder_unused' AND m.fallback_of IS NULL
   AND m.created_at BETWEEN now() - interval '30 days' AND now() - interval '4 days'
   AND v.state = 'issued' AND v.valid_to >= helsinki_today()
   AND NOT EXISTS (SELECT FROM entries e WHERE e.organiser_id = v.organiser_id AND e.voucher_id = v.voucher_id)
   AND NOT EXISTS (
       SELECT FROM attention a
        WHERE a.organiser_id = v.organiser_id AND a.subject_id = v.voucher_id AND a.reason = 'never_used')
 ORDER BY m.created_at LIMIT $1
"""


async def select_never_used(conn: Connection, *, limit: int) -> Sequence[tuple[UUID, UUID]]:
    """(organiser, voucher) whose family was reminded four days ago, to no avail; each comes up once for ever."""
    return [(row[0], row[1]) for row in await conn.fetch(SELECT_NEVER_USED, limit)]


# In the language of the reminder itself: the family may have changed its own since.
SELECT_REMINDED = """
SELECT v.organiser_id, v.voucher_id, v.programme, v.unit, v.available, v.valid_to, c.last_four, m.language,
       helsinki_today() AS today
  FROM unnest($2::uuid[], $3::uuid[]) AS w (organiser_id, voucher_id)
  JOIN vouchers v ON v.organiser_id = w.organiser_id AND v.voucher_id = w.voucher_id
  JOIN codes c ON c.organiser_id = v.organiser_id AND c.code_id = v.code_id
  JOIN messages m ON m.organiser_id = v.organiser_id AND m.subject_id = v.voucher_id AND m.kind = $1
   AND m.fallback_of IS NULL
 WHERE v.state = 'issued' AND v.available > 0 AND v.valid_to >= helsinki_today()
   AND ($1 <> 'reminder_unused' OR NOT EXISTS (
       SELECT FROM entries e WHERE e.organiser_id = v.organiser_id AND e.voucher_id = v.voucher_id))
"""


async def select_reminded(
    conn: Connection, *, kind: str, organiser_ids: Sequence[UUID], voucher_ids: Sequence[UUID]
) -> Sequence[Record]:
    return await conn.fetch(SELECT_REMINDED, kind, organiser_ids, voucher_ids)
