"""The addresses about the service itself: what they tell of delivery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from service import site
from service.channels.operations import pause
from service.db import Pool
from tests.installations import Installation, install, settings_for


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


async def shown(here: Installation, name: str) -> float:
    text = await (await here.client.get("/metrics")).text()
    return float(next(line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{name} ")))


async def test_the_age_of_the_queue_is_told_without_any_worker(here: Installation) -> None:
    assert await shown(here, "seteli_queue_age_seconds") == 0
    await here.decide()
    await here.resources.pool.execute("UPDATE messages SET due_at = due_at - interval '90 s'")
    assert 90 <= await shown(here, "seteli_queue_age_seconds") < 100


async def test_an_age_that_cannot_be_asked_for_is_not_told_as_it_was(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shown(here, "seteli_queue_age_seconds")
    await here.resources.pool.execute("ALTER TABLE messages RENAME TO elsewhere")
    try:
        assert str(await shown(here, "seteli_queue_age_seconds")) == "nan"
    finally:
        await here.resources.pool.execute("ALTER TABLE elsewhere RENAME TO messages")


async def test_readiness_tells_which_gateways_are_paused_and_why_but_no_names_of_people(here: Installation) -> None:
    async with here.resources.pool.acquire() as conn:
        await pause(conn, gateway="twilio", reason="sender changes", actor="command line:anna")
        await conn.execute(
            "INSERT INTO gateway_pauses (gateway, reason, paused_until)"
            " VALUES ('smtp', '20003', now() - interval '1 s')"
        )
    answer = await here.client.get("/health/ready")
    assert answer.status == 200
    assert "anna" not in await answer.text()
    email, sms = (await answer.json())["paused_gateways"]
    assert (email["name"], email["by"], email["probing"], email["reason"]) == ("smtp", "service", True, "20003")
    assert (sms["name"], sms["by"], sms["probing"], sms["until"]) == ("twilio", "person", False, None)
    assert sms["since"] is not None
    text = await (await here.client.get("/metrics")).text()
    assert 'seteli_gateway_paused{gateway="twilio"} 1.0' in text


async def test_readiness_does_not_wait_for_a_database_that_does_not_answer(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "HEALTH_TIMEOUT_S", 0.2)
    async with here.resources.pool.acquire() as conn, conn.transaction():
        await conn.execute("LOCK TABLE gateway_pauses")
        async with asyncio.timeout(1.5):  # before PostgreSQL itself gives up on the lock
            answer = await here.client.get("/health/ready")
        assert (answer.status, (await answer.json())["database"]) == (503, "down")
    assert (await here.client.get("/health/ready")).status == 200
