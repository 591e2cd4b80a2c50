from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from service.channels import operations
from service.channels.gateway import Action, Image, Refused
from service.channels.model import DEADLINE_S
from service.channels.operations.delivery import Round
from service.db import Pool, open_pool, transaction
from service.errors import DatabaseUnavailable
from service.workers import dispatcher as module
from service.workers.dispatcher import Dispatcher
from service.workers.retry import BackOff
from tests.channels.post_office import KEYS, Office, Times, taken_silently


@pytest.fixture
def office(pool: Pool) -> Office:
    return Office(pool)


@asynccontextmanager
async def delivering(
    office: Office, *, rounds: Sequence[Round] = (), schedules: Sequence[Round] = ()
) -> AsyncIterator[Dispatcher]:
    """A dispatcher at work, stopped gracefully at the end."""
    stop, dispatcher = asyncio.Event(), Dispatcher(replace(office.delivery, rounds=rounds, schedules=schedules))
    running = asyncio.create_task(dispatcher.run(stop))
    try:
        yield dispatcher
    finally:
        stop.set()
        await asyncio.wait_for(running, 15)


async def until(holds: Callable[[], Awaitable[bool]], *, within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.01)


def count(office: Office, state: str, wanted: int) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        found = await office.pool.fetchval("SELECT count(*) FROM messages WHERE state = $1", state)
        return bool(found == wanted)

    return holds


async def test_what_is_queued_is_delivered_without_any_wake_up(office: Office) -> None:
    await office.queue()
    async with delivering(office):
        await until(count(office, "accepted", 1))
        await office.queue()
        await until(count(office, "accepted", 2))


async def test_a_wake_up_makes_it_look_at_once(office: Office) -> None:
    office.times = replace(office.times, poll_interval_s=30)
    async with delivering(office) as dispatcher:
        await asyncio.sleep(0.2)
        await office.queue()
        dispatcher.wake()
        await until(count(office, "accepted", 1), within_s=1)


async def test_two_dispatchers_send_each_message_once(office: Office) -> None:
    async with transaction(office.pool) as conn:
        await operations.queue_messages(conn, KEYS, [office.message() for _ in range(500)])
    office.sms.delay_s = 0.01
    async with delivering(office), delivering(office):
        await until(count(office, "accepted", 500))
    assert office.sms.calls == 500
    assert len({text.outgoing.attempt_address for text in office.sms.texts}) == 500


async def test_it_never_has_more_calls_out_than_slots(office: Office) -> None:
    office.times = replace(office.times, concurrent_sends=7)
    office.sms.delay_s = 0.02
    most = 0
    async with transaction(office.pool) as conn:
        await operations.queue_messages(conn, KEYS, [office.message() for _ in range(50)])
    async with delivering(office) as dispatcher:
        while not await count(office, "accepted", 50)():
            most = max(most, dispatcher.in_flight)
            await asyncio.sleep(0.005)
    assert most == 7


async def test_a_mail_server_that_hangs_delays_no_text(office: Office) -> None:
    office.times = replace(office.times, gateway_timeout_s=20, concurrent_mails=3, concurrent_sends=3)
    office.email.delay_s = 20
    for _ in range(50):
        await office.queue(phone=None, email="maija@perhe.fi")
    stop, dispatcher = asyncio.Event(), Dispatcher(office.delivery)
    running = asyncio.create_task(dispatcher.run(stop))
    try:
        while office.email.calls < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for _ in range(10):
            await office.queue()
        dispatcher.wake()
        await until(count(office, "accepted", 10), within_s=3)
        assert office.email.calls == 3
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_rate_is_used_to_the_full_and_not_exceeded(office: Office) -> None:
    office.times = replace(office.times, sms_per_second=50, poll_interval_s=1)
    async with transaction(office.pool) as conn:
        await operations.queue_messages(conn, KEYS, [office.message() for _ in range(150)])
    async with delivering(office), delivering(office):
        began = time.monotonic()
        await until(count(office, "accepted", 150), within_s=30)
        # 50 at once, and 50 a second; a busy machine may be late by a while, never early.
        assert 1.95 < time.monotonic() - began < 6


async def test_what_may_not_be_sent_does_not_make_it_wait_for_the_rest(office: Office) -> None:
    stopped = "+358409999999"
    async with transaction(office.pool) as conn:
        await operations.suppress(conn, KEYS, channel="sms", contact=stopped, reason="opted_out")
        phones = [stopped if number % 100 == 0 else "+358401234567" for number in range(400)]
        await operations.queue_messages(conn, KEYS, [office.message(phone=phone) for phone in phones])
    office.times = replace(office.times, poll_interval_s=30)
    async with delivering(office):
        await until(count(office, "accepted", 396), within_s=10)


async def test_a_throttled_message_is_sent_again_by_itself(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "retry_in_s", lambda *_args, **_options: 0.05)
    office.sms.script = [Refused("20429", Action.RETRY)] * 2
    await office.queue()
    async with delivering(office):
        await until(count(office, "accepted", 1))
    assert office.sms.calls == 3


