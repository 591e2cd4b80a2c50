from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from service.channels.gateway import Action, Refused
from service.channels.model import Contacts
from service.channels.operations import (
    Answered,
    Sending,
    Suppressed,
    claim_due,
    decide_failures,
    lift,
    queue_message,
    record_answers,
    rotate_suppressions,
    standing,
    suppress,
    suppress_all,
    timeline,
)
from service.channels.suppressions import SuppressionReason, suppression_after
from service.crypto import Keys
from service.db import Pool, transaction
from service.workers.retry import retry_in_s
from tests.channels.post_office import KEYS, Office
from tests.channels.smtp_server import smtp_server
from tests.channels.test_smtp import outgoing, smtp_gateway

PHONE, MAIL = "+358401234567", "maija@perhe.fi"
OLD = ("i1", b"i" * 32), ("e1", b"e" * 32)
ROTATING = Keys.from_keyrings(encryption=(("e2", b"E" * 32), OLD[1]), index=(("i2", b"I" * 32), OLD[0]))
ROTATED = Keys.from_keyrings(encryption=(("e2", b"E" * 32),), index=(("i2", b"I" * 32),))


@pytest.fixture
def office(pool: Pool) -> Office:
    return Office(pool)


async def send_all(office: Office) -> list[Sending]:
    claimed = await claim_due(office.delivery, limit=100)
    for sending in claimed:
        answer = await office.delivery.gateways[sending.channel].send(sending.outgoing)
        await record_answers(office.delivery, [Answered(sending, answer)])
    return claimed


async def decide(office: Office) -> None:
    await decide_failures(
        office.delivery, lambda channel, action, tries: retry_in_s(channel, action, tries=tries, chance=0)
    )


async def stop(office: Office, *, keys: Keys = KEYS, contact: str = PHONE, reason: str = "opted_out") -> None:
    async with transaction(office.pool) as conn:
        await suppress(conn, keys, channel="email" if "@" in contact else "sms", contact=contact, reason=reason)


async def start(office: Office, *, keys: Keys = KEYS, only: SuppressionReason | None = None) -> bool:
    async with transaction(office.pool) as conn:
        return await lift(conn, keys, channel="sms", contact=PHONE, lifted_by="test", reason=None, only=only)


async def stands(office: Office, *, keys: Keys = KEYS, contact: str = PHONE) -> str | None:
    async with transaction(office.pool) as conn:
        found = await standing(conn, keys, [("email" if "@" in contact else "sms", contact)])
    return next((suppression.reason.value for suppression in found.values()), None)


async def fallback_of(office: Office, message_id: UUID) -> tuple[str, str, str | None] | None:
    row = await office.pool.fetchrow("SELECT channel, state, reason FROM messages WHERE fallback_of = $1", message_id)
    return None if row is None else tuple(row)


# What goes on the list


@pytest.mark.parametrize(
    ("channel", "failure", "code", "reason"),
    [
        ("sms", Action.OPTED_OUT, "21610", "opted_out"),
        ("sms", Action.BAD_CONTACT, "21614", "bad_contact"),
        ("sms", Action.RETRY_THEN_OTHER_CHANNEL, "30003", None),
        ("sms", Action.FILTERED, "30007", None),
        ("sms", "suppressed_contact", None, None),
        ("email", Action.BAD_CONTACT, "5.1.1", "hard_bounce"),
        ("email", Action.BAD_CONTACT, "550 5.1.1", "hard_bounce"),
        ("email", Action.BAD_CONTACT, "550 5.2.0", "hard_bounce"),
        ("email", Action.BAD_CONTACT, "550 5.4.1", "hard_bounce"),
        ("email", Action.BAD_CONTACT, "552 5.2.2", None),
        ("email", Action.BAD_CONTACT, "550", None),
        ("email", Action.BAD_CONTACT, "address_unusable", None),
        ("email", Action.FILTERED, "550 5.7.1", None),
        ("email", Action.BAD_CONTACT, None, None),
    ],
)
def test_only_what_lasts_puts_a_contact_on_the_list(channel: Any, failure: str, code: str | None, reason: str) -> None:
    assert suppression_after(channel, failure, code) == reason


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(Refused("21610", Action.OPTED_OUT), "opted_out"), (Refused("21211", Action.BAD_CONTACT), "bad_contact")],
)
async def test_a_refusal_suppresses_the_number_and_the_next_message_is_not_even_tried(
    office: Office, answer: Refused, reason: str
) -> None:
    office.sms.script = [answer]
    await office.queue()
    await send_all(office)
    await decide(office)
    assert await stands(office) == reason
    second = await office.queue()
    assert await office.state(second) == ("failed", "suppressed_contact")
    await decide(office)
    assert await office.state(second) == ("escalated", "suppressed_contact")
    assert (await office.row(second))["suppressed_for"] == reason
    assert office.sms.calls == 1


