"""A provider's debits as it looks them up."""

from __future__ import annotations

from uuid import UUID

from asyncpg import Record

from service.db import Connection

# Keyset on the id, which is a UUIDv7: newest first, and new debits never shift a page.
HISTORY = """
SELECT e.entry_id, e.voucher_id, e.amount, e.service_date, e.reference,
       date_trunc('second', e.entered_at) AS entered_at,
       v.unit, v.programme, o.slug AS organiser, d.decision_ref, c.last_four,
       r.reversed, date_trunc('second', r.reversed_at) AS reversed_at
FROM entries e
JOIN vouchers v ON v.organiser_id = e.organiser_id AND v.voucher_id = e.voucher_id
JOIN decisions d ON d.organiser_id = v.organiser_id AND d.decision_id = v.decision_id
JOIN codes c ON c.organiser_id = e.organiser_id AND c.code_id = e.code_id
JOIN organisers o ON o.organiser_id = e.organiser_id
CROSS JOIN LATERAL (
    SELECT COALESCE(-sum(x.amount), 0)::bigint AS reversed, max(x.entered_at) AS reversed_at
    FROM entries x WHERE x.organiser_id = e.organiser_id AND x.reverses = e.entry_id) r
WHERE e.provider_id = $1 AND e.kind = 'debit' AND ($2::uuid IS NULL OR e.entry_id < $2)
ORDER BY e.entry_id DESC LIMIT $3
"""


async def history(conn: Connection, *, provider_id: UUID, before: UUID | None, limit: int) -> list[Record]:
    return await conn.fetch(HISTORY, provider_id, before, limit)
