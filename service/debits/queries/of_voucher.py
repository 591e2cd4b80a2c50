"""What was charged to one voucher, as its organiser and its family see it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from asyncpg import Record

from service.db import Connection

_ENTRY = """
e.entry_id, e.kind, e.reverses, e.amount, e.service_date, e.starts_at, e.ends_at, e.entered_at, e.pays_cents,
       e.own_cents, e.visit_type, e.task_type, p.name AS provider, d.reason AS dispute_reason,
       d.raised_at IS NOT NULL AS was_disputed, d.raised_at IS NOT NULL AND d.resolved_at IS NULL AS disputed,
       d.raised_by, d.raised_at, d.resolved_at, d.resolution,
       (e.amount + (SELECT COALESCE(sum(r.amount), 0) FROM entries r
                     WHERE r.organiser_id = e.organiser_id AND r.reverses = e.entry_id))::bigint AS left_amount,
       EXISTS (SELECT FROM settled_entries s WHERE s.organiser_id = e.organiser_id AND s.entry_id = e.entry_id)
           AS settled
"""
_BESIDES = """
  JOIN providers p USING (provider_id)
  LEFT JOIN disputes d ON d.organiser_id = e.organiser_id AND d.entry_id = e.entry_id
"""
# A reversal leads to what it takes back, so that it is on the page of its visit, however much later it was entered.
SELECT_VISITS = f"""
WITH page AS MATERIALIZED (
    SELECT entry_id AS visit_id, service_date AS day FROM entries
     WHERE organiser_id = $1 AND voucher_id = $2 AND kind = 'debit'
       AND ($3::date IS NULL OR (service_date, entry_id) < ($3, $4::uuid))
     ORDER BY service_date DESC, entry_id DESC LIMIT $5
), found AS (
    SELECT page.*, entry_id FROM page CROSS JOIN LATERAL (SELECT visit_id AS entry_id) itself
     UNION ALL
    SELECT page.*, r.entry_id FROM page JOIN entries r ON r.organiser_id = $1 AND r.reverses = visit_id
)
SELECT {_ENTRY.strip()}
  FROM found JOIN entries e ON e.organiser_id = $1 AND e.entry_id = found.entry_id{_BESIDES.rstrip()}
 ORDER BY found.day DESC, found.visit_id DESC, e.amount < 0, e.entered_at, e.entry_id
"""


async def select_visits(
    conn: Connection, *, organiser_id: UUID, voucher_id: UUID, after: tuple[date, UUID] | None, limit: int
) -> Sequence[Record]:
    """So many charges behind one, the newest day first, each with what was taken back of it right after it."""
    day, entry_id = after or (None, None)
    return list(await conn.fetch(SELECT_VISITS, organiser_id, voucher_id, day, entry_id, limit))


SELECT_VISIT = f"""
SELECT {_ENTRY.strip()}
  FROM entries e{_BESIDES.rstrip()}
 WHERE e.organiser_id = $1 AND e.voucher_id = $2 AND $3 IN (e.entry_id, e.reverses)
 ORDER BY e.amount < 0, e.entered_at, e.entry_id
"""


async def select_visit(conn: Connection, *, organiser_id: UUID, voucher_id: UUID, debit_id: UUID) -> Sequence[Record]:
    """One charge of the voucher and what was taken back of it; none when it is not the voucher's."""
    return list(await conn.fetch(SELECT_VISIT, organiser_id, voucher_id, debit_id))


SELECT_DISPUTED = f"""
SELECT {_ENTRY.strip()}
  FROM entries e{_BESIDES.rstrip()}
 WHERE e.organiser_id = $1 AND e.voucher_id = $2 AND d.raised_at IS NOT NULL AND d.resolved_at IS NULL
 ORDER BY d.raised_at, e.entry_id LIMIT $3
"""


async def select_disputed(conn: Connection, *, organiser_id: UUID, voucher_id: UUID, limit: int) -> Sequence[Record]:
    """So many of the voucher's visits whose dispute is open, whoever has waited longest first."""
    return list(await conn.fetch(SELECT_DISPUTED, organiser_id, voucher_id, limit))


# All of them, so short: a curve needs every step, and what was left after the last one is the sum of all.
SELECT_MOVEMENTS = """
SELECT e.entered_at, e.kind, e.amount, e.service_date, p.name AS provider
  FROM entries e JOIN providers p USING (provider_id)
 WHERE e.organiser_id = $1 AND e.voucher_id = $2
 ORDER BY e.entered_at, e.entry_id
"""


async def select_movements(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Sequence[Record]:
    """When what was charged or taken back, and by whom, in the order in which it was entered."""
    return list(await conn.fetch(SELECT_MOVEMENTS, organiser_id, voucher_id))


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
