"""What the calendar does to vouchers: holds lapse, later decisions begin, vouchers expire and are closed.

Any number of workers may run them at once, as often as they please: each takes only rows that nobody else has locked,
in one transaction a batch, and what is done is not found again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import structlog

from service import metrics
from service.attention import operations as attention
from service.attention.model import CHANGE_FAILED, SYSTEM
from service.crypto import Keys, SealBroken
from service.db import Connection, Pool, transaction
from service.errors import RequestInFlight, Unavailable
from service.organisers.operations import organiser_by_id
from service.vouchers.decisions import helsinki_day
from service.vouchers.operations.changing import tell_of_change
from service.vouchers.operations.states import lock_voucher
from service.vouchers.queries import changes as change_queries
from service.vouchers.queries import schedules as queries

log = structlog.get_logger()

ACTOR = "schedule"
BATCH = 500  # a charge that meets a batch waits for its commit: a few milliseconds
VERSIONS = 100

HOLDS_LAPSED = "holds_lapsed"
CHANGES_APPLIED = "changes_applied"
VOUCHERS_EXPIRED = "vouchers_expired"
VOUCHERS_CLOSED = "vouchers_closed"


def schedules(pool: Pool, keys: Keys) -> Sequence[Callable[[], Awaitable[int]]]:
    """What is to be run every minute, each by itself, again while it returns more than 0. Idempotent."""
    return (
        partial(_in_batches, pool, HOLDS_LAPSED, queries.lapse_holds),
        partial(apply_due_changes, pool, keys),
        partial(_in_batches, pool, VOUCHERS_EXPIRED, queries.expire_vouchers),
        partial(_in_batches, pool, VOUCHERS_CLOSED, queries.close_vouchers),
    )


async def apply_due_changes(pool: Pool, keys: Keys) -> int:
    """Apply the later decisions whose day has come, each in a transaction with what its family is told of it."""
    async with transaction(pool) as conn:
        due = await queries.select_due_versions(conn, limit=VERSIONS)
    applied = 0
    for organiser_id, version_id, voucher_id in due:
        try:
            async with transaction(pool) as conn:
                applied += await _apply(conn, keys, organiser_id, version_id, voucher_id)
        except RequestInFlight:
            continue  # somebody holds the voucher for seconds: the others' families must not wait for that
        except Unavailable:
            raise  # of the database, which would be no better for the next one
        except Exception as error:  # noqa: BLE001 - one that cannot be applied must not keep back all those behind it
            log.error("change_failed", voucher_id=voucher_id, error=type(error).__name__)
            await _ask_for_person(pool, organiser_id, voucher_id)
    _report(CHANGES_APPLIED, applied)
    return applied


async def _ask_for_person(pool: Pool, organiser_id: UUID, voucher_id: UUID) -> None:
    async with transaction(pool) as conn:
        await attention.open_item(conn, organiser_id=organiser_id, reason=CHANGE_FAILED, subject_id=voucher_id)


async def _apply(conn: Connection, keys: Keys, organiser_id: UUID, version_id: UUID, voucher_id: UUID) -> bool:
    if not await queries.take_version(conn, organiser_id=organiser_id, version_id=version_id):
        return False
    organiser = await organiser_by_id(conn, organiser_id)
    await lock_voucher(conn, organiser, voucher_id)
    outcome = await change_queries.apply_version(conn, organiser_id=organiser_id, version_id=version_id)
    if outcome == "dropped":
        log.warning("change_dropped", voucher_id=voucher_id)
        return True
    await attention.resolve_about(
        conn,
        organiser_id=organiser_id,
        reason=CHANGE_FAILED,
        subject_id=voucher_id,
        actor=SYSTEM,
        resolution="applied_since",
    )
    today = helsinki_day(datetime.now(UTC))
    try:
        await tell_of_change(conn, keys, organiser=organiser, voucher_id=voucher_id, actor=ACTOR, today=today)
    except SealBroken:  # the family's value must not hang on a contact that nobody can read
        log.error("contact_unreadable", voucher_id=voucher_id)
    return True


async def _in_batches(pool: Pool, kind: str, work: Callable[..., Awaitable[int]]) -> int:
    async with transaction(pool) as conn:
        done = await work(conn, limit=BATCH)
    _report(kind, done)
    return done


def _report(kind: str, count: int) -> None:
    if count:
        metrics.scheduled.labels(kind).inc(count)
        log.info("schedule_done", kind=kind, count=count)
