"""Rates, budgets and caps, over the real counts in the database."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from service.channels.gateway import Outgoing, SmsContent
from service.channels.limits import Budget, is_served, over_cap
from service.channels.model import ANSWER_PRIORITY
from service.channels.operations import (
    Sending,
    claim_due,
    claim_probes,
    decide_failures,
    list_pauses,
    queue_message,
    resume,
)
from service.db import Pool, transaction
from service.vouchers.operations.bulk import BULK_PRIORITY
from tests.channels.post_office import KEYS, Office


@pytest.fixture
def office(pool: Pool) -> Office:
    return Office(pool)


async def queue(office: Office, *, kind: str = "voucher", priority: int = 5, **contacts: str) -> UUID:
    message = office.message(**contacts)._replace(priority=priority, subject_id=uuid4())
    async with transaction(office.pool) as conn:
        message_id = await queue_message(conn, KEYS, message)
        await conn.execute("UPDATE messages SET kind = $2 WHERE message_id = $1", message_id, kind)
    return message_id


async def claim(office: Office, limit: int = 100) -> list[Sending]:
    return await claim_due(office.delivery, limit=limit)


async def spent(office: Office) -> int:
    return int(await office.pool.fetchval("SELECT coalesce(sum(parts), 0) FROM gateway_spend"))


# Pure


@given(st.lists(st.sampled_from((b"a", b"b"))), st.integers(0, 5), st.integers(1, 5))
def test_no_number_gets_more_than_its_cap(numbers: list[bytes], before: int, cap: int) -> None:
    over = set(over_cap(numbers, {b"a": before}, cap=cap))
    let_through = [number for place, number in enumerate(numbers) if place not in over]
    assert let_through.count(b"a") == min(numbers.count(b"a"), max(cap - before, 0))
    assert let_through.count(b"b") == min(numbers.count(b"b"), cap)


def test_a_budget_alerts_before_it_is_spent_and_keeps_a_reserve() -> None:
    budget = Budget(100)
    assert budget.alert_at == 80
    assert [budget.is_spent(parts) for parts in (99, 100)] == [False, True]
    assert [budget.is_reserve_spent(parts) for parts in (119, 120)] == [False, True]


def test_only_mobiles_of_the_countries_on_the_list_are_served() -> None:
    assert is_served("+358401234567", ("FI",))
    assert not is_served("+46701234567", ("FI",))
    assert is_served("+46701234567", ("FI", "SE"))
    assert not is_served("+35891234567", ("FI",)), "a landline"


# Rate


async def test_a_rate_holds_over_all_workers(office: Office) -> None:
    for _ in range(60):
        await queue(office)
    office.times = replace(office.times, sms_per_second=10)
    began = time.monotonic()
    claims = await asyncio.gather(*(claim(office, 20) for _ in range(4)))
    assert 10 <= sum(map(len, claims)) <= 10 + 10 * (time.monotonic() - began)
    await office.pass_time(0.5)
    assert len(await claim(office)) in (5, 6)
    await office.pass_time(60)
    assert len(await claim(office)) in (10, 11), "what was not used for a minute is not saved up"


async def test_a_slow_rate_lets_one_through_at_a_time(office: Office) -> None:
    for _ in range(3):
        await queue(office)
    office.times = replace(office.times, sms_per_second=0.1)
    assert len(await claim(office)) == 1
    await office.pass_time(9)
    assert await claim(office) == []
    await office.pass_time(2)
    assert len(await claim(office)) == 1


async def test_under_a_rate_vouchers_go_before_reminders(office: Office) -> None:
    reminders = [await queue(office, priority=8) for _ in range(5)]
    vouchers = [await queue(office, priority=5) for _ in range(5)]
    office.times = replace(office.times, sms_per_second=5)
    assert sorted(sending.message_id for sending in await claim(office)) == sorted(vouchers)
    await office.pass_time(1)
    assert sorted(sending.message_id for sending in await claim(office)) == sorted(reminders)


async def test_who_waits_for_the_rate_keeps_no_message_from_the_others(office: Office) -> None:
    for _ in range(3):
        await queue(office)
    office.times = replace(office.times, sms_per_second=10)
    await claim(office, 1)
    async with transaction(office.pool) as conn:
        await conn.execute("SELECT FROM gateway_rates FOR UPDATE")
        waiting = asyncio.create_task(claim(office))
        while not await office.pool.fetchval(  # noqa: ASYNC110 - the database tells nobody
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ):
            await asyncio.sleep(0.01)
        free = await conn.fetch("SELECT FROM messages WHERE state = 'pending' FOR UPDATE SKIP LOCKED")
        assert len(free) == 2
    assert len(await waiting) == 2


async def test_the_rate_of_texts_is_no_rate_of_mails(office: Office) -> None:
    for _ in range(5):
        await queue(office)
        await queue(office, phone=None, email="maija@perhe.fi")  # type: ignore[arg-type]
    office.times = replace(office.times, sms_per_second=1)
    claimed = [sending.channel for sending in await claim(office)]
    assert (claimed.count("sms"), claimed.count("email")) == (1, 5)


# Budget


async def test_every_part_that_is_handed_over_is_counted_and_mails_are_not(office: Office) -> None:
    await queue(office)
    await queue(office, phone=None, email="maija@perhe.fi")  # type: ignore[arg-type]
    sendings = await claim(office)
    assert {sending.channel for sending in sendings} == {"sms", "email"}
    assert await spent(office) == 1


async def test_someone_is_told_once_when_most_of_the_budget_is_spent(office: Office) -> None:
    office.times = replace(office.times, sms_parts_per_day=10)
    told = []
    for _ in range(9):
        await queue(office)
        with capture_logs() as logs:
            await claim(office)
        told.append([line["event"] for line in logs if line["log_level"] == "error"])
    assert told == [[]] * 7 + [["budget_nearly_spent"], []]


async def test_a_spent_budget_stops_reminders_and_its_reserve_goes_to_vouchers(office: Office) -> None:
    office.times = replace(office.times, sms_parts_per_day=5)
    for _ in range(5):
        await queue(office)
    assert len(await claim(office)) == 5
    reminder = await queue(office, priority=8)
    answer = await queue(office, priority=ANSWER_PRIORITY)
    voucher = await queue(office, priority=BULK_PRIORITY)
    assert [sending.message_id for sending in await claim(office)] == [voucher]
    await office.pass_time(60)
    async with office.pool.acquire() as conn:
        [held] = await list_pauses(conn)
        assert held.reason == "budget"
        midnight = await conn.fetchval("SELECT $1::timestamptz AT TIME ZONE 'Europe/Helsinki'", held.until)
    await queue(office)
    assert await claim(office) == []
    assert await claim_probes(office.delivery) == []
    assert (await office.state(reminder))[0] == (await office.state(answer))[0] == "pending"
    assert midnight is not None


async def test_a_pause_for_the_budget_ends_at_midnight_in_helsinki(office: Office) -> None:
    office.times = replace(office.times, sms_parts_per_day=1)
    for _ in range(2):
        await queue(office)
    await claim(office)
    row = await office.pool.fetchrow(
        "SELECT (paused_until AT TIME ZONE 'Europe/Helsinki')::time::text AS clock,"
        "       (paused_until AT TIME ZONE 'Europe/Helsinki')::date"
        "       - (now() AT TIME ZONE 'Europe/Helsinki')::date AS days"
        "  FROM gateway_pauses"
    )
    assert row is not None
    assert (row["clock"], row["days"]) == ("00:00:00", 1)


async def test_a_person_can_allow_more_for_today(office: Office) -> None:
    office.times = replace(office.times, sms_parts_per_day=1)
    await queue(office)
    await queue(office)
    assert len(await claim(office)) == 2
    await queue(office)
    assert await claim(office) == []
    async with transaction(office.pool) as conn:
        resumed = await resume(conn, gateway="post-sms", extra_parts=9)
    assert (resumed.was_paused, resumed.extra_parts) == (True, 9)
    assert len(await claim(office)) == 1
    async with office.pool.acquire() as conn:
        assert await list_pauses(conn) == ()


# Numbers


async def test_beyond_its_cap_a_number_gets_nothing_but_vouchers_of_its_own(office: Office) -> None:
    office.times = replace(office.times, texts_per_number_per_day=3)
    subject = uuid4()
    ids = []
    for _ in range(5):
        message_id = await queue(office)
        await office.pool.execute("UPDATE messages SET subject_id = $2 WHERE message_id = $1", message_id, subject)
        ids.append(message_id)
    new_voucher = await queue(office)
    other_number = await queue(office, phone="+358407654321")
    claimed = {sending.message_id for sending in await claim(office)}
    assert claimed == {*ids[:3], new_voucher, other_number}
    assert [await office.state(message_id) for message_id in ids[3:]] == [("failed", "number_cap")] * 2
    await decide_failures(office.delivery, lambda *_: None)
    assert [await office.state(message_id) for message_id in ids[3:]] == [("escalated", "number_cap")] * 2


async def test_what_is_one_text_too_many_goes_by_mail_where_there_is_one(office: Office) -> None:
    office.times = replace(office.times, texts_per_number_per_day=1)
    subject = uuid4()
    for _ in range(2):
        last = await queue(office, email="maija@perhe.fi")
        await office.pool.execute("UPDATE messages SET subject_id = $2 WHERE message_id = $1", last, subject)
    assert len(await claim(office)) == 1
    await decide_failures(office.delivery, lambda *_: None)
    assert await office.state(last) == ("failed", "number_cap")
    assert [sending.channel for sending in await claim(office)] == ["email"]


async def test_the_cap_counts_what_was_sent_within_a_day(office: Office) -> None:
    office.times = replace(office.times, texts_per_number_per_day=2)
    subject = uuid4()

    async def again() -> int:
        message_id = await queue(office)
        await office.pool.execute("UPDATE messages SET subject_id = $2 WHERE message_id = $1", message_id, subject)
        return len(await claim(office))

    assert [await again() for _ in range(3)] == [1, 1, 0]
    await office.pass_time(86_400)
    assert await again() == 1


async def test_a_retry_is_no_text_more(office: Office) -> None:
    office.times = replace(office.times, texts_per_number_per_day=1)
    message_id = await queue(office)
    await claim(office)
    await office.pool.execute("UPDATE messages SET state = 'pending', due_at = now()")
    assert [sending.message_id for sending in await claim(office)] == [message_id]


# Countries


async def test_a_number_of_a_country_that_is_not_served_any_more_goes_to_the_mail(office: Office) -> None:
    message_id = await queue(office, phone="+46701234567", email="maija@perhe.fi")
    assert await claim(office) == []
    assert await office.state(message_id) == ("failed", "country_not_served")
    await decide_failures(office.delivery, lambda *_: None)
    assert [sending.channel for sending in await claim(office)] == ["email"]
    assert office.sms.calls == 0
    assert await office.attempts(message_id) == []


async def test_a_number_of_a_country_on_the_list_is_sent_to(office: Office) -> None:
    office.times = replace(office.times, sms_countries=("FI", "SE"))
    await queue(office, phone="+46701234567")
    [sending] = await claim(office)
    assert isinstance(sending.outgoing, Outgoing)
    assert isinstance(sending.outgoing.content, SmsContent)
