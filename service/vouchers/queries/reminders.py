"""Which vouchers a family is reminded of, and what is left of them when it is."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.quiet_hours import QuietHours

TAKE_DAILY_SEARCH = """
SELECT CASE WHEN (now() AT TIME ZONE 'Europe/Helsinki')::time >= make_time($2, 0, 0)
             AND NOT EXISTS (SELECT FROM daily_searches WHERE search = $1 AND finished_on >= helsinki_today())
            THEN pg_try_advisory_xact_lock(hashtext('reminders.' || $1)) ELSE false END
"""


async def take_daily_search(conn: Connection, *, search: str, from_hour: int) -> bool:
    """Be the only one that makes a search until the transaction ends; False when another is, when it is too early in
    the day, or when it has been made to its end today.
    """
    return bool(await conn.fetchval(TAKE_DAILY_SEARCH, search, from_hour))


FINISH_DAILY_SEARCH = """
INSERT INTO daily_searches (search, finished_on) VALUES ($1, helsinki_today())
ON CONFLICT (search) DO UPDATE SET finished_on = excluded.finished_on
"""


async def finish_daily_search(conn: Connection, *, search: str) -> None:
    """There is nothing left to find today."""
    await conn.execute(FINISH_DAILY_SEARCH, search)


# Without `fallback_of IS NULL` the planner may not use messages_reminded_once, and reads every message of each voucher.
def _queue(kind: str, *, when: str, fields: str = "'{}'", unless: str = "") -> str:
    return f"""
SELECT count(*) FILTER (WHERE q.is_new)
  FROM (SELECT queue_family_message(f.organiser_id, f.voucher_id, gen_random_uuid(), '{kind}', f.voucher_id, f.fields,
                                    'reminder', $1, $2) AS is_new
          FROM (SELECT v.organiser_id, v.voucher_id, {fields}::jsonb AS fields
                  FROM vouchers v
                  JOIN beneficiaries b ON b.organiser_id = v.organiser_id AND b.voucher_id = v.voucher_id
                   AND (b.phone_index IS NOT NULL OR b.email_index IS NOT NULL)
                 WHERE v.state = 'issued' AND v.available > 0
                   AND {when}
                   AND NOT EXISTS (
                       SELECT FROM messages m
                        WHERE m.organiser_id = v.organiser_id AND m.subject_id = v.voucher_id
                          AND m.kind = '{kind}' AND m.fallback_of IS NULL{unless})
                   AND NOT EXISTS (
                       SELECT FROM attention a
                        WHERE a.organiser_id = v.organiser_id AND a.subject_id = v.voucher_id
                          AND a.resolved_at IS NULL AND a.message_id IS NOT NULL)
                 LIMIT $3) f) q
"""


# The bound of two weeks keeps the search short; it is longer than any outage, and vouchers that were old when the
# service learnt to remind are left alone.
QUEUE_UNUSED = _queue(
    "reminder_unused",
    when="""v.created_at <= now() - interval '3 days' AND v.valid_from <= helsinki_today() - 3
   AND (v.created_at > now() - interval '14 days' OR v.valid_from > helsinki_today() - 14)
   AND v.valid_to >= helsinki_today()
   AND NOT EXISTS (SELECT FROM entries e WHERE e.organiser_id = v.organiser_id AND e.voucher_id = v.voucher_id)""",
)


async def queue_unused(conn: Connection, *, quiet: QuietHours, limit: int) -> int:
    """Remind of vouchers that could have been used for three days and never were."""
    return int(await conn.fetchval(QUEUE_UNUSED, quiet.from_hour, quiet.to_hour, limit))


# A voucher's own text has just said until when; and two reminders in three days would be one too many. What was renewed
# ends anew; of what will be, the end is no news. Reminders from before renewals do not say of which end they were.
QUEUE_EXPIRING = _queue(
    "reminder_expiring",
    when="""v.valid_to BETWEEN helsinki_today() AND helsinki_today() + 14
   AND v.created_at <= now() - interval '3 days'
   AND NOT EXISTS (
       SELECT FROM decision_versions d
        WHERE d.organiser_id = v.organiser_id AND d.voucher_id = v.voucher_id AND d.outcome IS NULL
          AND d.valid_to > v.valid_to)
   AND NOT EXISTS (
       SELECT FROM messages m
        WHERE m.organiser_id = v.organiser_id AND m.subject_id = v.voucher_id AND m.kind = 'reminder_unused'
          AND m.fallback_of IS NULL AND m.created_at > now() - interval '3 days')""",
    fields="jsonb_build_object('ends_on', v.valid_to)",
    unless=" AND COALESCE((m.fields ->> 'ends_on')::date, v.valid_to) >= v.valid_to",
)


async def queue_expiring(conn: Connection, *, quiet: QuietHours, limit: int) -> int:
    """Remind of vouchers that end within 14 days with value left, once of each end."""
    return int(await conn.fetchval(QUEUE_EXPIRING, quiet.from_hour, quiet.to_hour, limit))


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
   AND ($1 <> 'reminder_expiring' OR v.valid_to <= helsinki_today() + 14)
   AND ($1 <> 'reminder_unused' OR NOT EXISTS (
       SELECT FROM entries e WHERE e.organiser_id = v.organiser_id AND e.voucher_id = v.voucher_id))
"""


async def select_reminded(
    conn: Connection, *, kind: str, organiser_ids: Sequence[UUID], voucher_ids: Sequence[UUID]
) -> Sequence[Record]:
    return await conn.fetch(SELECT_REMINDED, kind, organiser_ids, voucher_ids)
