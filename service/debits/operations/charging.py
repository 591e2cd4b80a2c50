"""Charge, take back, validate: one database call each, and one before it for a visit whose times are told.

Concurrent debits are grouped: what waits while a commit is under way shares the next one (`debit_group`). A debit is
never given a time-out and never cancelled: whoever hangs up, it is done or not done, and the same key tells which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from service import metrics
from service.db import Pool, autocommit
from service.debits.model import ChargeOrder, error_of
from service.debits.operations.by_code import asked, judged
from service.debits.operations.verdicts import Verdict, by_itself, verdict_of
from service.debits.operations.visits import calendar_of
from service.debits.queries import charging as queries
from service.errors import RequestInFlight, SeteliError
from service.grouping import Grouper
from service.idempotency import Claim
from service.quiet_hours import USUAL, QuietHours

GROUP_MAX = 128
# One group waits for its commit while the next one works: more only spreads them thinner.
GROUPS_IN_FLIGHT = 2
ALONE_AT_ONCE = 4  # of the pool's connections, while a group is taken apart


DebitGroup = Grouper[ChargeOrder, "Verdict | SeteliError"]


def debit_group(pool: Pool, quiet: QuietHours) -> DebitGroup:
    """The meeting point of a process's concurrent debits."""

    async def flush(orders: list[ChargeOrder]) -> list[Verdict | SeteliError]:
        metrics.debit_groups.observe(len(orders))
        return await charge(pool, orders, quiet)

    return Grouper(flush, max_items=GROUP_MAX, max_in_flight=GROUPS_IN_FLIGHT)


async def charge(pool: Pool, orders: Sequence[ChargeOrder], quiet: QuietHours = USUAL) -> list[Verdict | SeteliError]:
    """Charge all in one transaction; if one must wait too long for a lock, each in its own.

    Raises DatabaseUnavailable when nothing was sent, OutcomeUnknown when the connection broke after it was: the same
    key tells later which it was. A lock that stays taken is that order's RequestInFlight, and nobody else's.
    """
    holidays, eves = calendar_of(orders)
    try:
        async with autocommit(pool) as conn:
            rows = await queries.debit_many(conn, orders, holidays=holidays, eves=eves, quiet=quiet)
            return [verdict_of(row) for row in rows]
    except RequestInFlight as busy:
        # The transaction is rolled back whole, so each may be tried again.
        if len(orders) == 1:
            return [busy]
    alone = asyncio.Semaphore(ALONE_AT_ONCE)

    async def charge_alone(order: ChargeOrder) -> Verdict | SeteliError:
        async with alone:
            try:
                return (await charge(pool, [order], quiet))[0]
            except SeteliError as error:  # this order's, and nobody else's: the others may be committed
                return error

    return list(await asyncio.gather(*(charge_alone(order) for order in orders)))


async def debit(group: DebitGroup, pool: Pool, order: ChargeOrder) -> Verdict:
    """Charge one visit, exactly once for (provider, key); a repeat gets the first verdict.

    One round trip to the database; two for an order with times, whose parts are worked out in between. Raises
    RequestInFlight, DatabaseUnavailable, OutcomeUnknown, RulesChanging. Refusals are verdicts, not exceptions: they are
    stored and replayed like successes.
    """

    async def charge_it(worked_out: ChargeOrder) -> Verdict:
        result = await group.submit(worked_out)
        if isinstance(result, SeteliError):
            raise result
        return result

    return await judged(by_itself(pool), order, charge_it)


async def reverse(
    pool: Pool,
    claim: Claim,
    *,
    credential_id: UUID,
    entry_id: UUID,
    debit_id: UUID,
    amount: int | None = None,
    reason: str | None = None,
    quiet: QuietHours = USUAL,
) -> Verdict:
    """Undo a debit, or `amount` of it, with an entry of the opposite sign; exactly once for (provider, key).

    Raises RequestInFlight, DatabaseUnavailable, OutcomeUnknown.
    """
    async with autocommit(pool) as conn:
        row = await queries.reverse(
            conn,
            claim,
            credential_id=credential_id,
            entry_id=entry_id,
            debit_id=debit_id,
            amount=amount,
            reason=reason,
            quiet=quiet,
        )
    return verdict_of(row)


async def validate(pool: Pool, order: ChargeOrder) -> Mapping[str, Any]:
    """What a code is good for right now, by the rules of a debit; changes nothing but the count of misses.

    The order's key and fingerprint are not looked at. Raises CodeUnknown, CodeSuperseded, NotApprovedOnDate,
    CredentialBlocked, RulesChanging, DatabaseUnavailable.
    """
    outcome, details = await asked(by_itself(pool), order)
    if outcome != "ok":
        raise error_of(outcome)(**details)
    return details
