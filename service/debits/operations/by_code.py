"""The rule book asked about a visit of a code: by statements of their own, or inside a caller's transaction, where a
charge must be one with what is told of it.

There the voucher stays locked until the caller commits: have everything slow done before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asyncpg import Record

from service.db import Connection
from service.debits.model import ChargeOrder, PossibleDuplicate
from service.debits.operations.verdicts import Borrow, Verdict, verdict_of, watch_for_guessing, within
from service.debits.operations.visits import calendar_of, first_day, under_rules
from service.debits.queries import charging as queries
from service.quiet_hours import QuietHours


async def judged(borrow: Borrow, order: ChargeOrder, act: Callable[[ChargeOrder], Awaitable[Verdict]]) -> Verdict:
    """Do `act` with the order, its times worked out by the rules of its code's voucher; counts a miss.

    Raises RulesChanging, and what `act` raises.
    """

    async def terms(order: ChargeOrder) -> Record | None:
        async with borrow() as conn:
            return await queries.select_terms(
                conn,
                code_index=order.code_index,
                previous_code_index=order.previous_code_index,
                on=first_day(order),
            )

    verdict = await under_rules(order, terms, act)
    if not verdict.replayed:
        await watch_for_guessing(borrow, verdict.outcome, order)
    return verdict


async def asked(borrow: Borrow, order: ChargeOrder) -> tuple[str, Mapping[str, Any]]:
    """'ok' and what the code is good for, or why it is not the provider's business; counts a miss.

    Raises RulesChanging.
    """
    found: list[Record] = []

    async def ask(worked_out: ChargeOrder) -> Verdict:
        holidays, eves = calendar_of([worked_out])
        async with borrow() as conn:
            row = await queries.validate(conn, worked_out, holidays=holidays, eves=eves)
        found.append(row)
        return Verdict(outcome=row["outcome"], answer="", replayed=False, language=order.language)

    verdict = await judged(borrow, order, ask)
    return verdict.outcome, found[-1]["details"]


async def debit_within(conn: Connection, order: ChargeOrder, quiet: QuietHours) -> Verdict:
    """Charge one visit as part of the caller's transaction; a repeat of its key gets the first verdict.

    Raises RequestInFlight, RulesChanging.
    """

    async def charge_it(worked_out: ChargeOrder) -> Verdict:
        holidays, eves = calendar_of([worked_out])
        [row] = await queries.debit_many(conn, [worked_out], holidays=holidays, eves=eves, quiet=quiet)
        return verdict_of(row)

    return await judged(within(conn), order, charge_it)


async def debit_unless_alike(conn: Connection, order: ChargeOrder, quiet: QuietHours) -> Verdict | None:
    """As debit_within; None for a visit that is like another one, which somebody must be asked about first.

    Nothing of the order is kept then, so that its key charges it when the answer has come.
    """
    attempt = conn.transaction()  # within the caller's, which ends with any error here: a savepoint
    await attempt.start()
    verdict = await debit_within(conn, order, quiet)
    if verdict.outcome == PossibleDuplicate.code and not verdict.replayed:
        await attempt.rollback()
        return None
    await attempt.commit()
    return verdict


async def validate_within(conn: Connection, order: ChargeOrder) -> tuple[str, Mapping[str, Any]]:
    """As `asked`, as part of the caller's transaction."""
    return await asked(within(conn), order)
