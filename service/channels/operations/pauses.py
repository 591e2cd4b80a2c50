"""Gateways are paused and opened again by a person; and how delivery is, for whoever watches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog

from service import metrics
from service.channels.gateway import ChannelName
from service.channels.limits import BUDGET_REASON
from service.channels.operations.delivery import Delivery
from service.channels.queries import limits as limit_queries
from service.channels.queries import pauses as queries
from service.db import Connection
from service.quiet_hours import QuietHours

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pause:
    """`until` None: until a person ends it. `is_probing`: its time is over, and one message is to show how it is."""

    gateway: str
    reason: str  # the gateway's error code, `budget`, or a person's words
    since: datetime
    until: datetime | None
    paused_by: str | None  # None: the service itself
    is_probing: bool


@dataclass(frozen=True, slots=True)
class Health:
    queue_age_s: float
    pauses: tuple[Pause, ...]


async def list_pauses(conn: Connection) -> tuple[Pause, ...]:
    """Every pause, by gateway."""
    return tuple(
        Pause(
            gateway=row["gateway"],
            reason=row["reason"],
            since=row["paused_at"],
            until=row["paused_until"],
            paused_by=row["paused_by"],
            is_probing=row["is_probing"],
        )
        for row in await queries.select_pauses(conn)
    )


async def delivery_health(conn: Connection, quiet: QuietHours) -> Health:
    """How long the oldest due message has waited, in seconds by the database's clock, and which gateways are paused.

    What waits for the end of the quiet hours is not due.
    """
    return Health(await queries.select_queue_age_s(conn, quiet=quiet), await list_pauses(conn))


def show_health(health: Health, gateways: Iterable[str] = ()) -> None:
    """Put it into the metrics. `gateways` are told to be open when they are not paused."""
    metrics.queue_age_s.set(health.queue_age_s)
    paused = {pause.gateway for pause in health.pauses}
    metrics.gateway_paused.clear()
    for name in {*gateways, *paused}:
        metrics.gateway_paused.labels(name).set(name in paused)


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """One channel for whoever watches. `budget` 0: none."""

    channel: ChannelName
    gateway: str
    pause: Pause | None
    due: int
    parts: int
    budget: int


async def channel_statuses(conn: Connection, delivery: Delivery) -> list[ChannelStatus]:
    """Each channel's pause, how many messages are due on it, and what of today's budget is spent."""
    pauses = {pause.gateway: pause for pause in await list_pauses(conn)}
    due = await queries.count_due(conn, quiet=delivery.settings.quiet_hours)
    found: list[ChannelStatus] = []
    for channel, carrier in delivery.gateways.items():
        gateway = carrier.name
        spent = await limit_queries.select_spent(conn, gateway=gateway)
        budget = delivery.settings.sms_parts_per_day if channel == "sms" else 0
        found.append(
            ChannelStatus(
                channel=channel,
                gateway=gateway,
                pause=pauses.get(gateway),
                due=due.get(channel, 0),
                parts=spent["parts"] if spent else 0,
                budget=budget + (spent["extra"] if spent and budget else 0),
            )
        )
    return found


async def pause(conn: Connection, *, gateway: str, reason: str, actor: str) -> None:
    """Pause a gateway until a person resumes it; its messages are kept. Idempotent: the newest reason stands."""
    await queries.pause_by_hand(conn, gateway=gateway, reason=reason, paused_by=actor)
    log.warning("gateway_paused", gateway=gateway, reason="by_hand")


@dataclass(frozen=True, slots=True)
class Resumed:
    was_paused: bool
    extra_parts: int  # what the day's budget was raised by, to make the end of its pause last


async def resume(conn: Connection, *, gateway: str, extra_parts: int) -> Resumed:
    """End a gateway's pause, whoever began it. Idempotent but for a pause for the budget: that adds `extra_parts`.

    An automatic pause comes back if its fault is still there.
    """
    # The day's count before the pause, as a claim locks them.
    is_for_budget = any(
        pause.gateway == gateway and pause.reason == BUDGET_REASON and pause.paused_by is None
        for pause in await list_pauses(conn)
    )
    added = extra_parts if is_for_budget else 0
    if added:
        await limit_queries.allow_extra(conn, gateway=gateway, parts=added)
    if not await queries.resume(conn, gateway=gateway):
        return Resumed(was_paused=False, extra_parts=0)
    log.warning("gateway_resumed", gateway=gateway, reason="by_hand")
    return Resumed(was_paused=True, extra_parts=added)
