"""See who was stopped, let them go on, and answer the breaker: each with who did it and why in the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from service import audit, metrics
from service.db import Connection
from service.guessing import queries
from service.guessing.model import (
    ACKNOWLEDGE_ACTION,
    LIFT_ACTION,
    Acknowledgement,
    BlockUnknown,
    Breaker,
    BreakerNeverTripped,
    Lifting,
    Suspect,
    Weighed,
    check_reason,
)

log = structlog.get_logger()

SHOWN_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Overview:
    """All that support looks at: who is stopped, who else has missed in the last 24 hours, and the breaker."""

    blocks: Sequence[Suspect]
    others: Sequence[Suspect]
    breaker: Breaker


async def weigh_misses(conn: Connection) -> Weighed:
    """Show how much was missed, and trip the breaker when it is time.

    Called after the commit of every miss, and whenever metrics are read, so that the figures also fall again. Who calls
    it for one miss pays for a count over one day's misses, which blocks keep few.
    """
    weighed = await queries.weigh_misses(conn)
    metrics.code_misses_today.set(weighed.misses_today)
    metrics.guess_breaker.set(weighed.is_tripped)
    if weighed.has_just_tripped:
        metrics.guess_breaker_trips.inc()
        log.error("guess_breaker_tripped", misses_today=weighed.misses_today)
    return weighed


async def overview(conn: Connection) -> Overview:
    """What support sees; at most SHOWN_MAX credentials, those that are blocked first."""
    suspects = await queries.select_suspects(conn, limit=SHOWN_MAX)
    return Overview(
        blocks=[suspect for suspect in suspects if suspect.is_blocked],
        others=[suspect for suspect in suspects if not suspect.is_blocked],
        breaker=await queries.select_breaker(conn),
    )


async def breaker_state(conn: Connection) -> Breaker:
    """The breaker alone."""
    return await queries.select_breaker(conn)


async def lift_block(conn: Connection, *, credential_id: UUID, actor: str, reason: str) -> Lifting:
    """Let a credential ask for codes again, and forgive the misses it has: they stay in the table and count no more.

    Idempotent until it is blocked anew: again returns the first lifting. Raises SupportReasonUnfit, BlockUnknown.
    """
    reason = check_reason(reason)
    async with conn.transaction():
        await queries.lock_misses(conn, credential_id=credential_id)
        lifting = await queries.lift(conn, credential_id=credential_id, lifted_by=actor, reason=reason)
        if lifting is None:
            lifting = await queries.select_lifting(conn, credential_id=credential_id)
            if lifting is None:
                raise BlockUnknown
            return lifting
        await _record(conn, actor, LIFT_ACTION, credential_id, reason)
    return lifting


async def acknowledge_breaker(conn: Connection, *, actor: str, reason: str) -> Acknowledgement:
    """End the breaker's alarm and its stricter limits; misses until now do not trip it again.

    Idempotent until it trips anew: again returns the last acknowledgement. Raises SupportReasonUnfit,
    BreakerNeverTripped.
    """
    reason = check_reason(reason)
    async with conn.transaction():
        acknowledged = await queries.acknowledge(conn, acknowledged_by=actor, reason=reason)
        if acknowledged is None:
            acknowledged = await queries.select_acknowledgement(conn)
            if acknowledged is None:
                raise BreakerNeverTripped
            return acknowledged
        await _record(conn, actor, ACKNOWLEDGE_ACTION, acknowledged.trip_id, reason)
    return acknowledged


async def _record(conn: Connection, actor: str, action: str, subject_id: UUID, reason: str) -> None:
    await audit.record(
        conn, organiser_id=audit.INSTALLATION, actor=actor, action=action, subject_id=subject_id, reason=reason
    )
