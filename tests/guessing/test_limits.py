"""How many codes may be tried: by one credential, by all together, and at the same moment."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid4, uuid7

from service.db import Pool, autocommit, transaction
from service.debits.operations import Verdict, charge, debit, debit_group
from service.guessing.model import BlockUnknown, Breaker, BreakerNeverTripped, SupportReasonUnfit
from service.guessing.operations import (
    acknowledge_breaker,
    breaker_state,
    lift_block,
    overview,
    weigh_misses,
)
from service.quiet_hours import USUAL
from service.vouchers.codes import make_code
from tests.debits.worlds import World, index_of

FIND = "SELECT outcome FROM find_code($1, $2, $3, NULL, helsinki_today())"


@pytest.fixture
async def world(pool: Pool) -> World:
    async with transaction(pool) as conn:
        return await World().build(conn)


async def find(pool: Pool, world: World, code: str, credential_id: UUID | None = None) -> str:
    async with autocommit(pool) as conn:
        return str(await conn.fetchval(FIND, world.provider_id, credential_id or world.credential_id, index_of(code)))


async def miss(pool: Pool, world: World, times: int, credential_id: UUID | None = None) -> list[str]:
    return [await find(pool, world, uuid4().hex, credential_id) for _ in range(times)]


async def age_misses(pool: Pool, by: timedelta) -> None:
    """As if so much time had passed, also for the blocks."""
    await pool.execute("UPDATE code_misses SET missed_at = missed_at - $1::interval", by)
    await pool.execute(
        "UPDATE credential_blocks SET blocked_at = blocked_at - $1::interval,"
        " blocked_until = blocked_until - $1::interval, lifted_at = lifted_at - $1::interval",
        by,
    )


async def state(pool: Pool) -> Breaker:
    async with autocommit(pool) as conn:
        await weigh_misses(conn)
        return await breaker_state(conn)


async def lift(pool: Pool, credential_id: UUID, reason: str = "looked into") -> Any:
    async with transaction(pool) as conn:
        return await lift_block(conn, credential_id=credential_id, actor="test", reason=reason)


async def acknowledge(pool: Pool, reason: str = "looked into") -> Any:
    async with transaction(pool) as conn:
        return await acknowledge_breaker(conn, actor="test", reason=reason)


async def test_twelve_guesses_at_the_same_moment_are_five_misses_and_seven_blocked(pool: Pool, world: World) -> None:
    outcomes = await asyncio.gather(*(find(pool, world, uuid4().hex) for _ in range(12)))
    assert sorted(outcomes) == ["code_unknown"] * 5 + ["credential_blocked"] * 7
    assert await pool.fetchval("SELECT count(*) FROM code_misses") == 5


async def test_a_miss_waits_for_another_of_its_credential_and_for_nobody_elses(pool: Pool, world: World) -> None:
    await miss(pool, world, 3)
    async with transaction(pool) as first:
        await first.fetchval(FIND, world.provider_id, world.credential_id, b"guess")
        second = asyncio.create_task(find(pool, world, "guess 5"))
        third = asyncio.create_task(find(pool, world, "guess 6"))
        assert await find(pool, world, "guess", uuid7()) == "code_unknown"
        await asyncio.sleep(0.2)
        assert not second.done()
        assert not third.done()
    assert sorted([await second, await third]) == ["code_unknown", "credential_blocked"]


async def test_who_does_not_guess_never_waits_for_the_count(pool: Pool, world: World) -> None:
    async with transaction(pool) as conn:
        voucher = await world.add_voucher(conn, granted=720)
    async with transaction(pool) as conn:
        await conn.execute("SELECT lock_misses($1)", world.credential_id)
        async with asyncio.timeout(1.5):
            [verdict] = await charge(pool, [world.order(voucher, 15)])
    assert isinstance(verdict, Verdict)
    assert verdict.is_success


async def test_groups_that_miss_crosswise_are_all_answered_and_counted_once(pool: Pool, world: World) -> None:
    """Two transactions that take two credentials' counts in opposite order: one is undone, and done again in parts."""
    credentials = [uuid7(), uuid7()]
    for round_ in range(2):
        low, high = sorted((f"a{round_}", f"b{round_}", f"c{round_}", f"d{round_}"), key=index_of)[::3]
        here = [world.order(low, 15, credential_id=credentials[0]), world.order(high, 15, credential_id=credentials[1])]
        there = [
            replace(order, key=uuid4().hex, credential_id=other.credential_id)
            for order, other in zip(here, reversed(here), strict=True)
        ]
        for verdicts in await asyncio.gather(charge(pool, here), charge(pool, there)):
            assert [getattr(verdict, "outcome", verdict) for verdict in verdicts] == ["code_unknown"] * 2
    rows = await pool.fetch("SELECT count(*) FROM code_misses GROUP BY credential_id")
    assert [row[0] for row in rows] == [4, 4]