async def test_an_address_that_a_mail_server_refuses_for_good_is_suppressed(office: Office) -> None:
    """With the answer as the SMTP gateway really makes it."""
    async with smtp_server() as server, smtp_gateway(server.port) as gateway:
        server.replies["RCPT"] = "550 5.1.1 no such user"
        office.email.script = [await gateway.send(outgoing())]
    await office.queue(phone=None, email=MAIL)
    await send_all(office)
    await decide(office)
    assert await stands(office, contact=MAIL) == "hard_bounce"
    second = await office.queue(phone=None, email=MAIL)
    assert await office.state(second) == ("failed", "suppressed_contact")


async def test_a_receipt_that_says_opted_out_suppresses_the_number(office: Office) -> None:
    await office.queue(email=MAIL)
    await send_all(office)
    await office.report(office.sms.texts[0], "undelivered", "21610")
    await decide(office)
    assert await stands(office) == "opted_out"
    await send_all(office)
    assert len(office.email.texts) == 1


async def test_trouble_that_passes_suppresses_nobody(office: Office) -> None:
    office.sms.script = [Refused("30007", Action.FILTERED)]
    await office.queue()
    await send_all(office)
    await decide(office)
    assert await stands(office) is None


async def test_the_list_holds_no_contact_in_the_clear(office: Office) -> None:
    await stop(office)
    stored = await office.pool.fetchval("SELECT suppressions::text FROM suppressions")
    assert "401234567" not in stored
    assert b"401234567".hex() not in stored


async def test_a_wish_replaces_a_fault_and_no_fault_a_wish(office: Office) -> None:
    await stop(office, reason="bad_contact")
    await stop(office, reason="opted_out")
    assert await stands(office) == "opted_out"
    await stop(office, reason="bad_contact")
    assert await stands(office) == "opted_out"


async def test_two_workers_who_suppress_the_same_contacts_do_not_deadlock(office: Office) -> None:
    numbers = [f"+35840123{number:04}" for number in range(3000)]

    async def suppress_them(order: list[str]) -> None:
        async with transaction(office.pool) as conn:
            await suppress_all(conn, KEYS, [Suppressed("sms", each, SuppressionReason.BAD_CONTACT) for each in order])

    await asyncio.gather(*(suppress_them(numbers[:: 1 if turn % 2 else -1]) for turn in range(4)))
    assert await office.pool.fetchval("SELECT count(*) FROM suppressions") == 3000


# What a message does about it


async def test_a_stop_that_comes_between_queueing_and_claiming_wins(office: Office) -> None:
    message_id = await office.queue()
    await stop(office)
    assert await claim_due(office.delivery, limit=10) == []
    assert await office.attempts(message_id) == []
    await decide(office)
    assert await office.state(message_id) == ("escalated", "suppressed_contact")


async def test_the_other_channel_is_used_at_once_and_both_suppressed_needs_a_person(office: Office) -> None:
    await stop(office)
    message_id = await office.queue(email=MAIL)
    await decide(office)
    assert await fallback_of(office, message_id) == ("email", "pending", None)
    await stop(office, contact=MAIL, reason="hard_bounce")
    assert await claim_due(office.delivery, limit=10) == []
    await decide(office)
    assert await fallback_of(office, message_id) == ("email", "escalated", "suppressed_contact")


async def test_a_family_that_prefers_mail_gets_a_text_when_its_address_is_refused(office: Office) -> None:
    office.email.script = [Refused("550 5.1.1", Action.BAD_CONTACT)]
    message = office.message()._replace(contacts=Contacts(phone=PHONE, email=MAIL, preferred="email"))
    async with transaction(office.pool) as conn:
        message_id = await queue_message(conn, KEYS, message)
    await send_all(office)
    await decide(office)
    assert await fallback_of(office, message_id) == ("sms", "pending", None)
    await send_all(office)
    assert len(office.sms.texts) == 1


