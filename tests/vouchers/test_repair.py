"""A voucher that nobody was told of is found and told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from service.db import Pool
from service.vouchers.operations import queue_missing_messages
from tests.installations import Installation, install, settings_for


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


async def test_a_voucher_without_a_message_gets_one_and_only_one(here: Installation) -> None:
    lost, told = await here.decide(), await here.decide()
    pool, keys = here.resources.pool, here.resources.keys
    async with pool.acquire() as conn:
        await conn.execute("DELETE FROM messages WHERE subject_id = $1::text::uuid", lost["voucher_id"])
    assert await queue_missing_messages(pool, keys) == 0, "it may be in the making"

    async with pool.acquire() as conn:
        await conn.execute("UPDATE vouchers SET created_at = created_at - interval '3 minutes'")
    assert await queue_missing_messages(pool, keys) == 1
    assert await queue_missing_messages(pool, keys) == 0

    async with pool.acquire() as conn:
        rows = await conn.fetch("SELECT subject_id::text, state, requested_by FROM messages ORDER BY message_id")
    assert [(row["subject_id"], row["requested_by"] == "repair") for row in rows] == [
        (told["voucher_id"], False),
        (lost["voucher_id"], True),
    ]


async def test_a_receipt_does_not_stand_in_for_the_code(here: Installation) -> None:
    lost = await here.decide()
    pool, keys = here.resources.pool, here.resources.keys
    async with pool.acquire() as conn:
        await conn.execute("UPDATE messages SET kind = 'debit_receipt', secret_id = NULL")
        await conn.execute("UPDATE vouchers SET created_at = created_at - interval '3 minutes'")
    assert await queue_missing_messages(pool, keys) == 1
    assert await queue_missing_messages(pool, keys) == 0
    async with pool.acquire() as conn:
        kinds = await conn.fetch("SELECT kind FROM messages WHERE subject_id = $1::text::uuid", lost["voucher_id"])
    assert sorted(row["kind"] for row in kinds) == ["debit_receipt", "voucher"]


async def test_the_worker_runs_the_repair(here: Installation) -> None:
    assert len(here.resources.delivery.repairs) == 1
