"""The rule book asked inside a caller's transaction, for charges that must be one with what is told of them.

The voucher stays locked until the caller commits: have everything slow done before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.debits.model import ChargeOrder, CodeUnknown
from service.debits.operations.verdicts import Verdict, tell_of_miss, verdict_of
from service.debits.operations.visits import Terms, calendar_of, first_day, under_rules
from service.debits.queries import charging as queries
from service.quiet_hours import QuietHours


async def debit_within(conn: Connection, order: ChargeOrder, quiet: QuietHours) -> Verdict:
    """Charge one visit as part of the caller's transaction; a repeat of its key gets the first verdict.

    Raises RequestInFlight, RulesChanging.
    """

    async def charge_it(worked_out: ChargeOrder) -> Verdict:
        holidays, eves = calendar_of([worked_out])
        [row] = await queries.debit_many(conn, [worked_out], holidays=holidays, eves=eves, quiet=quiet)
        return verdict_of(row)

    verdict = await under_rules(order, _terms_of_code(conn), charge_it)
    if not verdict.replayed:
        await _watch_for_guessing(conn, verdict.outcome, order.provider_id, order.credential_id)
    return verdict


async def validate_within(conn: Connection, order: ChargeOrder) -> tuple[str, Mapping[str, Any]]:
    """'ok' and what the code is good for, or why it is not the provider's business; counts misses.

    Raises RulesChanging.
    """
    found: list[Record] = []

    async def ask(worked_out: ChargeOrder) -> Verdict:
        holidays, eves = calendar_of([worked_out])
        row = await queries.validate(conn, worked_out, holidays=holidays, eves=eves)
        found.append(row)
        return Verdict(outcome=row["outcome"], answer="", replayed=False, language=order.language)

    verdict = await under_rules(order, _terms_of_code(conn), ask)
    await _watch_for_guessing(conn, verdict.outcome, order.provider_id, order.credential_id)
    return verdict.outcome, found[-1]["details"]


def _terms_of_code(conn: Connection) -> Terms:
    async def find(order: ChargeOrder) -> Record | None:
        return await queries.select_terms(
            conn,
            code_index=order.code_index,
            previous_code_index=order.previous_code_index,
            on=first_day(order),
        )

    return find


async def _watch_for_guessing(conn: Connection, outcome: str, provider_id: UUID, credential_id: UUID) -> None:
    if outcome == CodeUnknown.code:
        await tell_of_miss(conn, provider_id, credential_id)
