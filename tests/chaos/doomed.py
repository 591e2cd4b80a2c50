"""One worker after the other, each doomed to die at the next point of sending one message (`kill_points.py`)."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import Iterable

from service.db import connect
from tests.chaos.stack import Stack
from tests.chaos.traffic import Callers

TEXT, MAIL = "kill worker at an await: text", "kill worker at an await: mail"
SENT = ("accepted", "sent", "delivered")
LIVES_AT_MOST_S = 30.0
LEASE_S = "900"  # longer than all of them together
GRACE_S = 1.0  # from the moment the answer can be read to the last point


# Whoever was about to be looked up is under a lease, too.
LET_LEASES_END = """
UPDATE messages SET due_at = now() WHERE state = 'sending' OR due_at > now() + interval '1 minute'
"""


class DiedOtherwise(Exception):
    """A doomed worker ended by itself; its log says why."""


async def kill_at_points(stack: Stack, callers: Callers, fault: str, points: Iterable[int] | None) -> int:
    """For each point, or for every one that there is: a new message, and a worker that dies there; returns the kills.

    What they leave under a lease is left to whoever runs after `let_leases_end`: so each message meets one death only.
    No other worker may run meanwhile.
    """
    kills = 0
    for point in itertools.count(1) if points is None else points:
        contact = {"phone": callers.new_phone()} if fault == TEXT else {"email": callers.new_email()}
        family = await callers.decide(fault, **contact)
        if not await _dies_at(stack, callers, point, voucher_id=family.voucher_id, message_id=family.message_ids[0]):
            if points is None:
                break
            continue
        kills += 1
    return kills


async def let_leases_end(stack: Stack) -> None:
    """As if the time of the doomed workers' leases had passed."""
    conn = await connect(stack.database_url, application_name="chaos")
    try:
        await conn.execute(LET_LEASES_END)
    finally:
        await conn.close()


async def _dies_at(stack: Stack, callers: Callers, point: int, *, voucher_id: str, message_id: str) -> bool:
    doom = {"CHAOS_KILL_AT": str(point), "CHAOS_KILL_MESSAGE": message_id, "LEASE_S": LEASE_S}
    worker = stack.service("worker", doom)
    try:
        ends_at = time.monotonic() + LIVES_AT_MOST_S
        while worker.is_running and time.monotonic() < ends_at:
            await asyncio.sleep(0.05)
            messages = (await callers.get("organiser", f"/v1/vouchers/{voucher_id}/messages")).json["messages"]
            if messages[0]["state"] in SENT:
                ends_at = min(ends_at, time.monotonic() + GRACE_S)
        if worker.exit_status not in (None, -signal.SIGKILL):
            raise DiedOtherwise(f"at point {point} with status {worker.exit_status}")
        return worker.exit_status is not None
    finally:
        worker.stop()
