"""Keep receipts and reminders out of the night."""

from __future__ import annotations

import structlog

from service.channels.model import PATIENT_PRIORITY
from service.channels.queries import quiet as queries
from service.db import Pool, autocommit
from service.quiet_hours import QuietHours

log = structlog.get_logger()


async def hold_quiet(pool: Pool, hours: QuietHours) -> int:
    """Put off to the end of the quiet hours what may wait and would be due in them; returns how many. Idempotent.

    They are queued so. This is for what was tried again, went to the other channel, or waited for a gateway to work:
    run every minute, it lets at most a minute's worth of those through. The voucher itself never waits.
    """
    async with autocommit(pool) as conn:
        held = await queries.hold(
            conn, least_priority=PATIENT_PRIORITY, from_hour=hours.from_hour, to_hour=hours.to_hour
        )
    if held:
        log.info("messages_held_for_the_night", count=held)
    return held