async def test_a_bad_number_goes_to_the_mail_within_moments(office: Office) -> None:
    office.times = replace(office.times, poll_interval_s=30)
    office.sms.always = Refused("21614", Action.BAD_CONTACT)
    async with delivering(office) as dispatcher:
        await asyncio.sleep(0.1)
        await office.queue(email="maija@perhe.fi")
        dispatcher.wake()
        await until(count(office, "sent", 1), within_s=2)
    assert len(office.email.texts) == 1


async def test_an_unknown_outcome_is_looked_up_and_not_sent_again(office: Office) -> None:
    office.times = replace(office.times, unknown_wait_s=0.1, lookup_interval_s=0.1)
    office.sms.script = [taken_silently]
    await office.queue()
    async with delivering(office):
        await until(count(office, "accepted", 1))
        await asyncio.sleep(0.5)
    assert len(office.sms.texts) == 1


async def test_a_paused_gateway_resumes_by_itself(office: Office) -> None:
    office.sms.script = [Refused("20003", Action.PAUSE_GATEWAY)]
    await office.queue()

    async def is_paused() -> bool:
        return bool(await office.pool.fetchval("SELECT count(*) FROM gateway_pauses"))

    async with delivering(office):
        await until(is_paused)
        await office.queue()
        await asyncio.sleep(0.3)
        assert office.sms.calls == 1
        await office.pass_time(61)
        await until(count(office, "accepted", 2))
    assert await office.pool.fetchval("SELECT count(*) FROM gateway_pauses") == 0


async def test_stopping_finishes_what_is_in_flight_and_claims_no_more(office: Office) -> None:
    office.sms.delay_s = 0.5
    office.times = replace(office.times, concurrent_sends=1)
    await office.queue()
    await office.queue()
    async with delivering(office) as dispatcher:
        while not dispatcher.in_flight:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert office.sms.calls == 1
    assert await count(office, "accepted", 1)()
    assert await count(office, "pending", 1)()


async def test_a_message_that_was_held_past_its_lease_is_not_handed_over(office: Office) -> None:
    message_id = await office.queue()
    dispatcher = Dispatcher(office.delivery)
    [sending] = await operations.claim_due(office.delivery, limit=1)
    await dispatcher._send(sending, latest_start=0.0)
    assert office.sms.calls == 0
    [attempt] = await office.attempts(message_id)
    assert (attempt["outcome"], attempt["error_code"]) == ("refused", "lease_spent")