async def test_five_in_an_hour_block_for_an_hour_and_twenty_in_a_day_for_a_day(pool: Pool, world: World) -> None:
    for _ in range(3):
        assert await miss(pool, world, 6) == ["code_unknown"] * 5 + ["credential_blocked"]
        await age_misses(pool, timedelta(hours=1, minutes=1))
    assert await miss(pool, world, 5) == ["code_unknown"] * 5
    await age_misses(pool, timedelta(hours=2))
    assert await miss(pool, world, 1) == ["credential_blocked"]
    await age_misses(pool, timedelta(hours=22))
    assert await miss(pool, world, 1) == ["code_unknown"]


async def test_a_lifted_credential_starts_anew_and_its_misses_stay_written(pool: Pool, world: World) -> None:
    await miss(pool, world, 5)
    lifting = await lift(pool, world.credential_id, "  a new till  ")
    assert (lifting.reason, lifting.lifted_by) == ("a new till", "test")

    assert await miss(pool, world, 6) == ["code_unknown"] * 5 + ["credential_blocked"]
    assert await pool.fetchval("SELECT count(*) FROM code_misses") == 10
    await lift(pool, world.credential_id)
    await miss(pool, world, 4)
    await age_misses(pool, timedelta(hours=2))
    assert await miss(pool, world, 4) == ["code_unknown"] * 4, "what was forgiven does not count for the day"


async def test_lifting_twice_is_lifting_once_until_it_is_blocked_anew(pool: Pool, world: World) -> None:
    await miss(pool, world, 5)
    first, again = await lift(pool, world.credential_id, "one"), await lift(pool, world.credential_id, "two")
    assert first == again
    assert await pool.fetchval("SELECT array_agg(reason) FROM audit") == ["one"]
    await miss(pool, world, 5)
    assert (await lift(pool, world.credential_id, "three")).reason == "three"
    assert await pool.fetchval("SELECT count(*) FROM audit WHERE action = 'block_lifted'") == 2


async def test_ten_who_lift_at_once_lift_once(pool: Pool, world: World) -> None:
    await miss(pool, world, 5)
    liftings = await asyncio.gather(*(lift(pool, world.credential_id, f"by {number}") for number in range(10)))
    assert len({lifting.reason for lifting in liftings}) == 1
    assert await pool.fetchval("SELECT count(*) FROM audit") == 1


async def test_what_was_never_blocked_cannot_be_lifted_nor_anything_without_a_reason(pool: Pool, world: World) -> None:
    with pytest.raises(BlockUnknown):
        await lift(pool, uuid7())
    await miss(pool, world, 5)
    for reason in ("", "  ", "x" * 501):
        with pytest.raises(SupportReasonUnfit):
            await lift(pool, world.credential_id, reason)


async def test_fifty_misses_of_many_trip_the_breaker_once_and_nobody_else_is_stopped(pool: Pool, world: World) -> None:
    async with transaction(pool) as conn:
        voucher = await world.add_voucher(conn, granted=720)
    group = debit_group(pool, USUAL)
    orders = [world.order(uuid4().hex, 15, credential_id=uuid7()) for _ in range(50)]

    await asyncio.gather(*(debit(group, pool, order) for order in orders))

    breaker = await state(pool)
    assert breaker.is_tripped
    assert (breaker.misses_that_tripped, breaker.misses_today) == (50, 50)
    assert await pool.fetchval("SELECT count(*) FROM breaker_trips") == 1
    assert (await debit(group, pool, world.order(voucher, 15))).is_success


async def test_while_the_breaker_is_tripped_two_misses_an_hour_block(pool: Pool, world: World) -> None:
    before = uuid7()
    await miss(pool, world, 4, before)
    await trip(pool, world)
    assert await miss(pool, world, 3) == ["code_unknown"] * 2 + ["credential_blocked"]
    assert await miss(pool, world, 2, before) == ["code_unknown", "credential_blocked"]

    await acknowledge(pool)
    assert await miss(pool, world, 6, uuid7()) == ["code_unknown"] * 5 + ["credential_blocked"]


