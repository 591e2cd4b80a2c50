"""Which visit a family means, and what is disputed."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from service.db import Connection

# A summary tells of what was entered before it. What was never handed to a gateway was not told.
SELECT_TOLD_DEBIT = """
SELECT e.organiser_id, e.voucher_id, e.entry_id, p.name AS provider, e.amount, v.unit, e.service_date, g.neutral_texts
  FROM unnest($2::uuid[], $3::uuid[]) AS f(organiser_id, voucher_id)
  JOIN entries e ON e.organiser_id = f.organiser_id AND e.voucher_id = f.voucher_id
  JOIN vouchers v ON v.organiser_id = e.organiser_id AND v.voucher_id = e.voucher_id
  JOIN programmes g ON g.organiser_id = v.organiser_id AND g.programme = v.programme
  JOIN providers p ON p.provider_id = e.provider_id
 WHERE e.kind = 'debit' AND e.entered_at > now() - interval '14 days'
   AND e.amount > (SELECT COALESCE(-sum(r.amount), 0) FROM entries r
                    WHERE r.organiser_id = e.organiser_id AND r.reverses = e.entry_id)
   AND EXISTS (
       SELECT FROM messages m
        WHERE m.organiser_id = e.organiser_id AND m.subject_id = e.voucher_id
          AND m.channel = 'sms' AND m.recipient_index = ANY($1::bytea[]) AND m.fence > 0
          AND ((m.kind = 'debit_receipt' AND m.secret_id = e.entry_id)
               OR (m.kind = 'debit_receipts_day' AND m.created_at >= e.entered_at)))
 ORDER BY e.entry_id DESC LIMIT 1
"""


async def select_told_debit(
    conn: Connection, *, phone_indexes: Sequence[bytes], organiser_ids: Sequence[UUID], voucher_ids: Sequence[UUID]
) -> Record | None:
    return await conn.fetchrow(SELECT_TOLD_DEBIT, phone_indexes, organiser_ids, voucher_ids)


SELECT_DEBIT = """
SELECT e.voucher_id, e.provider_id, e.entered_at > now() - interval '14 days' AS is_recent,
       EXISTS (SELECT FROM disputes d
                WHERE d.organiser_id = e.organiser_id AND d.entry_id = e.entry_id) AS was_disputed,
       e.amount + (
    SELECT COALESCE(sum(r.amount), 0) FROM entries r WHERE r.organiser_id = e.organiser_id AND r.reverses = e.entry_id
)::bigint AS amount_left
FROM entries e WHERE e.organiser_id = $1 AND e.entry_id = $2 AND e.kind = 'debit'
"""


async def select_debit(conn: Connection, *, organiser_id: UUID, debit_id: UUID) -> Record | None:
    return await conn.fetchrow(SELECT_DEBIT, organiser_id, debit_id)


# A line has one dispute at a time. A family's words are in no log, so an earlier dispute is kept as it was; a statement
# of its own, because the row that it copies must not have been overwritten by the same one.
KEEP_EARLIER = """
INSERT INTO earlier_disputes
    (organiser_id, entry_id, raised_by, reason, raised_at, resolved_at, resolved_by, resolution)
SELECT organiser_id, entry_id, raised_by, reason, raised_at, resolved_at, resolved_by, resolution FROM disputes
 WHERE organiser_id = $1 AND entry_id = $2 AND resolved_at IS NOT NULL
   FOR NO KEY UPDATE
"""
OPEN_DISPUTE = """
INSERT INTO disputes (organiser_id, entry_id, provider_id, raised_by, reason)
SELECT e.organiser_id, e.entry_id, e.provider_id, $3, $4 FROM entries e WHERE e.organiser_id = $1 AND e.entry_id = $2
ON CONFLICT (organiser_id, entry_id) DO UPDATE SET
    raised_by = excluded.raised_by, reason = excluded.reason, raised_at = now(),
    resolved_at = NULL, resolved_by = NULL, resolution = NULL
    WHERE disputes.resolved_at IS NOT NULL
RETURNING raised_by, reason, raised_at, resolved_at, resolved_by, resolution
"""


async def open_dispute(
    conn: Connection, *, organiser_id: UUID, debit_id: UUID, raised_by: str, reason: str | None
) -> Record | None:
    """None: one is open already. In a transaction: an earlier one is put away first."""
    await conn.execute(KEEP_EARLIER, organiser_id, debit_id)
    return await conn.fetchrow(OPEN_DISPUTE, organiser_id, debit_id, raised_by, reason)


RESOLVE_DISPUTE = """
UPDATE disputes SET resolved_at = now(), resolved_by = $3, resolution = $4
WHERE organiser_id = $1 AND entry_id = $2 AND resolved_at IS NULL
RETURNING raised_by, reason, raised_at, resolved_at, resolved_by, resolution
"""


async def resolve_dispute(
    conn: Connection, *, organiser_id: UUID, debit_id: UUID, resolved_by: str, resolution: str
) -> Record | None:
    """None: none is open."""
    return await conn.fetchrow(RESOLVE_DISPUTE, organiser_id, debit_id, resolved_by, resolution)
