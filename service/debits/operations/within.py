"""The rule book asked inside a caller's transaction, for charges that must be one with what is told of them.

The voucher stays locked until the caller commits: have everything slow done before. Orders have no times here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from service.db import Connection
from service.debits.model import ChargeOrder, CodeUnknown
from service.debits.operations.verdicts import Verdict, tell_of_miss, verdict_of
from service.debits.operations.visits import calendar_of
from service.debits.queries import charging as queries
from service.quiet_hours import QuietHours


async def debit_within(conn: Connection, order: ChargeOrder, quiet: QuietHours) -> Verdict:
    """Charge one visit as part of the caller's transaction; a repeat of its key gets the first verdict."""
    assert order.starts_at is None
    holidays, eves = calendar_of([order])
    [row] = await queries.debit_many(conn, [order], holidays=holidays, eves=eves, quiet=quiet)
    verdict = verdict_of(row)
    if not verdict.replayed:
        await _watch_for_guessing(conn, verdict.outcome, order.provider_id, order.credential_id)
    return verdict


async def validate_within(conn: Connection, order: ChargeOrder) -> tuple[str, Mapping[str, Any]]:
    """'ok' and what the code is good for, or why it is not the provider's business; counts misses."""
    assert order.starts_at is None
    holidays, eves = calendar_of([order])
    row = await queries.validate(conn, order, holidays=holidays, eves=eves)
    await _watch_for_guessing(conn, row["outcome"], order.provider_id, order.credential_id)
    return row["outcome"], row["details"]


async def _watch_for_guessing(conn: Connection, outcome: str, provider_id: UUID, credential_id: UUID) -> None:
    if outcome == CodeUnknown.code:
        await tell_of_miss(conn, provider_id, credential_id)
