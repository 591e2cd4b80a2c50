"""What families are told of their visits."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.quiet_hours import QuietHours

# A receipt's message has its entry's id (see tell_of_entry); the same message on the other channel has another id, and
# the first one's words.
SELECT_RECEIPTS = """
SELECT e.entry_id, e.amount, e.service_date, v.unit, m.kind AS message_kind, m.language, m.fields,
       p.name AS provider, o.help_phone, c.last_four, g.neutral_texts, helsinki_today() AS today
FROM unnest($1::uuid[], $2::uuid[]) AS w (organiser_id, entry_id)
JOIN messages m ON m.organiser_id = w.organiser_id AND m.message_id = w.entry_id
JOIN entries e ON e.organiser_id = w.organiser_id AND e.entry_id = w.entry_id
JOIN vouchers v ON v.organiser_id = e.organiser_id AND v.voucher_id = e.voucher_id
JOIN programmes g ON g.organiser_id = v.organiser_id AND g.programme = v.programme
JOIN codes c ON c.organiser_id = e.organiser_id AND c.code_id = e.code_id
JOIN organisers o ON o.organiser_id = e.organiser_id
JOIN providers p ON p.provider_id = e.provider_id
"""


async def select_receipts(
    conn: Connection, *, organiser_ids: Sequence[UUID], entry_ids: Sequence[UUID]
) -> Sequence[Record]:
    return await conn.fetch(SELECT_RECEIPTS, organiser_ids, entry_ids)


LOCK_DAY_RECEIPTS = "SELECT pg_try_advisory_xact_lock(hashtext('debits.receipts'))"


async def lock_day_receipts(conn: Connection) -> bool:
    """Be the only one that makes summaries until the transaction ends; False when another is."""
    return bool(await conn.fetchval(LOCK_DAY_RECEIPTS))


# The summary's id is that of its newest entry, and `secret_id` with it: its words are found like a receipt's. One that
# was late, after an outage, is for the evening that it missed: it does not stand in the way of the next.
QUEUE_DAY_RECEIPTS = """
WITH due AS (
    SELECT DISTINCT t.organiser_id, t.voucher_id FROM entries_to_tell t
    WHERE t.tell_at <= now() AND NOT EXISTS (
        SELECT FROM messages m
        WHERE m.organiser_id = t.organiser_id AND m.subject_id = t.voucher_id AND m.kind = 'debit_receipts_day'
          AND m.created_at >= last_summary(now()))
    LIMIT $3
), taken AS (
    DELETE FROM entries_to_tell t USING due
    WHERE t.organiser_id = due.organiser_id AND t.voucher_id = due.voucher_id AND t.tell_at <= now()
    RETURNING t.organiser_id, t.entry_id
), news AS (
    SELECT e.* FROM taken JOIN entries e USING (organiser_id, entry_id)
    WHERE NOT EXISTS (
        SELECT FROM taken o JOIN entries r USING (organiser_id, entry_id)
        WHERE r.organiser_id = e.organiser_id AND (r.reverses = e.entry_id OR r.entry_id = e.reverses))
), summary AS (
    SELECT n.organiser_id, n.voucher_id, count(*) AS count, sum(n.amount) AS sum, max(n.entered_at) AS latest,
           (array_agg(n.entry_id ORDER BY n.entered_at DESC, n.entry_id DESC))[1] AS entry_id
    FROM news n GROUP BY n.organiser_id, n.voucher_id
), queued AS (
    SELECT queue_family_message(
               s.organiser_id, s.voucher_id, s.entry_id, 'debit_receipts_day', s.entry_id,
               jsonb_build_object('count', s.count::text, 'sum', s.sum::text, 'available', v.available::text,
                                  'on', ((s.latest AT TIME ZONE 'Europe/Helsinki')::date)::text),
               'debit', $1, $2)
    FROM summary s
    JOIN vouchers v ON v.organiser_id = s.organiser_id AND v.voucher_id = s.voucher_id
)
SELECT (SELECT count(*) FROM due), (SELECT count(*) FROM queued)  -- what nobody reads is not run
"""


async def queue_day_receipts(conn: Connection, *, quiet: QuietHours, limit: int) -> int:
    """Tell what is to be told in the evenings; returns how many vouchers had something."""
    return int(await conn.fetchval(QUEUE_DAY_RECEIPTS, quiet.from_hour, quiet.to_hour, limit))