async def test_a_message_that_waits_for_its_next_try_is_decided_when_the_stop_comes(office: Office) -> None:
    office.sms.script = [Refused("30001", Action.RETRY_LATER)]
    message_id = await office.queue()
    await send_all(office)
    await decide(office)
    assert (await office.state(message_id))[0] == "pending"
    await stop(office)
    assert await claim_due(office.delivery, limit=10) == []
    await decide(office)
    assert await office.state(message_id) == ("escalated", "suppressed_contact")


async def test_a_suppressed_contact_holds_up_nobody_in_the_same_claim(office: Office) -> None:
    stopped, free = await office.queue(), await office.queue(phone="+358401234568")
    await stop(office)
    claimed = await claim_due(office.delivery, limit=10)
    assert [sending.message_id for sending in claimed] == [free]
    assert (await office.state(stopped))[0] == "failed"


async def test_a_start_lets_messages_go_out_again_but_not_to_a_dead_number(office: Office) -> None:
    await stop(office)
    assert await start(office, only=SuppressionReason.OPTED_OUT)
    await office.queue()
    assert len(await send_all(office)) == 1
    await stop(office, reason="bad_contact")
    assert not await start(office, only=SuppressionReason.OPTED_OUT)
    assert await stands(office) == "bad_contact"
    assert await start(office)
    assert not await start(office)


async def test_one_that_was_lifted_can_be_suppressed_anew(office: Office) -> None:
    await stop(office)
    await start(office)
    await stop(office, reason="bad_contact")
    assert await stands(office) == "bad_contact"


async def test_the_timeline_says_why_it_was_not_tried(office: Office) -> None:
    await stop(office)
    await office.queue()
    await decide(office)
    async with transaction(office.pool) as conn:
        [shown] = await timeline(conn, office.organiser_id, office.subject_id)
    assert (shown.reason, shown.suppressed_for, shown.attempts) == ("suppressed_contact", "opted_out", ())


# While keys rotate


@pytest.mark.parametrize(("listed", "queued"), [(KEYS, ROTATING), (ROTATING, KEYS)], ids=["old row", "new row"])
async def test_a_contact_is_found_under_either_key_when_queued_and_when_claimed(
    office: Office, listed: Keys, queued: Keys
) -> None:
    async with transaction(office.pool) as conn:
        before = await queue_message(conn, queued, office.message())
    await stop(office, keys=listed)
    async with transaction(office.pool) as conn:
        after = await queue_message(conn, ROTATING, office.message())
    assert await office.state(after) == ("failed", "suppressed_contact")
    rotating = replace(office.delivery, keys=ROTATING)
    assert await claim_due(rotating, limit=10) == []
    assert await office.state(before) == ("failed", "suppressed_contact")


async def rotate(office: Office) -> tuple[int, int]:
    looked_at, moved = 0, 0
    place: tuple[str, bytes] | None = ("", b"")
    while place is not None:
        async with transaction(office.pool) as conn:
            found, changed, place = await rotate_suppressions(conn, ROTATING, after=place, limit=2)
        looked_at, moved = looked_at + found, moved + changed
    return looked_at, moved


async def test_rotation_moves_the_list_to_the_new_keys_and_ends(office: Office) -> None:
    for number in range(5):
        await stop(office, contact=f"+35840123456{number}")
    await stop(office, contact=MAIL, reason="hard_bounce")
    await rotate(office)
    assert (await rotate(office))[1] == 0
    assert await stands(office, keys=ROTATED, contact="+358401234563") == "opted_out"
    assert await stands(office, keys=ROTATED, contact=MAIL) == "hard_bounce"
    assert await office.pool.fetchval("SELECT count(*) FROM suppressions") == 6


@pytest.mark.parametrize(
    ("old", "new", "stays"),
    [
        ("opted_out", "bad_contact", "opted_out"),
        ("bad_contact", "opted_out", "opted_out"),
        ("lifted", "bad_contact", "bad_contact"),
        ("opted_out", "lifted", "opted_out"),
        ("lifted", "lifted", None),
    ],
)
async def test_of_two_rows_of_one_contact_rotation_keeps_the_one_that_weighs_more(
    office: Office, old: str, new: str, stays: str | None
) -> None:
    for keys, reason in ((KEYS, old), (ROTATED, new)):
        await stop(office, keys=keys, reason="opted_out" if reason == "lifted" else reason)
        if reason == "lifted":
            await start(office, keys=keys)
    await rotate(office)
    assert await stands(office, keys=ROTATED) == stays
    assert await office.pool.fetchval("SELECT count(*) FROM suppressions") == 1
