"""A worker that is stopped for longer than its lease, and wakes up to write what is no longer so."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests.chaos.doomed import let_leases_end
from tests.chaos.faults import set_sandbox_faults
from tests.chaos.ledger import Json
from tests.chaos.stack import Stack
from tests.chaos.traffic import Callers

SLEEPER = "worker stopped past its lease"
WAIT_S = 30.0
SECONDS_PER_CALL = 0.8  # long enough to wake the sleeper while the other one calls; shorter than a call may take
LEASE_S = "900"


async def sleep_past_lease(stack: Stack, callers: Callers) -> int:
    """One message is refused to a worker that falls asleep over it; another one sends it, and meanwhile it wakes up.

    No other worker may run when this is called; it starts them again.
    """
    await set_sandbox_faults(stack, {"error_429": 1})
    family = await callers.decide(SLEEPER, phone=callers.new_phone())
    sleeper = stack.service(
        "worker", {"CHAOS_DOZE_MESSAGE": family.message_ids[0], "LEASE_S": LEASE_S, "WORKER_PORT": ""}
    )
    try:
        await _until(lambda: _is_stopped(sleeper.pid))
        await set_sandbox_faults(stack, {"seconds_per_call": SECONDS_PER_CALL})
        await let_leases_end(stack)
        await stack.workers_on()
        async with asyncio.timeout(WAIT_S):
            while not _is_called_again(await _message(callers, family.voucher_id)):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
        os.kill(sleeper.pid, signal.SIGCONT)
        await asyncio.sleep(2 * SECONDS_PER_CALL)
    finally:
        if sleeper.is_running:
            os.kill(sleeper.pid, signal.SIGCONT)
        sleeper.stop()
        await set_sandbox_faults(stack, {})
    return 1


async def _message(callers: Callers, voucher_id: str) -> Json:
    message: Json = (await callers.get("organiser", f"/v1/vouchers/{voucher_id}/messages")).json["messages"][0]
    return message


def _is_called_again(message: Json) -> bool:
    return message["state"] == "sending" and len(message["attempts"]) > 1


def _is_stopped(pid: int) -> bool:
    return "State:\tT" in Path(f"/proc/{pid}/status").read_text()


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
