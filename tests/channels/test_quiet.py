"""At night families hear of nothing but vouchers and what they asked for, whatever way a message has come."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from service.channels.gateway import Absent, Action, Refused
from service.channels.model import ANSWER_PRIORITY, PATIENT_PRIORITY
from service.channels.operations import (
    Answered,
    Sending,
    channel_statuses,
    claim_due,
    claim_probes,
    claim_silent,
    decide_failures,
    delivery_health,
    look_up,
    pause,
    queue_message,
    record_answers,
)
from service.db import Pool, transaction
from service.quiet_hours import QuietHours
from tests.channels.post_office import KEYS, NONE, Office, taken_silently

MAIL = "maija@perhe.fi"


@pytest.fixture
def office(pool: Pool) -> Office:
    return Office(pool)


def fall_asleep(office: Office) -> None:
    hour = datetime.now(ZoneInfo("Europe/Helsinki")).hour
    office.times = replace(office.times, quiet_hours=QuietHours(hour, (hour + 2) % 24))


def wake_up(office: Office) -> None:
    office.times = replace(office.times, quiet_hours=NONE)


async def queue(office: Office, *, priority: int = PATIENT_PRIORITY, email: str | None = None) -> UUID:
    async with transaction(office.pool) as conn:
        return await queue_message(conn, KEYS, office.message(email=email)._replace(priority=priority))


async def claim(office: Office) -> list[Sending]:
    return await claim_due(office.delivery, limit=10)


async def send(office: Office) -> None:
    for sending in await claim(office):
        answer = await office.delivery.gateways[sending.channel].send(sending.outgoing)
        await record_answers(office.delivery, [Answered(sending, answer)])


async def test_what_may_wait_waits_and_what_may_not_goes(office: Office) -> None:
    fall_asleep(office)
    reminder = await queue(office)
    voucher, answer = await queue(office, priority=5), await queue(office, priority=ANSWER_PRIORITY)
    assert [sending.message_id for sending in await claim(office)] == [voucher, answer]
    wake_up(office)
    assert [sending.message_id for sending in await claim(office)] == [reminder]


async def test_what_goes_to_the_other_channel_waits_too(office: Office) -> None:
    await queue(office, email=MAIL)
    office.sms.script = [Refused("21614", Action.BAD_CONTACT)]
    await send(office)
    fall_asleep(office)
    assert await decide_failures(office.delivery, lambda *_: None) == (1, True)
    await send(office)
    assert office.email.calls == 0
    wake_up(office)
    await send(office)
    assert office.email.calls == 1


async def test_what_the_gateway_never_got_is_sent_again_in_the_morning(office: Office) -> None:
    message_id = await queue(office)
    office.sms.script = [taken_silently()]
    await send(office)
    fall_asleep(office)
    office.sms.look_up_answer = Absent()
    for _ in range(2):
        await office.pass_time(150)
        [silent] = await claim_silent(office.delivery, limit=1)
        await look_up(office.delivery, silent)
    assert await office.state(message_id) == ("pending", "resent")
    assert await claim(office) == []
    wake_up(office)
    assert len(await claim(office)) == 1


async def test_a_gateway_is_not_probed_with_what_may_wait(office: Office) -> None:
    reminder = await queue(office)
    async with office.pool.acquire() as conn:
        await pause(conn, gateway="post-sms", reason="x", actor="command line:anna")
    await office.pool.execute("UPDATE gateway_pauses SET paused_until = now(), paused_by = NULL")
    fall_asleep(office)
    assert await claim_probes(office.delivery) == []
    wake_up(office)
    assert [probe.message_id for probe in await claim_probes(office.delivery)] == [reminder]


async def test_what_waits_for_the_morning_is_not_late(office: Office) -> None:
    async def late() -> tuple[float, int]:
        async with office.pool.acquire() as conn:
            health = await delivery_health(conn, office.times.quiet_hours)
            sms, _email = await channel_statuses(conn, office.delivery)
        return health.queue_age_s, sms.due

    await queue(office)
    await office.pass_time(100)
    fall_asleep(office)
    assert await late() == (0, 0)
    wake_up(office)
    age_s, due = await late()
    assert age_s == pytest.approx(100, abs=10)
    assert due == 1
