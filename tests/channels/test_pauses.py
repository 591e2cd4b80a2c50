"""Pauses: one bad recipient cannot keep them up, a person's last, and everyone can see them."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from service import metrics
from service.channels.gateway import Action, Refused
from service.channels.operations import (
    Answered,
    channel_statuses,
    claim_due,
    claim_probes,
    claim_silent,
    decide_failures,
    delivery_health,
    fail_held,
    list_pauses,
    look_up,
    pause,
    record_answers,
    resume,
    show_health,
    suppress,
)
from service.crypto import Keys
from service.db import Pool
from service.workers.retry import retry_in_s
from tests.channels import post_office
from tests.channels.post_office import Office, taken_silently

BAD = "+358409999999"
LONG = (pytest.mark.slow, pytest.mark.long)


@pytest.fixture
def office(pool: Pool) -> Office:
    return Office(pool)


async def round_of_work(office: Office) -> None:
    """What a worker does in a moment."""
    for sending in await claim_due(office.delivery, limit=100) + await claim_probes(office.delivery):
        answer = await office.delivery.gateways[sending.channel].send(sending.outgoing)
        await record_answers(office.delivery, [Answered(sending, answer)])
    await decide_failures(
        office.delivery, lambda channel, action, tries: retry_in_s(channel, action, tries=tries, chance=0)
    )


async def is_paused(office: Office) -> bool:
    return bool(await office.pool.fetchval("SELECT count(*) FROM gateway_pauses"))


# One bad recipient


@pytest.mark.parametrize(
    ("code", "others"),
    [("21408", 20), *(pytest.param(code, 60, marks=LONG) for code in ("21408", "21612", "21212"))],
)
async def test_one_recipient_that_cannot_be_reached_holds_up_the_others_for_seconds_only(
    office: Office, code: str, others: int
) -> None:
    office.sms.refused[BAD] = Refused(code, Action.PAUSE_GATEWAY)
    bad = await office.queue(phone=BAD)
    waited = paused = 0
    for _ in range(others):
        await office.queue()
        for _ in range(6):
            await round_of_work(office)
            paused += await office.pool.fetchval("SELECT count(*) FROM gateway_pauses WHERE paused_until > now()")
            waited += await office.pool.fetchval("SELECT count(*) FROM messages WHERE fence = 0")
            await office.pass_time(10)
    assert await office.state(bad) == ("escalated", "not_routable")
    assert len(office.sms.texts) == others
    assert paused <= 3, "of six looks for each of the others"
    assert waited <= 3


async def test_a_bad_recipient_alone_is_given_up_after_its_second_pause_and_leaves_the_gateway_open(
    office: Office,
) -> None:
    office.sms.refused[BAD] = Refused("21612", Action.PAUSE_GATEWAY)
    bad = await office.queue(phone=BAD, email="maija@perhe.fi")
    for _ in range(40):
        await round_of_work(office)
        await office.pass_time(10)
    assert await office.state(bad) == ("failed", "not_routable")
    assert len(office.email.texts) == 1, "the other channel"
    later = await office.queue()
    await round_of_work(office)
    assert (await office.state(later))[0] == "accepted"
    assert not await is_paused(office)


async def test_a_probe_is_rather_a_message_that_was_not_refused_before(office: Office) -> None:
    office.sms.refused[BAD] = Refused("21612", Action.PAUSE_GATEWAY)
    await office.queue(phone=BAD)
    await round_of_work(office)
    await office.pass_time(120)
    good = await office.queue()
    await office.pool.execute("UPDATE messages SET priority = 9 WHERE message_id = $1", good)
    [probe] = await claim_probes(office.delivery)
    assert probe.message_id == good


async def test_a_probe_is_a_message_that_may_be_sent(office: Office) -> None:
    stopped = [await office.queue(phone=BAD) for _ in range(3)]
    good = await office.queue()
    async with office.pool.acquire() as conn:
        await suppress(conn, post_office.KEYS, channel="sms", contact=BAD, reason="opted_out")
        await pause(conn, gateway="post-sms", reason="20003", actor="command line:anna")
    await office.pool.execute("UPDATE gateway_pauses SET paused_until = now(), paused_by = NULL")
    assert [probe.message_id for probe in await claim_probes(office.delivery)] == [good]
    assert {await office.state(message_id) for message_id in stopped} == {("failed", "suppressed_contact")}


async def test_a_probe_that_nothing_came_of_is_not_waited_for(office: Office) -> None:
    await office.queue(phone=BAD)
    async with office.pool.acquire() as conn:
        await suppress(conn, post_office.KEYS, channel="sms", contact=BAD, reason="opted_out")
        await pause(conn, gateway="post-sms", reason="20003", actor="command line:anna")
    await office.pool.execute("UPDATE gateway_pauses SET paused_until = now(), paused_by = NULL")
    assert await claim_probes(office.delivery) == []
    good = await office.queue()
    assert [probe.message_id for probe in await claim_probes(office.delivery)] == [good]


async def test_one_worker_at_a_time_probes_a_gateway(office: Office) -> None:
    for _ in range(8):
        await office.queue()
    async with office.pool.acquire() as conn:
        await pause(conn, gateway="post-sms", reason="20003", actor="command line:anna")
    await office.pool.execute("UPDATE gateway_pauses SET paused_until = now(), paused_by = NULL")
    probes = await asyncio.gather(*(claim_probes(office.delivery) for _ in range(6)))
    assert sum(map(len, probes)) == 1


async def test_a_fault_of_the_account_keeps_every_message_until_it_is_mended(office: Office) -> None:
    ids = [await office.queue() for _ in range(3)]
    office.sms.always = Refused("20003", Action.PAUSE_GATEWAY)
    for _ in range(200):
        await round_of_work(office)
        await office.pass_time(60)
    office.sms.always = None
    for _ in range(20):
        await round_of_work(office)
        await office.pass_time(60)
    assert [(await office.state(message_id))[0] for message_id in ids] == ["accepted"] * 3


# A person's


async def test_a_pause_by_hand_lasts_until_it_is_ended_by_hand(office: Office) -> None:
    message_id = await office.queue()
    async with office.pool.acquire() as conn:
        await pause(conn, gateway="post-sms", reason="new contract", actor="command line:anna")
        await pause(conn, gateway="post-sms", reason="new contract", actor="command line:anna")
    for _ in range(3):
        await office.pass_time(3600)
        await round_of_work(office)
    assert office.sms.calls == 0
    assert (await office.state(message_id))[0] == "pending"
    async with office.pool.acquire() as conn:
        [shown] = await list_pauses(conn)
        assert (shown.reason, shown.until, shown.paused_by) == ("new contract", None, "command line:anna")
        assert not shown.is_probing
        assert (await resume(conn, gateway="post-sms", extra_parts=5)).was_paused
        assert not (await resume(conn, gateway="post-sms", extra_parts=5)).was_paused
    await round_of_work(office)
    assert (await office.state(message_id))[0] == "accepted"


async def test_a_fault_met_meanwhile_does_not_shorten_a_pause_by_hand(office: Office) -> None:
    await office.queue()
    [sending] = await claim_due(office.delivery, limit=1)
    async with office.pool.acquire() as conn:
        await pause(conn, gateway="post-sms", reason="new contract", actor="command line:anna")
    await office.pool.execute("UPDATE gateway_pauses SET paused_at = paused_at - interval '1 hour'")
    await record_answers(office.delivery, [Answered(sending, Refused("20003", Action.PAUSE_GATEWAY))])
    await round_of_work(office)
    async with office.pool.acquire() as conn:
        [shown] = await list_pauses(conn)
    assert (shown.reason, shown.until) == ("new contract", None)


async def test_what_a_pause_by_hand_holds_past_its_deadline_goes_to_the_mail_and_pauses_nothing_anew(
    office: Office,
) -> None:
    held = await office.queue(email="maija@perhe.fi")
    async with office.pool.acquire() as conn:
        await pause(conn, gateway="post-sms", reason="new contract", actor="command line:anna")
    await office.pass_time(4 * 3600 + 1)
    assert await fail_held(office.delivery) == 1
    async with office.pool.acquire() as conn:
        await resume(conn, gateway="post-sms", extra_parts=0)
    for _ in range(2):
        await round_of_work(office)
    assert await office.state(held) == ("failed", "gateway_paused")
    assert len(office.email.texts) == 1
    assert not await is_paused(office)


async def test_what_waited_for_us_is_not_given_up_when_we_are_back_and_the_gateway_is_paused(office: Office) -> None:
    tried = await office.queue()
    office.sms.always = Refused("20003", Action.PAUSE_GATEWAY)
    await round_of_work(office)
    async with office.pool.acquire() as conn:
        await resume(conn, gateway="post-sms", extra_parts=0)
    untried = [await office.queue() for _ in range(3)]
    await office.pass_time(5 * 3600)
    async with office.pool.acquire() as conn:
        await pause(conn, gateway="post-sms", reason="20003", actor="command line:anna")
    assert await fail_held(office.delivery) == 1
    assert await office.state(tried) == ("failed", "gateway_paused")
    await office.pass_time(4 * 3600 - 10)
    assert await fail_held(office.delivery) == 0
    await office.pass_time(20)
    assert await fail_held(office.delivery) == 3
    assert {await office.state(message_id) for message_id in untried} == {("failed", "gateway_paused")}


async def test_a_pause_that_goes_on_does_not_begin_anew_for_what_it_holds(office: Office) -> None:
    await office.queue()
    office.sms.always = Refused("20003", Action.PAUSE_GATEWAY)
    await round_of_work(office)
    held = await office.queue(email="maija@perhe.fi")
    await office.pool.execute("UPDATE messages SET priority = 9 WHERE message_id = $1", held)
    for _ in range(26):
        await office.pass_time(600)
        await office.pool.execute("UPDATE messages SET pauses_caused = (message_id = $1)::int", held)
        await round_of_work(office)
        await fail_held(office.delivery)
    assert office.email.calls == 1


# Watching


async def test_the_metrics_say_which_gateways_are_paused(office: Office) -> None:
    async def shown() -> dict[str, float]:
        async with office.pool.acquire() as conn:
            show_health(await delivery_health(conn, office.times.quiet_hours), office.delivery.gateway_names.values())
        return {
            sample.labels["gateway"]: sample.value for sample in next(iter(metrics.gateway_paused.collect())).samples
        }

    assert await shown() == {"post-sms": 0, "post-email": 0}
    async with office.pool.acquire() as conn:
        await pause(conn, gateway="post-sms", reason="x", actor="command line:anna")
    assert await shown() == {"post-sms": 1, "post-email": 0}


async def test_the_status_of_the_channels_tells_what_waits_and_what_is_spent(office: Office) -> None:
    await office.queue()
    await round_of_work(office)
    await office.queue()
    async with office.pool.acquire() as conn:
        await pause(conn, gateway="post-sms", reason="x", actor="command line:anna")
        sms, email = await channel_statuses(conn, office.delivery)
    assert (sms.channel, sms.due, sms.parts, sms.budget) == ("sms", 1, 1, 0)
    assert sms.pause is not None
    assert (email.channel, email.due, email.pause) == ("email", 0, None)


async def test_a_code_that_no_table_knows_alerts_and_waits_for_a_person(office: Office) -> None:
    before = metrics.unclassified.labels("post-sms")._value.get()
    message_id = await office.queue(email="maija@perhe.fi")
    office.sms.script = [Refused("29999", Action.UNCLASSIFIED)]
    with capture_logs() as logs:
        await round_of_work(office)
    assert await office.state(message_id) == ("escalated", "unclassified")
    assert metrics.unclassified.labels("post-sms")._value.get() == before + 1
    [line] = [line for line in logs if line["event"] == "failure_decided"]
    assert (line["log_level"], line["error_code"]) == ("error", "29999")
    assert await office.pool.fetchval("SELECT count(*) FROM messages") == 1


async def test_a_receipt_with_a_code_that_no_table_knows_alerts_with_that_code(office: Office) -> None:
    message_id = await office.queue()
    await round_of_work(office)
    await office.report(office.sms.texts[0], "undelivered", "39999")
    with capture_logs() as logs:
        await round_of_work(office)
    assert await office.state(message_id) == ("escalated", "unclassified")
    assert ("error", "39999") in [(line["log_level"], line.get("error_code")) for line in logs]


# Keys


async def test_a_text_whose_digest_was_made_with_a_key_that_is_gone_is_never_sent_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = await office.queue()
    office.sms.script = [taken_silently]
    await round_of_work(office)
    rotated = Keys.from_keyrings(encryption=(("e1", b"e" * 32),), index=(("i2", b"j" * 32),))
    monkeypatch.setattr(post_office, "KEYS", rotated)
    for _ in range(60):
        await office.pass_time(300)
        for silent in await claim_silent(office.delivery, limit=10):
            await look_up(office.delivery, silent)
        await round_of_work(office)
    assert len(office.sms.texts) == 1
    assert await office.state(message_id) == ("escalated", "often_unknown")


async def test_a_text_whose_digest_was_made_with_the_key_before_is_found(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = await office.queue()
    office.sms.script = [taken_silently]
    await round_of_work(office)
    rotated = Keys.from_keyrings(encryption=(("e1", b"e" * 32),), index=(("i2", b"j" * 32), ("i1", b"i" * 32)))
    monkeypatch.setattr(post_office, "KEYS", rotated)
    await office.pass_time(121)
    for silent in await claim_silent(office.delivery, limit=10):
        await look_up(office.delivery, silent)
    assert (await office.state(message_id))[0] == "accepted"
