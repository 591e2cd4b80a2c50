"""Hold, capture, void: value and a place in the week kept for a visit that is booked."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from asyncpg import Record

from service.db import Pool, autocommit
from service.debits.model import ChargeOrder, HoldNotFound
from service.debits.operations.by_code import judged
from service.debits.operations.verdicts import Verdict, by_itself, verdict_of
from service.debits.operations.visits import calendar_of, under_rules
from service.debits.queries import holds as queries
from service.idempotency import Claim
from service.quiet_hours import USUAL, QuietHours

CAPTURE_DAYS = 92
"""As long ago a held visit can have been at most: the longest time to lapse, and a month of late entry."""


async def hold(pool: Pool, order: ChargeOrder) -> Verdict:
    """Keep what a visit will cost, and its place in the week; exactly once for (provider, key).

    One round trip to the database; two for an order with times. Raises RequestInFlight, DatabaseUnavailable,
    OutcomeUnknown, RulesChanging. Refusals are verdicts, as in debit.
    """

    async def keep(worked_out: ChargeOrder) -> Verdict:
        holidays, eves = calendar_of([worked_out])
        async with autocommit(pool) as conn:
            return verdict_of(await queries.hold(conn, worked_out, holidays=holidays, eves=eves))

    return await judged(by_itself(pool), order, keep)


async def capture(pool: Pool, order: ChargeOrder, *, hold_id: UUID, quiet: QuietHours = USUAL) -> Verdict:
    """Charge a held visit, as much as was held or less; the rest is free again. Exactly once for (provider, key).

    What `order` leaves out is as in the hold; it has no code. Raises as hold does.
    """

    async def terms(order: ChargeOrder) -> Record | None:
        async with autocommit(pool) as conn:
            return await queries.select_hold_terms(conn, provider_id=order.provider_id, hold_id=hold_id)

    async def charge(worked_out: ChargeOrder) -> Verdict:
        holidays, eves = calendar_of([worked_out], days_back=CAPTURE_DAYS)
        async with autocommit(pool) as conn:
            row = await queries.capture(conn, worked_out, hold_id=hold_id, holidays=holidays, eves=eves, quiet=quiet)
            return verdict_of(row)

    return await under_rules(order, terms, charge)


async def void(pool: Pool, claim: Claim, *, credential_id: UUID, hold_id: UUID, reason: str | None) -> Verdict:
    """Drop a hold of the provider's own; its value is free again. Exactly once for (provider, key).

    Raises RequestInFlight, DatabaseUnavailable, OutcomeUnknown.
    """
    async with autocommit(pool) as conn:
        row = await queries.void(conn, claim, credential_id=credential_id, hold_id=hold_id, reason=reason)
    return verdict_of(row)


async def list_holds(
    pool: Pool,
    *,
    provider_id: UUID,
    before: UUID | None,
    state: str | None,
    limit: int,
    service_date: date | None = None,
    or_made_by: UUID | None = None,
) -> list[Record]:
    """A page of the provider's holds, newest first; with a day, those for it and those that `or_made_by` made."""
    async with autocommit(pool) as conn:
        return await queries.select_holds(
            conn,
            provider_id=provider_id,
            before=before,
            state=state,
            limit=limit,
            service_date=service_date,
            or_made_by=or_made_by,
        )


async def find_hold(
    pool: Pool,
    *,
    provider_id: UUID,
    hold_id: UUID,
    service_date: date | None = None,
    or_made_by: UUID | None = None,
) -> Record:
    """One hold of the provider's, if it is for that day or made by that credential. Raises HoldNotFound."""
    async with autocommit(pool) as conn:
        found = await queries.select_holds(
            conn,
            provider_id=provider_id,
            before=None,
            state=None,
            limit=1,
            hold_id=hold_id,
            service_date=service_date,
            or_made_by=or_made_by,
        )
    if not found:
        raise HoldNotFound
    return found[0]
