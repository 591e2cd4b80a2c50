from __future__ import annotations

import asyncio
import socket
import time
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from service.queue import DISPATCH_JOB, WAITING_MAX, Wakeups


def failed() -> float:
    return REGISTRY.get_sample_value("seteli_wakeups_failed_total") or 0.0


@pytest.fixture
def nobody_listens() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{unused.getsockname()[1]}/0"


async def test_a_wake_up_is_one_job_with_one_id_in_json(redis_url: str) -> None:
    wakeups, message_id = Wakeups(redis_url), uuid4()
    wakeups.wake(message_id)
    await wakeups.close()
    async with Redis.from_url(redis_url) as redis:
        [key] = await redis.keys("arq:job:*")
        job = await redis.get(key)
    assert str(message_id).encode() in job
    assert DISPATCH_JOB.encode() in job
    assert job.startswith(b"{"), "pickle would run whatever is written there"


async def test_without_redis_a_wake_up_costs_nothing_and_is_counted(nobody_listens: str) -> None:
    wakeups, before = Wakeups(nobody_listens), failed()
    started = time.perf_counter()
    for _ in range(20):
        wakeups.wake(uuid4())
    assert time.perf_counter() - started < 0.1
    await wakeups.close()
    assert failed() == before + 20
    assert not await wakeups.is_up()


async def test_it_finds_redis_again_by_itself(redis_url: str) -> None:
    wakeups = Wakeups(redis_url)
    assert await wakeups.is_up()
    async with Redis.from_url(redis_url) as redis:
        await redis.client_kill_filter(_type="normal", skipme=True)
        wakeups.wake(uuid4())
        await asyncio.sleep(0.05)
        wakeups.wake(uuid4())
        await asyncio.sleep(0.05)
        assert await wakeups.is_up()
        await wakeups.close()
        assert len(await redis.keys("arq:job:*")) >= 1


async def test_wake_ups_that_pile_up_are_dropped_and_counted(nobody_listens: str) -> None:
    wakeups, before = Wakeups(nobody_listens), failed()
    for _ in range(WAITING_MAX + 5):
        wakeups.wake(uuid4())
    assert failed() == before + 5
    await wakeups.close()