async def test_an_acknowledged_breaker_does_not_trip_again_for_the_same_misses(pool: Pool, world: World) -> None:
    with pytest.raises(BreakerNeverTripped):
        await acknowledge(pool)
    await trip(pool, world)
    first, again = await acknowledge(pool, "one"), await acknowledge(pool, "two")
    assert first == again
    assert await pool.fetchval("SELECT array_agg(reason) FROM audit") == ["one"]

    await miss(pool, world, 1)
    breaker = await state(pool)
    assert (breaker.is_tripped, breaker.misses_today, breaker.misses_counted) == (False, 51, 1)
    for _ in range(49):
        await miss(pool, world, 1, uuid7())
    assert (await state(pool)).is_tripped


async def test_a_breaker_that_nobody_answers_stays_tripped_after_its_day(pool: Pool, world: World) -> None:
    await trip(pool, world)
    await age_misses(pool, timedelta(days=2))
    breaker = await state(pool)
    assert (breaker.is_tripped, breaker.misses_today) == (True, 0)


async def test_support_sees_keys_and_workers_by_name_and_those_that_are_gone(pool: Pool, world: World) -> None:
    key_id, worker_id = uuid7(), uuid7()
    await pool.execute(
        "INSERT INTO api_keys (key_id, key_hash, hint, name, provider_id, permissions)"
        " VALUES ($1, 'x', 'aBcD', 'till', $2, '{}')",
        key_id,
        world.stranger_id,
    )
    await pool.execute(
        "INSERT INTO workers"
        " (worker_id, provider_id, name, language, phone_sealed, phone_index, phone_hint, pin_sealed)"
        " VALUES ($1, $2, 'Maria', 'fi', '', '', '… 567', '')",
        worker_id,
        world.stranger_id,
    )
    gone = uuid7()
    for credential_id, misses in ((key_id, 5), (worker_id, 5), (gone, 3)):
        await miss(pool, world, misses, credential_id)

    async with autocommit(pool) as conn:
        seen = await overview(conn)

    found = {block.credential_id: (block.kind, block.name, block.hint, block.misses_last_day) for block in seen.blocks}
    assert found == {key_id: ("key", "till", "aBcD", 5), worker_id: ("worker", "Maria", "… 567", 5)}
    assert [(other.kind, other.name, other.misses_last_hour) for other in seen.others] == [("unknown", None, 3)]


async def trip(pool: Pool, world: World) -> None:
    await pool.execute(
        "INSERT INTO code_misses (missed_at, credential_id, provider_id)"
        " SELECT now() - interval '1 min', gen_random_uuid(), $1 FROM generate_series(1, 50)",
        world.provider_id,
    )
    assert (await state(pool)).is_tripped


KEYS, ROUNDS, CLIENTS = 500, 250, 8
GUESS_ROUND = """
SELECT f.outcome, count(*) FROM unnest($2::uuid[], $3::bytea[]) AS g (credential_id, code_index)
 CROSS JOIN LATERAL find_code($1, g.credential_id, g.code_index, NULL, helsinki_today()) f GROUP BY 1
"""


@pytest.mark.parametrize(
    "rounds", [2, pytest.param(ROUNDS, marks=[pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)])]
)
async def test_a_million_guesses_from_500_keys_find_nothing_and_every_key_is_stopped(
    pool: Pool, world: World, rounds: int
) -> None:
    async with transaction(pool) as conn:
        for _ in range(100):
            voucher = await world.add_voucher(conn, granted=720)
            real = index_of(make_code(secrets.randbelow))
            await conn.execute("UPDATE voucher_codes SET code_index = $2 WHERE code_id = $1", voucher.code_id, real)
    keys = sorted(uuid7() for _ in range(KEYS))
    counted: dict[str, int] = {}

    async def guess() -> None:
        for _ in range(rounds):
            codes = [index_of(make_code(secrets.randbelow)) for _ in keys]
            async with autocommit(pool) as conn:
                for outcome, count in await conn.fetch(GUESS_ROUND, world.provider_id, keys, codes):
                    counted[outcome] = counted.get(outcome, 0) + count
                await weigh_misses(conn)

    await asyncio.gather(*(guess() for _ in range(CLIENTS)))

    assert sum(counted.values()) == KEYS * rounds * CLIENTS
    assert set(counted) == {"code_unknown", "credential_blocked"}, "no hit"
    by_key = await pool.fetch("SELECT count(*) FROM code_misses GROUP BY credential_id")
    assert sum(row[0] for row in by_key) == counted["code_unknown"]
    assert len(by_key) == KEYS
    assert all(2 <= row[0] <= 5 for row in by_key)
    assert await pool.fetchval("SELECT count(*) FROM credential_blocks WHERE blocked_until > now()") == KEYS
    assert await pool.fetchval("SELECT count(*) FROM breaker_trips") == 1
