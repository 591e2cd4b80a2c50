"""Who has looked at a voucher, and who may be paid: what the desk alone asks for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from asyncpg import Record

from service.db import Connection

# Of people only this organiser's: another's name is none of its business.
SELECT_LOG = """
SELECT a.recorded_at, a.action, a.reason, a.actor, p.name
  FROM audit a
  LEFT JOIN people p ON 'person:' || p.person_id = a.actor AND p.organiser_id = a.organiser_id
 WHERE a.organiser_id = $1
   AND (a.subject_id = $2
        OR a.subject_id IN (SELECT e.entry_id FROM entries e WHERE e.organiser_id = $1 AND e.voucher_id = $2))
 ORDER BY a.recorded_at DESC, a.audit_id DESC LIMIT 200
"""


async def select_log(conn: Connection, *, organiser_id: UUID, subject_id: UUID) -> Sequence[Record]:
    """What was done to a voucher and to the visits charged to it, newest first."""
    return list(await conn.fetch(SELECT_LOG, organiser_id, subject_id))


# Who disputes a visit again without a word, by text, still says what it said before.
SELECT_ENTRIES = """
SELECT e.entry_id, e.amount, v.unit, e.service_date, p.name AS provider, d.raised_by,
       coalesce(d.reason, (SELECT x.reason FROM earlier_disputes x
                            WHERE x.organiser_id = d.organiser_id AND x.entry_id = d.entry_id
                              AND x.raised_by = d.raised_by AND x.reason IS NOT NULL
                            ORDER BY x.raised_at DESC LIMIT 1)) AS dispute_reason,
       (e.amount + (SELECT COALESCE(sum(r.amount), 0) FROM entries r
                     WHERE r.organiser_id = e.organiser_id AND r.reverses = e.entry_id))::bigint AS left_amount
  FROM entries e
  JOIN vouchers v ON v.organiser_id = e.organiser_id AND v.voucher_id = e.voucher_id
  JOIN providers p USING (provider_id)
  LEFT JOIN disputes d ON d.organiser_id = e.organiser_id AND d.entry_id = e.entry_id
 WHERE e.organiser_id = $1 AND e.entry_id = ANY($2::uuid[])
"""


async def select_entries(conn: Connection, *, organiser_id: UUID, entry_ids: Sequence[UUID]) -> Sequence[Record]:
    return list(await conn.fetch(SELECT_ENTRIES, organiser_id, entry_ids))


# A region's approvals are shown to its organisers, which share them.
SELECT_APPROVALS = """
SELECT p.business_id, p.name, p.suspended_at, a.programme, a.valid_from, a.valid_to, r.name AS region
  FROM organisers o
  JOIN approvals a ON a.organiser_id = o.organiser_id OR a.region_id = o.region_id
  JOIN providers p USING (provider_id)
  LEFT JOIN regions r ON r.region_id = a.region_id
 WHERE o.organiser_id = $1
 ORDER BY p.name, p.business_id, a.programme
"""


async def select_approvals(conn: Connection, *, organiser_id: UUID) -> Sequence[Record]:
    return list(await conn.fetch(SELECT_APPROVALS, organiser_id))


COUNT_LIVE = """
SELECT count(*) FROM vouchers
 WHERE organiser_id = $1 AND programme = $2 AND valid_to >= $3 AND state IN ('issued', 'suspended')
"""


async def count_live(conn: Connection, *, organiser_id: UUID, programme: str, day: date) -> int:
    return int(await conn.fetchval(COUNT_LIVE, organiser_id, programme, day))


SELECT_PRICES = """
SELECT programme, starts_on, weekday_cents, evening_cents, saturday_cents, sunday_cents,
       starts_on = max(starts_on) FILTER (WHERE starts_on <= helsinki_today()) OVER (PARTITION BY programme) AS in_force
  FROM price_lists WHERE organiser_id = $1 AND provider_id = $2
 ORDER BY programme, starts_on DESC
"""


async def select_prices(conn: Connection, *, organiser_id: UUID, provider_id: UUID) -> Sequence[Record]:
    """What a provider asks of one organiser, newest list first."""
    return list(await conn.fetch(SELECT_PRICES, organiser_id, provider_id))


COUNT_PEOPLE = "SELECT count(*) FROM people WHERE provider_id = $1 AND disabled_at IS NULL"
# Whoever signs in for a company reads all that it has charged, to whomever. So a company that has come in another way,
# or that has anything to do with another organiser, is not one organiser's to open.
IS_AT_WORK = """
SELECT EXISTS (SELECT FROM people WHERE provider_id = $2)
    OR EXISTS (SELECT FROM api_keys WHERE provider_id = $2)
    OR EXISTS (SELECT FROM workers WHERE provider_id = $2)
    OR EXISTS (SELECT FROM entries WHERE provider_id = $2)
    OR EXISTS (SELECT FROM holds WHERE provider_id = $2)
    OR EXISTS (SELECT FROM approvals WHERE provider_id = $2 AND organiser_id IS DISTINCT FROM $1)
    OR EXISTS (SELECT FROM price_lists WHERE provider_id = $2 AND organiser_id <> $1)
"""
LOCK_PROVIDER = "SELECT FROM providers WHERE provider_id = $1 FOR NO KEY UPDATE"


async def count_people(conn: Connection, *, provider_id: UUID) -> int:
    """How many may sign in for a provider; who they are is its own affair."""
    return int(await conn.fetchval(COUNT_PEOPLE, provider_id))


async def is_at_work(conn: Connection, *, organiser_id: UUID, provider_id: UUID) -> bool:
    """Whether a provider has or had people, keys, workers or visits, or has to do with others than this organiser."""
    at_work: bool = await conn.fetchval(IS_AT_WORK, organiser_id, provider_id)
    return at_work


async def lock_provider(conn: Connection, *, provider_id: UUID) -> None:
    await conn.execute(LOCK_PROVIDER, provider_id)


# Families that have used the provider and can still use their voucher after the day, and what is booked after it.
SELECT_CONCERNED = """
SELECT (SELECT count(*) FROM vouchers v
         WHERE v.organiser_id = $1 AND v.programme = ANY($3::text[]) AND v.valid_to > $4
           AND v.state IN ('issued', 'suspended')
           AND EXISTS (SELECT FROM entries e WHERE e.organiser_id = $1 AND e.voucher_id = v.voucher_id
                          AND e.provider_id = $2 AND e.kind = 'debit')) AS families,
       (SELECT count(*) FROM holds h JOIN vouchers v USING (organiser_id, voucher_id)
         WHERE h.organiser_id = $1 AND h.provider_id = $2 AND h.state = 'held' AND h.service_date > $4
           AND v.programme = ANY($3::text[])) AS bookings
"""


async def select_concerned(
    conn: Connection, *, organiser_id: UUID, provider_id: UUID, programmes: Sequence[str], last_day: date
) -> tuple[int, int]:
    """Families and bookings."""
    row = await conn.fetchrow(SELECT_CONCERNED, organiser_id, provider_id, programmes, last_day)
    assert row is not None
    return row["families"], row["bookings"]
