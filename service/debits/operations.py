"""Charge, take back, validate: one database call each.

Concurrent debits are grouped: what waits while a commit is under way shares the next one (`debit_group`). A debit is
never given a time-out and never cancelled: whoever hangs up, it is done or not done, and the same key tells which.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import structlog
from asyncpg import Record

from service import metrics
from service.db import Pool, autocommit
from service.debits import queries
from service.debits.model import CodeUnknown, DebitOrder, error_of
from service.errors import RequestInFlight, SeteliError
from service.grouping import Grouper
from service.quiet_hours import USUAL, QuietHours

log = structlog.get_logger()

# 50 misses a day on the whole installation: somebody is trying codes out through several keys, and a person must look.
BREAKER_MISSES_PER_DAY = 50
GROUP_MAX = 128
# One group waits for its commit while the next one works: more only spreads them thinner.
GROUPS_IN_FLIGHT = 2
ALONE_AT_ONCE = 4  # of the pool's connections, while a group is taken apart


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the database decided. `answer` is the body of a success, byte for byte, or the details of a refusal."""

    outcome: str
    answer: str
    replayed: bool
    language: str

    @property
    def is_success(self) -> bool:
        return self.outcome == "ok"

    def error(self) -> SeteliError:
        """The refusal as the error that it is."""
        return error_of(self.outcome)(**json.loads(self.answer))


DebitGroup = Grouper[DebitOrder, "Verdict | SeteliError"]


def debit_group(pool: Pool) -> DebitGroup:
    """The meeting point of a process's concurrent debits."""

    async def flush(orders: list[DebitOrder]) -> list[Verdict | SeteliError]:
        metrics.debit_groups.observe(len(orders))
        return await charge(pool, orders)

    return Grouper(flush, max_items=GROUP_MAX, max_in_flight=GROUPS_IN_FLIGHT)


async def charge(pool: Pool, orders: Sequence[DebitOrder]) -> list[Verdict | SeteliError]:
    """Charge all in one transaction; if one must wait too long for a lock, each in its own.

    Raises DatabaseUnavailable when nothing was sent, OutcomeUnknown when the connection broke after it was: the same
    key tells later which it was. A lock that stays taken is that order's RequestInFlight, and nobody else's.
    """
    try:
        async with autocommit(pool) as conn:
            return [_verdict(row) for row in await queries.debit_many(conn, orders)]
    except RequestInFlight as busy:
        # The transaction is rolled back whole, so each may be tried again.
        if len(orders) == 1:
            return [busy]
    alone = asyncio.Semaphore(ALONE_AT_ONCE)

    async def charge_alone(order: DebitOrder) -> Verdict | SeteliError:
        async with alone:
            try:
                return (await charge(pool, [order]))[0]
            except SeteliError as error:  # this order's, and nobody else's: the others may be committed
                return error

    return list(await asyncio.gather(*(charge_alone(order) for order in orders)))


async def debit(group: DebitGroup, pool: Pool, order: DebitOrder) -> Verdict:
    """Charge one visit, exactly once for (provider, key); a repeat gets the first verdict.

    Raises RequestInFlight, DatabaseUnavailable, OutcomeUnknown. Refusals are verdicts, not exceptions: they are
    stored and replayed like successes.
    """
    result = await group.submit(order)
    if isinstance(result, SeteliError):
        raise result
    if not result.replayed:
        await _watch_for_guessing(pool, result.outcome, order.provider_id, order.credential_id)
    return result


async def reverse(
    pool: Pool,
    *,
    provider_id: UUID,
    credential_id: UUID,
    key: str,
    fingerprint: bytes,
    previous_fingerprint: bytes | None,
    entry_id: UUID,
    debit_id: UUID,
    reason: str | None,
    language: str,
    quiet: QuietHours = USUAL,
) -> Verdict:
    """Undo a debit with an entry of the opposite sign; exactly once for (provider, key), and once for the debit.

    Raises RequestInFlight, DatabaseUnavailable, OutcomeUnknown.
    """
    async with autocommit(pool) as conn:
        row = await queries.reverse(
            conn,
            provider_id=provider_id,
            credential_id=credential_id,
            key=key,
            fingerprint=fingerprint,
            previous_fingerprint=previous_fingerprint,
            entry_id=entry_id,
            debit_id=debit_id,
            reason=reason,
            language=language,
            quiet=quiet,
        )
    return _verdict(row)


async def validate(
    pool: Pool,
    *,
    provider_id: UUID,
    credential_id: UUID,
    code_index: bytes,
    previous_code_index: bytes | None,
    amount: int | None,
    service_date: date | None,
) -> Mapping[str, Any]:
    """What a code is good for right now, by the rules of a debit; changes nothing but the count of misses.

    Raises CodeUnknown, CodeSuperseded, CredentialBlocked, DatabaseUnavailable.
    """
    async with autocommit(pool) as conn:
        row = await queries.validate(
            conn,
            provider_id=provider_id,
            credential_id=credential_id,
            code_index=code_index,
            previous_code_index=previous_code_index,
            amount=amount,
            service_date=service_date,
        )
    await _watch_for_guessing(pool, row["outcome"], provider_id, credential_id)
    details: Mapping[str, Any] = row["details"]
    if row["outcome"] != "ok":
        raise error_of(row["outcome"])(**details)
    return details


async def history(pool: Pool, *, provider_id: UUID, before: UUID | None, limit: int) -> list[Record]:
    """A page of the provider's debits, newest first, each with its reversal if it has one."""
    async with autocommit(pool) as conn:
        return await queries.history(conn, provider_id=provider_id, before=before, limit=limit)


def _verdict(row: Record) -> Verdict:
    return Verdict(outcome=row["outcome"], answer=row["answer"], replayed=row["replayed"], language=row["language"])


async def _watch_for_guessing(pool: Pool, outcome: str, provider_id: UUID, credential_id: UUID) -> None:
    if outcome != CodeUnknown.code:
        return
    metrics.code_misses.inc()
    async with autocommit(pool) as conn:
        misses_today = await queries.count_misses_today(conn)
    metrics.code_misses_today.set(misses_today)
    log.warning("code_missed", provider_id=str(provider_id), key_id=str(credential_id), misses_today=misses_today)
    if misses_today >= BREAKER_MISSES_PER_DAY:
        log.error("code_guessing_suspected", misses_today=misses_today)
