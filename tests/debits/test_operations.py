"""The debit functions, against the real database."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import date, timedelta

import pytest
from uuid_utils.compat import uuid7

from service.db import Connection, Pool, transaction
from service.debits import operations
from service.debits.model import (
    ChargeOrder,
    CodeSuperseded,
    CodeUnknown,
    CredentialBlocked,
    InsufficientValue,
    NotApprovedOnDate,
)
from service.debits.operations import Verdict, charge, debit, debit_group
from service.debits.queries import charging as queries
from service.errors import IdempotencyKeyReused, OutcomeUnknown, RequestInFlight
from service.quiet_hours import USUAL
from tests.debits.worlds import Voucher, World, add_code


@pytest.fixture
async def world(pool: Pool) -> World:
    async with transaction(pool) as conn:
        return await World().build(conn)


async def voucher_of(pool: Pool, world: World, **values) -> Voucher:
    async with transaction(pool) as conn:
        return await world.add_voucher(conn, **values)


async def one(pool: Pool, order: ChargeOrder) -> Verdict:
    [verdict] = await charge(pool, [order])
    assert isinstance(verdict, Verdict)
    return verdict


async def test_a_debit_takes_the_amount_once_and_tells_what_is_left(pool: Pool, world: World) -> None:
    voucher = await voucher_of(pool, world, granted=720)

    verdict = await one(pool, world.order(voucher, 120, reference="käynti 1"))

    answer = json.loads(verdict.answer)
    assert (verdict.outcome, answer["amount"], answer["available"]) == ("ok", 120, 600)
    assert answer["reference"] == "käynti 1"
    async with pool.acquire() as conn:
        assert await voucher.values(conn) == {
            "granted": 720,
            "available": 600,
            "held": 0,
            "debited": 120,
            "expired": 0,
            "cancelled": 0,
            "entries": 120,
        }


async def test_a_repeat_with_the_same_key_gets_the_same_answer_byte_for_byte_and_changes_nothing(
    pool: Pool, world: World
) -> None:
    voucher = await voucher_of(pool, world, granted=720)
    order = world.order(voucher, 120, key="visit-1")
    first = await one(pool, order)

    again = [await one(pool, world.order(voucher, 120, key="visit-1")) for _ in range(3)]

    assert [(verdict.answer, verdict.replayed) for verdict in again] == [(first.answer, True)] * 3
    async with pool.acquire() as conn:
        assert (await voucher.values(conn))["debited"] == 120


async def test_the_same_key_with_another_request_is_refused(pool: Pool, world: World) -> None:
    voucher = await voucher_of(pool, world, granted=720)
    await one(pool, world.order(voucher, 120, key="visit-1"))

    verdict = await one(pool, world.order(voucher, 135, key="visit-1"))

    assert isinstance(verdict.error(), IdempotencyKeyReused)
    assert not verdict.replayed


async def test_a_refusal_is_remembered_so_that_its_late_duplicate_cannot_succeed(pool: Pool, world: World) -> None:
    voucher = await voucher_of(pool, world, granted=120)
    taken = await one(pool, world.order(voucher, 120))
    refused = await one(pool, world.order(voucher, 60, key="late"))
    assert isinstance(refused.error(), InsufficientValue)
    async with pool.acquire() as conn:
        await queries.reverse(
            conn,
            world.claim("undo"),
            credential_id=world.credential_id,
            entry_id=uuid7(),
            debit_id=json.loads(taken.answer)["debit_id"],
        )

    again = await one(pool, world.order(voucher, 60, key="late"))

    assert (again.outcome, again.answer, again.replayed) == (refused.outcome, refused.answer, True)


async def test_while_keys_rotate_processes_with_either_order_find_codes_and_recognise_repeats(
    pool: Pool, world: World
) -> None:
    """Step 1 of a rotation leaves some processes with `old,new` and step 2 gives others `new,old`."""
    voucher = await voucher_of(pool, world, granted=720)
    plain = world.order(voucher, 60, key="visit")
    new_first = replace(plain, previous_code_index=b"old" * 8, previous_fingerprint=b"old")
    old_first = replace(
        plain,
        code_index=b"old" * 8,
        previous_code_index=plain.code_index,
        fingerprint=b"old",
        previous_fingerprint=plain.fingerprint,
    )

    first = await one(pool, new_first)
    assert (first.outcome, first.replayed) == ("ok", False)
    for order in (old_first, new_first):
        again = await one(pool, order)
        assert (again.answer, again.replayed) == (first.answer, True)
    another = await one(pool, replace(old_first, key="next", new_id=uuid7(), reference="next"))
    assert another.outcome == "ok"
    again = await one(pool, replace(new_first, key="next"))
    assert (again.answer, again.replayed) == (another.answer, True)


async def test_what_is_not_the_providers_business_gets_one_answer(pool: Pool, world: World) -> None:
    voucher = await voucher_of(pool, world, granted=720)

    unknown = await one(pool, world.order("no such code", 60))
    foreign = await one(pool, world.order(voucher, 60, provider_id=world.stranger_id, credential_id=uuid7()))

    assert (unknown.outcome, unknown.answer) == (foreign.outcome, foreign.answer) == ("code_unknown", "{}")


async def test_a_replaced_code_says_so_for_thirty_days_and_is_then_unknown(pool: Pool, world: World) -> None:
    voucher = await voucher_of(pool, world, granted=720)
    new_code = uuid7()
    async with transaction(pool) as conn:
        await conn.execute("UPDATE codes SET superseded_at = now() WHERE code_id = $1", voucher.code_id)
        await add_code(conn, voucher.organiser_id, voucher.voucher_id, new_code, "renewed")
        await conn.execute("UPDATE vouchers SET code_id = $1 WHERE voucher_id = $2", new_code, voucher.voucher_id)

    assert isinstance((await one(pool, world.order(voucher, 60))).error(), CodeSuperseded)
    assert (await one(pool, world.order("renewed", 60))).is_success
    async with transaction(pool) as conn:
        await conn.execute(
            "UPDATE codes SET superseded_at = now() - interval '31 days' WHERE code_id = $1", voucher.code_id
        )
    assert isinstance((await one(pool, world.order(voucher, 60))).error(), CodeUnknown)


async def test_five_misses_in_an_hour_stop_the_credential_and_only_it(pool: Pool, world: World) -> None:
    voucher = await voucher_of(pool, world, granted=720)
    outcomes = [(await one(pool, world.order(f"guess {number}", 15))).outcome for number in range(5)]
    assert outcomes == ["code_unknown"] * 5

    stopped = await one(pool, world.order(voucher, 15, key="honest"))
    assert isinstance(stopped.error(), CredentialBlocked)
    other = await one(pool, world.order(voucher, 15, credential_id=uuid7()))
    assert other.is_success

    async with transaction(pool) as conn:
        await conn.execute("UPDATE credential_blocks SET blocked_until = now()")
    assert (await one(pool, world.order(voucher, 15, key="honest"))).is_success


async def test_a_miss_is_counted_once_however_often_the_request_is_repeated(pool: Pool, world: World) -> None:
    for _ in range(10):
        await one(pool, world.order("guess", 15, key="same"))

    async with pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM code_misses") == 1


async def test_an_approval_by_region_covers_every_organiser_in_it_and_ends_with_its_last_day(
    pool: Pool, world: World
) -> None:
    voucher = await voucher_of(pool, world, granted=720, organiser_id=world.other_organiser_id)
    async with transaction(pool) as conn:
        today = await conn.fetchval("SELECT helsinki_today()")
        await conn.execute("UPDATE approvals SET valid_to = $1", today - timedelta(days=3))

    within = await one(pool, world.order(voucher, 60, service_date=today - timedelta(days=3)))
    after = await one(pool, world.order(voucher, 60, service_date=today - timedelta(days=2)))

    assert (within.outcome, after.outcome) == ("ok", "code_unknown")
    async with transaction(pool) as conn:
        await conn.execute("UPDATE approvals SET valid_to = NULL, valid_from = $1", today - timedelta(days=1))
    before = await one(pool, world.order(voucher, 60, service_date=today - timedelta(days=2)))
    assert isinstance(before.error(), NotApprovedOnDate)
    async with pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM code_misses") == 1, "a wrong day is no guess"


async def test_sixteen_clients_race_for_the_last_unit_and_exactly_one_gets_it(pool: Pool, world: World) -> None:
    for _ in range(10):
        voucher = await voucher_of(pool, world, granted=60)

        verdicts = await asyncio.gather(*(one(pool, world.order(voucher, 60)) for _ in range(16)))

        assert sorted(verdict.outcome for verdict in verdicts) == ["insufficient_value"] * 15 + ["ok"]
        async with pool.acquire() as conn:
            values = await voucher.values(conn)
        assert (values["available"], values["debited"], values["entries"]) == (0, 60, 60)


async def test_a_race_with_one_key_has_one_effect_and_one_answer(pool: Pool, world: World) -> None:
    for number in range(5):
        voucher = await voucher_of(pool, world, granted=720)

        verdicts = await asyncio.gather(*(one(pool, world.order(voucher, 60, key=f"same {number}")) for _ in range(16)))

        assert len({verdict.answer for verdict in verdicts}) == 1
        assert sum(not verdict.replayed for verdict in verdicts) == 1
        async with pool.acquire() as conn:
            assert (await voucher.values(conn))["debited"] == 60


async def test_grouped_debits_are_decided_one_by_one(pool: Pool, world: World) -> None:
    rich, poor = await voucher_of(pool, world, granted=7200), await voucher_of(pool, world, granted=30)
    group = debit_group(pool, USUAL)
    orders = [world.order(rich, 15) for _ in range(100)] + [world.order(poor, 15) for _ in range(5)]

    verdicts = await asyncio.gather(*(debit(group, pool, order) for order in orders))

    assert [verdict.outcome for verdict in verdicts[:100]] == ["ok"] * 100
    assert sorted(verdict.outcome for verdict in verdicts[100:]) == ["insufficient_value"] * 3 + ["ok"] * 2
    for order, verdict in zip(orders, verdicts, strict=True):
        if verdict.is_success:
            assert json.loads(verdict.answer)["debit_id"] == str(order.new_id)


async def test_a_locked_voucher_delays_its_own_debit_only(pool: Pool, world: World) -> None:
    locked, free = await voucher_of(pool, world, granted=720), await voucher_of(pool, world, granted=720)
    async with transaction(pool) as holder:
        await holder.execute("SELECT FROM vouchers WHERE voucher_id = $1 FOR UPDATE", locked.voucher_id)
        results = await charge(pool, [world.order(locked, 15), world.order(free, 15)])

    assert isinstance(results[0], RequestInFlight)
    assert isinstance(results[1], Verdict)
    assert results[1].is_success


async def test_a_debit_is_reversed_once_and_the_value_is_back(pool: Pool, world: World) -> None:
    voucher = await voucher_of(pool, world, granted=720)
    charged = json.loads((await one(pool, world.order(voucher, 120))).answer)

    async def undo(key: str) -> Verdict:
        return await operations.reverse(
            pool,
            world.claim(key),
            credential_id=world.credential_id,
            entry_id=uuid7(),
            debit_id=charged["debit_id"],
            reason="väärä perhe",
        )

    verdicts = await asyncio.gather(*(undo(f"undo {number}") for number in range(8)))

    assert sorted(verdict.outcome for verdict in verdicts) == ["already_reversed"] * 7 + ["ok"]
    async with pool.acquire() as conn:
        values = await voucher.values(conn)
    assert (values["available"], values["debited"], values["entries"]) == (720, 0, 0)


async def test_nobody_reverses_anothers_debit(pool: Pool, world: World, db: Connection) -> None:
    voucher = await voucher_of(pool, world, granted=720)
    charged = json.loads((await one(pool, world.order(voucher, 120))).answer)

    verdict = await operations.reverse(
        pool,
        world.claim("k", provider_id=world.stranger_id),
        credential_id=uuid7(),
        entry_id=uuid7(),
        debit_id=charged["debit_id"],
    )

    assert verdict.outcome == "debit_not_found"


async def test_validate_tells_what_is_left_and_by_which_rule_a_debit_would_fail(pool: Pool, world: World) -> None:
    voucher = await voucher_of(pool, world, granted=60)

    async def ask(amount: int | None):
        return await operations.validate(pool, replace(world.order(voucher, 15), amount=amount))

    assert (await ask(None))["refusal"] is None
    assert (await ask(60))["refusal"] is None
    assert (await ask(75))["refusal"] == "insufficient_value"
    async with pool.acquire() as conn:
        assert (await voucher.values(conn))["available"] == 60


async def test_when_a_group_is_taken_apart_one_orders_trouble_is_not_the_others(
    pool: Pool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, unlucky = await voucher_of(pool, world, granted=720), await voucher_of(pool, world, granted=720)
    orders = [world.order(good, 15), world.order(unlucky, 15)]
    really = queries.debit_many

    async def with_trouble(conn: Connection, group: list[ChargeOrder], **rest):
        if len(group) > 1:
            raise RequestInFlight
        if group[0] is orders[1]:
            raise OutcomeUnknown
        return await really(conn, group, **rest)

    monkeypatch.setattr(queries, "debit_many", with_trouble)
    results = await charge(pool, orders)

    assert isinstance(results[0], Verdict)
    assert results[0].is_success
    assert isinstance(results[1], OutcomeUnknown)


@pytest.mark.parametrize(
    ("state", "column"),
    [("issued", "available"), ("suspended", "available"), ("expired", "available"), ("closed", "expired")],
)
async def test_a_reversal_gives_the_value_back_to_where_it_can_be_used(
    pool: Pool, world: World, state: str, column: str
) -> None:
    voucher = await voucher_of(pool, world, granted=720)
    charged = json.loads((await one(pool, world.order(voucher, 120))).answer)
    for cancelled, expected in ((False, column), (True, "cancelled" if column == "expired" else column)):
        async with transaction(pool) as conn:
            await conn.execute(
                "UPDATE vouchers SET state = $1, cancelled_from = $2", state, charged_day() if cancelled else None
            )
            before = await voucher.values(conn)
        async with transaction(pool) as conn:
            attempt = conn.transaction()
            await attempt.start()
            row = await queries.reverse(
                conn,
                world.claim(f"undo {cancelled}"),
                credential_id=world.credential_id,
                entry_id=uuid7(),
                debit_id=charged["debit_id"],
            )
            after = await voucher.values(conn)
            await attempt.rollback()
        assert row["outcome"] == "ok"
        assert {name for name in after if after[name] != before[name]} == {"debited", "entries", expected}
        assert after[expected] == before[expected] + 120


def charged_day() -> date:
    return date(2026, 1, 1)


async def test_cancelling_and_suspending_race_debits_and_the_money_still_adds_up(pool: Pool, world: World) -> None:
    for _ in range(3):
        await race_a_caseworker(pool, world)


async def race_a_caseworker(pool: Pool, world: World) -> None:
    voucher = await voucher_of(pool, world, granted=720)

    async def change(statement: str) -> None:
        async with transaction(pool) as conn:
            await conn.execute(statement, voucher.voucher_id)

    suspend = "UPDATE vouchers SET state = 'suspended' WHERE voucher_id = $1"
    resume = "UPDATE vouchers SET state = 'issued' WHERE voucher_id = $1"
    cancel = "UPDATE vouchers SET state = 'cancelled', cancelled_from = helsinki_today() WHERE voucher_id = $1"
    verdicts = await asyncio.gather(
        *(one(pool, world.order(voucher, 15)) for _ in range(20)),
        *(change(statement) for statement in (suspend, resume, cancel)),
    )

    outcomes = {verdict.outcome for verdict in verdicts if verdict is not None}
    assert outcomes <= {"ok", "voucher_suspended", "voucher_cancelled"}
    charged = 15 * sum(verdict.is_success for verdict in verdicts if verdict is not None)
    async with pool.acquire() as conn:
        values = await voucher.values(conn)
    assert values["debited"] == values["entries"] == charged
    await change(cancel)
    assert (await one(pool, world.order(voucher, 15))).outcome == "voucher_cancelled"