async def test_a_reference_outlives_a_database_that_is_away_when_the_gateway_accepts(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [DatabaseUnavailable(), asyncpg.DeadlockDetectedError(), OSError()]
    record = operations.record_answers

    async def flaky(delivery: operations.Delivery, answers: list[operations.Answered]) -> list[bool]:
        if failures:
            raise failures.pop()
        return await record(delivery, answers)

    monkeypatch.setattr(operations, "record_answers", flaky)
    message_id = await office.queue()
    async with delivering(office):
        await until(count(office, "accepted", 1))
    assert failures == []
    assert (await office.attempts(message_id))[0]["reference"] == office.sms.texts[0].reference


async def test_a_mail_does_not_come_again_because_the_database_was_away_for_long(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can ask a mail server what it took: only this process knows, however long it takes to write it down."""
    record, clock = operations.record_answers, asyncio.get_running_loop().time
    back_at = clock() + 2

    async def away(delivery: operations.Delivery, answers: list[operations.Answered]) -> list[bool]:
        if clock() < back_at:
            raise DatabaseUnavailable
        return await record(delivery, answers)

    monkeypatch.setattr(operations, "record_answers", away)
    monkeypatch.setattr(module, "GATEWAY_GRACE_S", 0.1)
    office.times = replace(office.times, gateway_timeout_s=0.1, lease_s=0.5, unknown_wait_s=0.1)
    await office.queue(phone=None, email="maija@perhe.fi")
    async with delivering(office):
        await until(count(office, "sent", 1))
    assert len(office.email.texts) == 1


async def test_delivery_goes_on_by_itself_when_the_database_is_back(office: Office, database_url: str) -> None:
    await office.queue()
    worker_pool = await open_pool(database_url, size=4, application_name="worker-under-test")
    here = replace(office, pool=worker_pool)
    async with delivering(here):
        await until(count(office, "accepted", 1))
        for _ in range(3):
            await office.pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'worker-under-test'"
            )
            await office.queue()
            await asyncio.sleep(0.05)
        await until(count(office, "accepted", 4))
    await worker_pool.close()
    assert len(office.sms.texts) == 4


async def test_an_answer_that_the_database_cannot_hold_does_not_take_the_others_with_it(office: Office) -> None:
    for _ in range(2):
        await office.queue()
    office.sms.script = [Refused("nul\0", Action.RETRY)]
    async with delivering(office):
        await until(count(office, "accepted", 1))
    rows = await office.pool.fetch("SELECT state FROM messages ORDER BY state")
    assert [row["state"] for row in rows] == ["accepted", "sending"], "the lease will tell"


async def test_pictures_are_drawn_from_all_fields_once_the_mail_goes_out(office: Office) -> None:
    await office.queue(phone=None, email="maija@perhe.fi")
    delivery = replace(
        office.delivery, images={"voucher": lambda fields: (Image("qr", "image/png", fields["code_digits"].encode()),)}
    )
    stop = asyncio.Event()
    running = asyncio.create_task(Dispatcher(delivery).run(stop))
    await until(count(office, "sent", 1))
    stop.set()
    await running
    content = office.email.texts[0].outgoing.content
    assert [image.data for image in content.images] == [b"482703159268"]  # type: ignore[union-attr]


async def test_repair_queues_what_had_no_message_and_wakes_the_dispatcher(office: Office) -> None:
    missing = 1

    async def repair() -> int:
        nonlocal missing
        found, missing = missing, 0
        if found:
            await office.queue()
        return found

    dispatcher = Dispatcher(replace(office.delivery, repairs=(repair,)))
    await dispatcher.repair()
    await dispatcher.repair()
    assert await count(office, "pending", 1)()


async def test_a_step_that_fails_neither_ends_the_loop_nor_holds_up_the_steps_beside_it(office: Office) -> None:
    async def broken() -> int:
        raise RuntimeError

    dispatcher = Dispatcher(replace(office.delivery, repairs=(broken,)))
    stop = asyncio.Event()
    running = asyncio.create_task(dispatcher.run(stop))
    await asyncio.sleep(0.05)
    dispatcher.look_for_repairs()
    await office.queue()
    await until(count(office, "accepted", 1))
    stop.set()
    await running


def test_back_off_grows_to_its_limit_and_starts_anew() -> None:
    back_off = BackOff(lambda: 1.0, first_s=0.1, longest_s=1.0)
    assert [round(back_off.next_s(), 2) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    back_off.reset()
    assert back_off.next_s() == pytest.approx(0.1)


def test_the_lease_is_long_enough_for_a_call_and_a_wait_for_the_database() -> None:
    times = Times()
    assert times.lease_s > times.gateway_timeout_s + module.GATEWAY_GRACE_S
    assert min(DEADLINE_S.values()) > times.unknown_wait_s + 2 * times.lookup_interval_s


async def test_families_are_told_by_the_workers_own_clock_until_nothing_is_left(office: Office) -> None:
    left, calls = [3, 2], 0

    async def round_() -> int:
        nonlocal calls
        calls += 1
        return left.pop() if left else 0

    async with delivering(office, rounds=(round_,)) as dispatcher:

        async def is_done() -> bool:
            return calls == 3

        await until(is_done)
        await asyncio.sleep(0.2)
        assert calls == 3, "and then not before the time"
        dispatcher.tell_families()
        calls = 2
        await until(is_done)


async def test_a_round_that_hangs_or_fails_stops_no_other(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_S", 0.2)  # the one that hangs is not waited for
    told = asyncio.Event()

    async def hangs() -> int:
        await asyncio.Event().wait()
        return 0

    async def fails() -> int:
        raise DatabaseUnavailable

    async def tells() -> int:
        told.set()
        return 0

    async with delivering(office, rounds=(hangs, fails, tells)):
        async with asyncio.timeout(5):
            await told.wait()


async def test_trouble_with_families_does_not_hold_up_deliveries_and_is_tried_again(office: Office) -> None:
    calls = 0

    async def round_() -> int:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise DatabaseUnavailable
        return 0

    await office.queue()
    async with delivering(office, rounds=(round_,)):
        await until(count(office, "accepted", 1))

        async def is_done() -> bool:
            return calls == 3

        await until(is_done)


async def test_schedules_run_by_their_own_clock_when_nobody_calls_and_at_once_when_somebody_does(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SCHEDULES_S", 0.2)
    calls, families = 0, 0

    async def schedule() -> int:
        nonlocal calls
        calls += 1
        return 1 if calls < 3 else 0

    async def round_() -> int:
        nonlocal families
        families += 1
        return 0

    async with delivering(office, rounds=(round_,), schedules=(schedule,)):

        async def is_repeated() -> bool:
            return calls >= 6

        await until(is_repeated)
        assert families == 1, "these have a clock of their own"
    monkeypatch.setattr(module, "SCHEDULES_S", 600.0)
    calls = 2
    async with delivering(office, schedules=(schedule,)) as dispatcher:

        async def is_called() -> bool:
            return calls >= 4

        await asyncio.sleep(0.3)
        assert calls == 3
        dispatcher.keep_schedules()
        await until(is_called)


async def test_tidying_is_done_with_every_repair(office: Office) -> None:
    calls = 0

    async def tidy() -> int:
        nonlocal calls
        calls += 1
        return 7

    dispatcher = Dispatcher(replace(office.delivery, tidying=(tidy,)))
    await dispatcher.repair()
    assert calls == 1
