"""What was charged to one voucher, as its organiser and its family see it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from service.db import Connection

SELECT_VISITS = """
SELECT e.entry_id, e.kind, e.reverses, e.amount, e.service_date, e.starts_at, e.ends_at, e.entered_at, e.pays_cents,
       e.own_cents, e.visit_type, e.task_type, p.name AS provider, d.reason AS dispute_reason,
       d.raised_at IS NOT NULL AS was_disputed, d.raised_at IS NOT NULL AND d.resolved_at IS NULL AS disputed,
       d.raised_by, d.raised_at, d.resolved_at, d.resolution,
       (e.amount + (SELECT COALESCE(sum(r.amount), 0) FROM entries r
                     WHERE r.organiser_id = e.organiser_id AND r.reverses = e.entry_id))::bigint AS left_amount,
       EXISTS (SELECT FROM settled_entries s WHERE s.organiser_id = e.organiser_id AND s.entry_id = e.entry_id)
           AS settled
  FROM entries e
  JOIN providers p USING (provider_id)
  LEFT JOIN disputes d ON d.organiser_id = e.organiser_id AND d.entry_id = e.entry_id
 WHERE e.organiser_id = $1 AND e.voucher_id = $2
 ORDER BY e.entered_at, e.entry_id
"""


async def select_visits(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Sequence[Record]:
    """Every charge and every part of one that was taken back, in the order in which they were entered."""
    return list(await conn.fetch(SELECT_VISITS, organiser_id, voucher_id))


# The day is asked for only while this week has no room for another visit, however short.
SELECT_WEEK = """
SELECT used.visits, used.minutes,
       CASE WHEN used.visits + 1 > cap.visits OR used.minutes + shortest.minutes > cap.minutes
            THEN next_allowed_date(v, helsinki_today(), 1, shortest.minutes, NULL) END AS next_allowed_date
  FROM vouchers v
 CROSS JOIN LATERAL (
     SELECT CASE v.unit WHEN 'minutes' THEN r.step ELSE 0 END AS minutes
       FROM rules_on(v.organiser_id, v.programme, helsinki_today()) r) shortest
 CROSS JOIN LATERAL caps_on(v, helsinki_today()) cap
 CROSS JOIN LATERAL week_use(v.organiser_id, v.voucher_id, helsinki_today(), NULL) used
 WHERE v.organiser_id = $1 AND v.voucher_id = $2
"""


async def select_week(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Record | None:
    return await conn.fetchrow(SELECT_WEEK, organiser_id, voucher_id)
