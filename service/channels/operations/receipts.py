"""Take in what gateways report about attempts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog
from uuid_utils.compat import uuid7

from service import metrics
from service.channels.gateway import GatewayReceipt, ReceiptMeaning
from service.channels.model import MessageState, after_receipt
from service.channels.queries import receipts as queries
from service.channels.queries.receipts import Effect, ReceiptEffect, ReceiptRow
from service.db import Pool, autocommit
from service.grouping import Grouper

log = structlog.get_logger()

GROUP_MAX = 128
GROUPS_IN_FLIGHT = 2


@dataclass(frozen=True, slots=True)
class Report:
    """One receipt that was shown to come from the gateway. `meaning` None: a status that no table knows."""

    organiser_id: UUID
    token: UUID
    receipt: GatewayReceipt
    meaning: ReceiptMeaning | None


ReceiptGroup = Grouper[Report, Effect]


def receipt_group(pool: Pool) -> ReceiptGroup:
    """The meeting point of a process's concurrent receipts."""
    return Grouper(partial(record_receipts, pool), max_items=GROUP_MAX, max_in_flight=GROUPS_IN_FLIGHT)


async def record_receipts(pool: Pool, reports: list[Report]) -> list[Effect]:
    """Journal receipts and move their messages along the legal moves, in one statement; what each did.

    Idempotent by (attempt, reference, status). Duplicated, late, out of order, about another text or for a token that
    nobody has: counted, and nothing moves.
    """
    async with autocommit(pool) as conn:
        effects = await queries.record_receipts(conn, receipts=[_receipt_row(report) for report in reports])
    for report, effect in zip(reports, effects, strict=True):
        _count(report, effect)
    return [effect.effect for effect in effects]


def _receipt_row(report: Report) -> ReceiptRow:
    move = None if report.meaning is None else after_receipt(report.meaning)
    return ReceiptRow(
        organiser_id=report.organiser_id,
        token=report.token,
        receipt_id=uuid7(),
        reference=report.receipt.reference,
        status=report.receipt.status,
        error_code=report.receipt.error_code,
        state=None if move is None else move.state,
        reason=None if move is None else move.reason,
        due_in_s=None if move is None else move.due_in_s,
    )


def _count(report: Report, effect: ReceiptEffect) -> None:
    # The status is the gateway's word: only those that the table knows may become a label.
    status = "unknown" if report.meaning is None else report.meaning.state.value
    action = "none" if report.meaning is None or report.meaning.action is None else report.meaning.action.value
    metrics.receipts.labels(effect.gateway or "none", status, action, effect.effect.value).inc()
    if effect.effect is Effect.MOVED and effect.before == MessageState.UNKNOWN:
        metrics.unknowns.labels(effect.gateway, "receipt").inc()
    if effect.waited_s is not None:
        metrics.accepted_to_delivered_s.labels(effect.channel).observe(effect.waited_s)
    if effect.effect in (Effect.OTHER_REFERENCE, Effect.UNKNOWN_ATTEMPT):
        log.warning("receipt_ignored", gateway=effect.gateway, effect=effect.effect.value, status=status)
