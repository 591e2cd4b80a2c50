"""Limits over all workers, kept in the transaction of a claim: texts a second, parts a day, texts to one number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import structlog
from asyncpg import Record

from service import metrics
from service.channels.gateway import ChannelName
from service.channels.limits import BUDGET_REASON, FIRST_IS_EXEMPT, Budget, over_cap
from service.channels.model import ANSWER_PRIORITY
from service.channels.operations.delivery import Delivery
from service.channels.queries import limits as queries
from service.channels.queries import pauses as pause_queries
from service.db import Connection

log = structlog.get_logger()

ANY_PRIORITY = 32_767


async def priority_below(conn: Connection, delivery: Delivery, channel: ChannelName) -> int:
    """Which messages may go now: all of them, or only the vouchers when the day's budget is spent."""
    budget = _parts_per_day(delivery, channel)
    if not budget:
        return ANY_PRIORITY
    spent = await queries.select_spent(conn, gateway=delivery.gateways[channel].name)
    if spent is None or not Budget(budget + spent["extra"]).is_spent(spent["parts"]):
        return ANY_PRIORITY
    return ANSWER_PRIORITY


async def lock_rate(conn: Connection, delivery: Delivery, channel: ChannelName) -> None:
    """Be the only one that claims of a gateway with a rate until the transaction ends: a claim's first step."""
    if per_second := _per_second(delivery, channel):
        await queries.lock_bucket(conn, gateway=delivery.gateways[channel].name, per_second=per_second)


async def within_rate(
    conn: Connection, delivery: Delivery, channel: ChannelName, rows: Sequence[Record]
) -> Sequence[Record]:
    """The first of `rows` that the gateway's rate has room for; the others stay as they are. After `lock_rate`."""
    per_second = _per_second(delivery, channel)
    if not per_second or not rows:
        return rows
    gateway = delivery.gateways[channel].name
    return rows[: await queries.take_tokens(conn, gateway=gateway, per_second=per_second, wanted=len(rows))]


async def over_number_cap(conn: Connection, delivery: Delivery, rows: Sequence[Record]) -> frozenset[UUID]:
    """The messages that would be one text too many for their number within a day.

    Only a message's first try counts, and the first of its kind that must arrive is always let through.
    """
    new = [row for row in rows if row["channel"] == "sms" and row["fence"] == 0]
    if not new:
        return frozenset()
    cap = delivery.settings.texts_per_number_per_day
    full = await queries.select_full_numbers(conn, wanted=Counter(row["recipient_index"] for row in new), cap=cap)
    if not full:
        return frozenset()
    places = over_cap([row["recipient_index"] for row in new], full, cap=cap)
    over = [new[place] for place in places if new[place]["recipient_index"] in full]
    exempt = [(row["organiser_id"], row["message_id"]) for row in over if row["kind"] in FIRST_IS_EXEMPT]
    first = await queries.select_first(conn, messages=exempt) if exempt else frozenset()
    return frozenset(row["message_id"] for row in over) - first


async def count_parts(conn: Connection, delivery: Delivery, channel: ChannelName, parts: int) -> None:
    """Add what is about to be handed over to the day's count; tell when it nears the budget, pause when it is over.

    The last step of a claim: the count's row is locked until the commit. One batch a worker may go over the limit.
    """
    if channel != "sms" or not parts:
        return
    gateway = delivery.gateways[channel].name
    spent = await queries.add_spent(conn, gateway=gateway, parts=parts)
    if not (per_day := _parts_per_day(delivery, channel)):
        return
    budget = Budget(per_day + spent["extra"])
    metrics.budget_used.labels(gateway).set(spent["parts"] / budget.parts)
    is_news = spent["parts"] >= budget.alert_at and spent["alerted_at"] is None
    if is_news and await queries.mark_alerted(conn, gateway=gateway):
        metrics.budget_alerts.labels(gateway).inc()
        log.error("budget_nearly_spent", gateway=gateway, count=spent["parts"])
    if budget.is_reserve_spent(spent["parts"]):
        until = await queries.next_midnight(conn)
        if await pause_queries.pause_until(conn, gateway=gateway, reason=BUDGET_REASON, until=until):
            metrics.gateway_pauses.labels(gateway, BUDGET_REASON).inc()
            log.error("gateway_paused", gateway=gateway, reason=BUDGET_REASON, count=spent["parts"])


def _per_second(delivery: Delivery, channel: ChannelName) -> float:
    return delivery.settings.sms_per_second if channel == "sms" else delivery.settings.mails_per_second


def _parts_per_day(delivery: Delivery, channel: ChannelName) -> int:
    return delivery.settings.sms_parts_per_day if channel == "sms" else 0
