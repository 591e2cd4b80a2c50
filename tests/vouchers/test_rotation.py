"""Moving to new keys: everything is found and opened under the new ones alone, and nothing is lost on the way."""

from __future__ import annotations

import asyncio

import pytest

from service.channels.operations import suppress
from service.crypto import Keys, SealBroken
from service.db import Pool, transaction
from service.vouchers import operations
from service.vouchers.model import Search
from service.vouchers.operations import rotation
from service.vouchers.operations.rotation import rotate
from tests.vouchers.worlds import (
    KEYS,
    NEW_ONLY,
    OLD,
    ROTATED,
    ROTATING,
    TODAY,
    World,
    committed_world,
    issue,
    live_code,
    looked_up,
)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "BATCH_ROWS", 7)


async def check_all(pool: Pool, world: World, codes: dict[str, str]) -> None:
    """Under the new keys alone: every code leads to its voucher, every contact opens, every decision is the same."""
    async with transaction(pool) as conn:
        for ref, code in codes.items():
            voucher_id = await operations.find_voucher_of_ref(
                conn, organiser_id=world.organiser.organiser_id, decision_ref=ref
            )
            assert await looked_up(conn, code, keys=ROTATED) == voucher_id
            assert await live_code(conn, voucher_id, keys=ROTATED) == code
            again = await issue(conn, world, keys=ROTATED, decision_ref=ref, email="maija@perhe.example")
            assert not again.created
        found = await operations.search_vouchers(
            conn,
            ROTATED,
            organiser_id=world.organiser.organiser_id,
            search=Search(phone="+358401234567"),
            before=None,
            limit=100,
        )
        assert len(found) == len(codes)
        for row in await conn.fetch("SELECT organiser_id, recipient_sealed, other_sealed FROM messages"):
            context = b"contact" + row["organiser_id"].bytes
            assert ROTATED.sealer.open(row["recipient_sealed"], context) == "+358401234567"
            assert ROTATED.sealer.open(row["other_sealed"], context) == "maija@perhe.example"
        assert await conn.fetchval("SELECT count(*) FROM voucher_codes WHERE index_key <> 'k2'") == 0
        assert await conn.fetchval("SELECT count(*) FROM voucher_codes") == await conn.fetchval(
            "SELECT count(*) FROM codes"
        )


async def fill(pool: Pool, world: World, count: int) -> dict[str, str]:
    codes = {}
    async with transaction(pool) as conn:
        for number in range(count):
            ref = f"KH-{number}"
            issued = await issue(conn, world, decision_ref=ref, email="maija@perhe.example")
            codes[ref] = await live_code(conn, issued.voucher_id)
    return codes


async def test_after_a_rotation_the_old_key_is_not_needed(pool: Pool) -> None:
    async with committed_world(pool) as (_site, world):
        codes = await fill(pool, world, 20)
        async with transaction(pool) as conn:
            await suppress(conn, KEYS, channel="sms", contact="+358401234567", reason="opted_out")
        done = await rotate(pool, ROTATING, settle_s=0)
        moved = dict.fromkeys(("codes", "contacts", "decisions", "messages", "lookups"), 20)
        assert done.moved == moved | {"suppressions": 1}
        await check_all(pool, world, codes)
        again = await rotate(pool, ROTATING, settle_s=0)
        assert set(again.moved.values()) == {0}


async def test_one_kind_of_key_may_rotate_alone(pool: Pool) -> None:
    only_index = Keys.from_keyrings(encryption=OLD, index=(("k2", b"2" * 32), *OLD))
    async with committed_world(pool) as (_site, world):
        codes = await fill(pool, world, 9)
        done = await rotate(pool, only_index, settle_s=0)
        moved = {"codes": 0, "contacts": 9, "decisions": 0, "messages": 9, "suppressions": 0, "lookups": 9}
        assert done.moved == moved
        only_encryption = Keys.from_keyrings(encryption=(("k2", b"2" * 32), *OLD), index=NEW_ONLY)
        await rotate(pool, only_encryption, settle_s=0)
        await check_all(pool, world, codes)


async def test_a_rotation_that_was_stopped_is_finished_by_the_next(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with committed_world(pool) as (_site, world):
        codes = await fill(pool, world, 20)
        steps: list[str] = []

        def stop(step: str, _done: int, _total: int) -> None:
            steps.append(step)
            if len(steps) in (2, 9, 14):
                raise InterruptedError

        for _ in range(3):
            with pytest.raises(InterruptedError):
                await rotate(pool, ROTATING, settle_s=0, on_progress=stop)
        await rotate(pool, ROTATING, settle_s=0)
        await check_all(pool, world, codes)


async def test_codes_are_found_at_every_moment_while_the_keys_rotate_and_new_ones_come(pool: Pool) -> None:
    async with committed_world(pool) as (_site, world):
        codes = await fill(pool, world, 60)
        over = asyncio.Event()
        looked = 0

        async def look() -> None:
            nonlocal looked
            while not over.is_set():
                async with pool.acquire() as conn:
                    for code in codes.values():
                        assert await looked_up(conn, code, keys=ROTATING) is not None
                        looked += 1

        async def replace() -> None:
            for number in range(10):
                async with transaction(pool) as conn:
                    voucher_id = (
                        await issue(conn, world, keys=ROTATING, decision_ref=f"new-{number}", email="a@b.example")
                    ).voucher_id
                async with transaction(pool) as conn:
                    await operations.replace_code(
                        conn,
                        ROTATING,
                        organiser=world.organiser,
                        voucher_id=voucher_id,
                        actor="t",
                        reason="t",
                        today=TODAY,
                    )

        looking = asyncio.create_task(look())
        await asyncio.gather(rotate(pool, ROTATING, settle_s=0.2), replace())
        over.set()
        await looking
        assert looked > len(codes)


async def test_a_key_that_is_missing_stops_the_rotation_and_changes_nothing(pool: Pool) -> None:
    async with committed_world(pool) as (_site, world):
        codes = await fill(pool, world, 3)
        with pytest.raises(SealBroken):
            await rotate(pool, ROTATED, settle_s=0)
        async with transaction(pool) as conn:
            for code in codes.values():
                assert await looked_up(conn, code, keys=KEYS) is not None


async def test_a_row_that_was_not_copied_is_never_taken_away(pool: Pool) -> None:
    async with committed_world(pool) as (_site, world):
        codes = await fill(pool, world, 3)
        async with transaction(pool) as conn:
            assert await rotation.queries.delete_old_lookups(conn, index_key="k2", limit=100) == 0
            for code in codes.values():
                assert await looked_up(conn, code, keys=KEYS) is not None
