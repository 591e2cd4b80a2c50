"""Holds: made, charged, dropped, looked up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.debits.model import ChargeOrder
from service.idempotency import Claim
from service.quiet_hours import USUAL, QuietHours

HOLD = "SELECT outcome, answer, replayed, language FROM hold_visit($1, $2, $3)"


async def hold(conn: Connection, order: ChargeOrder, *, holidays: Sequence[date], eves: Sequence[date]) -> Record:
    """Keep value for one visit in one statement."""
    row = await conn.fetchrow(HOLD, order.as_row(), holidays, eves)
    assert row is not None
    return row


CAPTURE = "SELECT outcome, answer, replayed, language FROM capture_hold($1, $2, $3, $4, $5, $6)"


async def capture(
    conn: Connection,
    order: ChargeOrder,
    *,
    hold_id: UUID,
    holidays: Sequence[date],
    eves: Sequence[date],
    quiet: QuietHours = USUAL,
) -> Record:
    """Charge a hold in one statement. No time-out on this call, for the reason that debit_many has."""
    row = await conn.fetchrow(CAPTURE, order.as_row(), hold_id, holidays, eves, quiet.from_hour, quiet.to_hour)
    assert row is not None
    return row


VOID = "SELECT outcome, answer, replayed, language FROM void_hold($1, $2, $3, $4, $5, $6, $7, $8)"


async def void(conn: Connection, claim: Claim, *, credential_id: UUID, hold_id: UUID, reason: str | None) -> Record:
    """Drop a hold of the provider's own in one statement."""
    row = await conn.fetchrow(
        VOID,
        claim.owner_id,
        credential_id,
        claim.key,
        claim.fingerprint,
        claim.previous_fingerprint,
        claim.language,
        hold_id,
        reason,
    )
    assert row is not None
    return row


SELECT_HOLD_TERMS = """
SELECT v.unit, h.service_date, r.starts_on, r.step, r.rounding, r.evening_from, r.evening_to, r.eves_are_holidays
FROM holds h
JOIN vouchers v ON v.organiser_id = h.organiser_id AND v.voucher_id = h.voucher_id
CROSS JOIN LATERAL rules_on(v.organiser_id, v.programme, h.service_date) r
WHERE h.provider_id = $1 AND h.hold_id = $2
"""


async def select_hold_terms(conn: Connection, *, provider_id: UUID, hold_id: UUID) -> Record | None:
    """By what the hours of a held visit are counted; None for a hold that the provider has not made."""
    return await conn.fetchrow(SELECT_HOLD_TERMS, provider_id, hold_id)


# Keyset on the id, which is a UUIDv7: newest first.
SELECT_HOLDS = """
SELECT h.hold_id, h.voucher_id, o.slug AS organiser, v.programme, v.unit, h.amount, h.service_date, h.starts_at,
       h.ends_at, h.task_type, h.worker, h.reference, c.last_four, h.reason,
       decision_ref_on(h.organiser_id, h.voucher_id, d.decision_ref, h.service_date) AS decision_ref,
       CASE WHEN h.state = 'held' AND h.lapses_at <= now() THEN 'lapsed' ELSE h.state END AS state,
       date_trunc('second', h.created_at) AS created_at, date_trunc('second', h.lapses_at) AS lapses_at,
       date_trunc('second', h.ended_at) AS ended_at
FROM holds h
JOIN vouchers v ON v.organiser_id = h.organiser_id AND v.voucher_id = h.voucher_id
JOIN decisions d ON d.organiser_id = v.organiser_id AND d.decision_id = v.decision_id
JOIN codes c ON c.organiser_id = h.organiser_id AND c.code_id = h.code_id
JOIN organisers o ON o.organiser_id = h.organiser_id
WHERE h.provider_id = $1 AND ($2::uuid IS NULL OR h.hold_id < $2)
  AND ($3::text IS NULL OR $3 = CASE WHEN h.state = 'held' AND h.lapses_at <= now() THEN 'lapsed' ELSE h.state END)
  AND ($5::uuid IS NULL OR h.hold_id = $5)
  AND ($6::date IS NULL OR h.service_date = $6 OR h.credential_id = $7)
ORDER BY h.hold_id DESC LIMIT $4
"""


async def select_holds(
    conn: Connection,
    *,
    provider_id: UUID,
    before: UUID | None,
    state: str | None,
    limit: int,
    hold_id: UUID | None = None,
    service_date: date | None = None,
    or_made_by: UUID | None = None,
) -> list[Record]:
    """A page of a provider's holds; with a day, only those for it and those that this credential made."""
    return await conn.fetch(SELECT_HOLDS, provider_id, before, state, limit, hold_id, service_date, or_made_by)
