"""The worker process with a real Valkey that comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.channels.operations import Delivery
from service.db import Pool
from service.queue import Wakeups
from service.sandbox.valkey import start_valkey
from service.workers.process import serve
from tests.channels.post_office import Office, Times
from tests.workers.test_dispatcher import count, until


@pytest.fixture
def office(pool: Pool) -> Office:
    """One that looks by itself so rarely that only a wake-up makes it quick."""
    return Office(pool, times=Times(poll_interval_s=30))


@asynccontextmanager
async def working(delivery: Delivery, redis_url: str) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(serve(delivery, redis_url, stop))
    await asyncio.sleep(0.5)
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(running, 15)


async def test_a_wake_up_through_redis_sends_the_message_within_moments(office: Office, redis_url: str) -> None:
    wakeups = Wakeups(redis_url)
    async with working(office.delivery, redis_url):
        message_id = await office.queue()
        wakeups.wake(message_id)
        await until(count(office, "accepted", 1), within_s=2)
    await wakeups.close()
    async with Redis.from_url(redis_url) as redis:
        left = await redis.keys("*")
    assert not [key for key in left if b"result" in key or str(message_id).encode() in key]


async def test_redis_that_is_flushed_stopped_and_started_again_needs_nobody(office: Office, tmp_path: Path) -> None:
    valkey = start_valkey(tmp_path / "valkey")
    url, port = valkey.url, valkey.port
    sweeping = replace(office.delivery, settings=replace(office.times, poll_interval_s=0.2))
    async with working(sweeping, url):
        async with Redis.from_url(url) as redis:
            await redis.flushall()
        await office.queue()
        await until(count(office, "accepted", 1), within_s=3)
        valkey.stop()
        await office.queue()
        await until(count(office, "accepted", 2), within_s=3)
    valkey = start_valkey(tmp_path / "valkey", port=port)
    valkey.stop()


async def test_wake_ups_work_again_when_redis_is_back(office: Office, tmp_path: Path) -> None:
    valkey = start_valkey(tmp_path / "valkey")
    url, port = valkey.url, valkey.port
    async with working(office.delivery, url):
        valkey.stop()
        await asyncio.sleep(0.5)
        valkey = start_valkey(tmp_path / "valkey", port=port)
        wakeups = Wakeups(url)
        await office.queue()

        async def woken() -> bool:
            wakeups.wake(office.subject_id)
            return await count(office, "accepted", 1)()

        await until(woken, within_s=8)
        await wakeups.close()
    valkey.stop()


async def test_the_worker_starts_and_delivers_without_redis(office: Office) -> None:
    await office.queue()
    async with working(office.delivery, "redis://127.0.0.1:1/0"):
        await until(count(office, "accepted", 1), within_s=3)
