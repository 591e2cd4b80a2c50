from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from service.channels.gateway import Accepted, Action, EmailContent, Refused, Unknown
from service.channels.operations import (
    Answered,
    Effect,
    Sending,
    Silent,
    claim_due,
    claim_probes,
    claim_silent,
    decide_failures,
    delivery_health,
    expire_leases,
    fail_held,
    look_up,
    queue_messages,
    record_answers,
    record_receipts,
    suppress_pending,
    timeline,
)
from service.db import Pool, transaction
from service.workers.retry import retry_in_s
from tests.channels.post_office import KEYS, SECRET, Office, taken_silently


@pytest.fixture
def office(pool: Pool) -> Office:
    return Office(pool)


async def send(office: Office, sending: Sending) -> bool:
    answer = await office.delivery.gateways[sending.channel].send(sending.outgoing)
    return (await record_answers(office.delivery, [Answered(sending, answer)]))[0]


async def send_all(office: Office) -> list[Sending]:
    claimed = await claim_due(office.delivery, limit=100)
    for sending in claimed:
        await send(office, sending)
    return claimed


async def decide(office: Office) -> None:
    await decide_failures(
        office.delivery, lambda channel, action, tries: retry_in_s(channel, action, tries=tries, chance=0)
    )


async def look(office: Office) -> None:
    for silent in await claim_silent(office.delivery, limit=10):
        await look_up(office.delivery, silent)


# Queueing


async def test_a_message_goes_out_only_if_the_transaction_that_queued_it_commits(office: Office) -> None:
    with pytest.raises(RuntimeError):
        async with transaction(office.pool) as conn:
            await queue_messages(conn, KEYS, [office.message()])
            raise RuntimeError
    assert await claim_due(office.delivery, limit=10) == []


async def test_many_messages_are_queued_as_one_copy_and_are_like_single_ones(office: Office) -> None:
    single = await office.queue(email="maija@perhe.fi")
    async with transaction(office.pool) as conn:
        [copied] = await queue_messages(conn, KEYS, [office.message(email="maija@perhe.fi")])
    varying = {"message_id", "recipient_sealed", "other_sealed", "created_at", "due_at", "deadline_at"}
    one, other = await office.row(single), await office.row(copied)
    assert {key for key in one if one[key] != other[key]} == varying


async def test_the_outbox_holds_no_contact_in_the_clear(office: Office) -> None:
    await office.queue(email="maija@perhe.fi")
    stored = await office.pool.fetchval("SELECT messages::text FROM messages")
    for secret in ("401234567", "maija", "4827", b"401234567".hex(), b"maija".hex()):
        assert secret not in stored


async def test_a_message_to_nobody_is_refused(office: Office) -> None:
    with pytest.raises(ValueError, match="phone number or an e-mail"):
        await office.queue(phone=None)


# Claiming


async def test_the_attempt_is_committed_before_the_gateway_can_be_called(office: Office) -> None:
    message_id = await office.queue()
    [sending] = await claim_due(office.delivery, limit=10)
    assert (await office.state(message_id))[0] == "sending"
    [attempt] = await office.attempts(message_id)
    assert (attempt["outcome"], attempt["fence"], attempt["gateway"]) == (None, 1, "post-sms")
    assert (attempt["parts"], attempt["encoding"]) == (1, "GSM-7")
    assert sending.outgoing.attempt_address == f"{office.organiser_id.hex}{attempt['token'].hex}"  # type: ignore[attr-defined]
    assert SECRET["code"] in sending.outgoing.content.text


async def test_what_is_claimed_does_not_show_its_secrets_when_printed(office: Office) -> None:
    await office.queue()
    [sending] = await claim_due(office.delivery, limit=10)
    assert "4827" not in repr(sending)
    assert "401234567" not in repr(sending)


async def test_a_message_is_claimed_by_one_worker_only(office: Office) -> None:
    ids = {await office.queue() for _ in range(20)}
    claims = await asyncio.gather(*(claim_due(office.delivery, limit=5) for _ in range(8)))
    claimed = [sending.message_id for claim in claims for sending in claim]
    assert sorted(claimed) == sorted(ids)


async def test_vouchers_with_a_better_priority_go_first(office: Office) -> None:
    late = await office.queue()
    early = await office.queue()
    await office.pool.execute("UPDATE messages SET priority = 1 WHERE message_id = $1", early)
    claimed = await claim_due(office.delivery, limit=1)
    assert [sending.message_id for sending in claimed] == [early]
    assert (await office.state(late))[0] == "pending"


async def test_the_deadline_counts_from_the_first_try(office: Office) -> None:
    message_id = await office.queue()
    await office.pass_time(5 * 3600)
    await send_all(office)
    left = await office.pool.fetchval("SELECT deadline_at - now() FROM messages WHERE message_id = $1", message_id)
    assert 3.9 * 3600 < left.total_seconds() <= 4 * 3600


async def test_a_message_whose_secret_is_obsolete_is_suppressed_and_never_sent(office: Office) -> None:
    message_id = await office.queue()
    office.secrets.obsolete.add(office.secret_id)
    assert await claim_due(office.delivery, limit=10) == []
    assert await office.state(message_id) == ("suppressed", "obsolete")
    assert await office.attempts(message_id) == []


async def test_a_message_that_cannot_be_rendered_goes_to_a_person_and_holds_up_nobody(office: Office) -> None:
    broken = await office.queue()
    whole = await office.queue()
    await office.pool.execute("UPDATE messages SET fields = fields - 'amount' WHERE message_id = $1", broken)
    claimed = await claim_due(office.delivery, limit=10)
    assert [sending.message_id for sending in claimed] == [whole]
    assert await office.state(broken) == ("escalated", "template_fault")


async def test_a_contact_that_cannot_be_opened_goes_to_a_person(office: Office) -> None:
    broken = await office.queue()
    await office.pool.execute("UPDATE messages SET recipient_sealed = '\\x0131' WHERE message_id = $1", broken)
    assert await claim_due(office.delivery, limit=10) == []
    assert await office.state(broken) == ("escalated", "contact_unreadable")


async def test_withdrawing_a_replaced_code_stops_its_unsent_messages_only(office: Office) -> None:
    sent = await office.queue()
    await send_all(office)
    unsent = await office.queue()
    async with transaction(office.pool) as conn:
        withdrawn = await suppress_pending(
            conn, office.organiser_id, secret_id=office.secret_id, reason="code_replaced"
        )
    assert withdrawn == [unsent]
    assert await office.state(unsent) == ("suppressed", "code_replaced")
    assert (await office.state(sent))[0] == "accepted"


# Answers


async def test_an_accepted_text_keeps_its_reference_and_is_looked_at_again(office: Office) -> None:
    message_id = await office.queue()
    await send_all(office)
    [attempt] = await office.attempts(message_id)
    assert (attempt["outcome"], attempt["reference"]) == ("accepted", office.sms.texts[0].reference)
    row = await office.row(message_id)
    assert row["state"] == "accepted"
    assert row["accepted_at"] is not None
    assert row["due_at"] is not None


async def test_an_accepted_mail_is_sent_and_nothing_is_left_to_do(office: Office) -> None:
    message_id = await office.queue(phone=None, email="maija@perhe.fi")
    await send_all(office)
    row = await office.row(message_id)
    assert (row["state"], row["due_at"]) == ("sent", None)
    content = office.email.texts[0].outgoing.content
    assert isinstance(content, EmailContent)
    assert content.message_id == message_id.hex


async def test_recording_an_answer_again_changes_nothing(office: Office) -> None:
    message_id = await office.queue()
    [sending] = await claim_due(office.delivery, limit=1)
    answered = Answered(sending, Accepted("SM1"))
    assert await record_answers(office.delivery, [answered]) == [True]
    before = await office.row(message_id)
    assert await record_answers(office.delivery, [answered]) == [False]
    assert await office.row(message_id) == before


async def test_a_stale_fence_moves_nothing_and_its_reference_is_kept_on_its_own_attempt(office: Office) -> None:
    message_id = await office.queue()
    [old] = await claim_due(office.delivery, limit=1)
    await office.pass_time(60)
    await expire_leases(office.delivery)
    for seconds in (200, 60):
        await office.pass_time(seconds)
        await look(office)
    [new] = await claim_due(office.delivery, limit=1)
    assert new.fence == old.fence + 1
    assert await record_answers(office.delivery, [Answered(old, Accepted("SMold"))]) == [False]
    assert (await office.state(message_id))[0] == "sending"
    assert [attempt["reference"] for attempt in await office.attempts(message_id)] == ["SMold", None]


async def test_an_answer_that_comes_after_the_lease_is_believed_if_nobody_took_the_message(office: Office) -> None:
    message_id = await office.queue()
    [sending] = await claim_due(office.delivery, limit=1)
    await office.pass_time(60)
    assert await expire_leases(office.delivery) == 1
    assert await office.state(message_id) == ("unknown", "lease_expired")
    assert await record_answers(office.delivery, [Answered(sending, Accepted("SM1"))]) == [True]
    assert (await office.state(message_id))[0] == "accepted"


async def test_an_unknown_answer_after_the_lease_is_not_counted_twice(office: Office) -> None:
    message_id = await office.queue()
    [sending] = await claim_due(office.delivery, limit=1)
    await office.pass_time(60)
    await expire_leases(office.delivery)
    await record_answers(office.delivery, [Answered(sending, Unknown("timeout"))])
    assert (await office.row(message_id))["unknowns"] == 1


# Unknown outcomes


async def test_an_unknown_attempt_is_never_sent_again_before_the_gateway_was_asked_twice(office: Office) -> None:
    message_id = await office.queue()
    office.sms.script = [Unknown("timeout")]
    await send_all(office)
    assert await office.state(message_id) == ("unknown", "no_answer")
    await look(office)
    assert (await office.row(message_id))["lookups"] == 0, "too early to ask"
    await office.pass_time(121)
    assert await claim_due(office.delivery, limit=1) == []
    await look(office)
    assert (await office.row(message_id))["lookups"] == 1
    assert await claim_due(office.delivery, limit=1) == []
    await office.pass_time(31)
    await look(office)
    assert await office.state(message_id) == ("pending", "resent")
    await send_all(office)
    assert (await office.state(message_id))[0] == "accepted"
    assert len(office.sms.texts) == 1
    assert SECRET["code"] in office.sms.texts[0].body


async def test_a_text_that_was_taken_without_an_answer_is_found_and_not_sent_again(office: Office) -> None:
    message_id = await office.queue()
    office.sms.script = [taken_silently]
    await send_all(office)
    await office.pass_time(121)
    office.sms.texts[0].status = "delivered"
    await look(office)
    assert (await office.state(message_id))[0] == "delivered"
    [attempt] = await office.attempts(message_id)
    assert (attempt["outcome"], attempt["reference"]) == ("accepted", office.sms.texts[0].reference)
    assert len(office.sms.texts) == 1


async def test_the_text_of_a_resend_is_not_taken_for_the_lost_one_that_said_the_same(office: Office) -> None:
    lost = await office.queue()
    office.sms.script = [Unknown("connection_lost")]
    await send_all(office)
    await office.queue()
    await send_all(office)
    assert len(office.sms.texts) == 1
    for _ in range(2):
        await office.pass_time(121)
        await look(office)
    assert await office.state(lost) == ("pending", "resent")
    await send_all(office)
    assert len({text.body for text in office.sms.texts}) == 1
    assert len(office.sms.texts) == 2


async def test_one_text_found_by_two_look_ups_at_once_is_one_messages(office: Office) -> None:
    messages = [await office.queue(), await office.queue()]
    office.sms.script = [Unknown("connection_lost"), taken_silently]
    await send_all(office)
    await office.pass_time(121)
    await asyncio.gather(*(look_up(office.delivery, s) for s in await claim_silent(office.delivery, limit=10)))
    states = [await office.state(message_id) for message_id in messages]
    assert sorted(state for state, _ in states) == ["accepted", "unknown"]
    references = [(await office.attempts(message_id))[0]["reference"] for message_id in messages]
    assert sorted(map(str, references)) == sorted(["None", office.sms.texts[0].reference])


async def twins(office: Office, *, seconds_apart: int, answers: list[Any]) -> tuple[list[UUID], list[Silent]]:
    """A voucher's message and its resend, a moment later, both of unknown outcome; ready to be looked up."""
    office.sms.script = list(answers)
    messages = []
    for _ in answers:
        messages.append(await office.queue())
        await send_all(office)
    noon = datetime.now(UTC).replace(microsecond=0)
    for index, text in enumerate(office.sms.texts):
        text.taken_at = noon + timedelta(seconds=index * seconds_apart)
    await office.pass_time(121)
    silent = {each.message_id: each for each in await claim_silent(office.delivery, limit=10)}
    return messages, [silent[message_id] for message_id in messages]


async def references(office: Office, messages: list[UUID]) -> list[object]:
    return [(await office.attempts(message_id))[-1]["reference"] for message_id in messages]


@pytest.mark.parametrize("looks", [(0, 1), (1, 0)], ids=["first first", "second first"])
@pytest.mark.parametrize("seconds_apart", [0, 1])
async def test_two_texts_that_say_the_same_are_each_found_by_their_own_message(
    office: Office, seconds_apart: int, looks: tuple[int, int]
) -> None:
    messages, silent = await twins(office, seconds_apart=seconds_apart, answers=[taken_silently] * 2)
    for each in looks:
        await look_up(office.delivery, silent[each])
    assert await references(office, messages) == [text.reference for text in office.sms.texts]
    for text in office.sms.texts:  # what the phone network tells of each text is believed
        assert await office.report(text, "delivered") == Effect.MOVED
    assert [(await office.state(message_id))[0] for message_id in messages] == ["delivered"] * 2


async def test_the_text_of_one_that_died_while_sending_is_not_taken_by_the_next_one(office: Office) -> None:
    """Nobody knows yet what became of the first: its lease has not run out."""
    first = await office.queue()
    [dead] = await claim_due(office.delivery, limit=1)
    office.sms.take(dead.outgoing)
    second = await office.queue()
    office.sms.script = [taken_silently]
    await send_all(office)
    await office.pool.execute("UPDATE messages SET due_at = now() WHERE message_id = $1", second)
    await look(office)
    await office.pass_time(121)
    await expire_leases(office.delivery)
    await office.pass_time(121)
    await look(office)
    assert await references(office, [first, second]) == [text.reference for text in office.sms.texts]


@pytest.mark.parametrize("looks", [(0, 1), (1, 0)], ids=["first first", "second first"])
@pytest.mark.parametrize("lost", [0, 1])
async def test_of_two_that_say_the_same_and_one_text_one_is_sent_again(
    office: Office, lost: int, looks: tuple[int, int]
) -> None:
    answers = [taken_silently, taken_silently]
    answers[lost] = Unknown("connection_lost")
    messages, silent = await twins(office, seconds_apart=0, answers=answers)
    for each in looks:
        await look_up(office.delivery, silent[each])
    for _ in range(2):
        await office.pass_time(121)
        await look(office)
    await send_all(office)
    assert sorted(await references(office, messages)) == sorted(text.reference for text in office.sms.texts)
    assert len(office.sms.texts) == 2


async def test_an_accepted_message_is_not_moved_by_what_became_of_a_text_that_says_the_same(office: Office) -> None:
    lost = await office.queue()
    office.sms.script = [taken_silently]
    await send_all(office)
    accepted = await office.queue()
    await send_all(office)
    await office.pool.execute("UPDATE messages SET state = 'escalated', due_at = NULL WHERE message_id = $1", lost)
    office.sms.texts[0].status, office.sms.texts[1].status = "undelivered", "delivered"
    await office.pass_time(121)
    await look(office)
    assert (await office.state(accepted))[0] == "delivered"


async def test_a_gateway_that_cannot_be_asked_does_not_count_as_not_having_it(office: Office) -> None:
    message_id = await office.queue()
    office.sms.script = [taken_silently]
    await send_all(office)
    office.sms.look_up_answer = Unknown("look_up_failed")
    for _ in range(5):
        await office.pass_time(121)
        await look(office)
    assert (await office.state(message_id))[0] == "unknown"
    office.sms.look_up_answer = None
    await office.pass_time(121)
    await look(office)
    assert (await office.state(message_id))[0] == "accepted"


async def test_after_three_unknown_attempts_a_person_decides(office: Office) -> None:
    message_id = await office.queue()
    office.sms.always = Unknown("timeout")
    for _ in range(3):
        await send_all(office)
        for seconds in (121, 31):
            await office.pass_time(seconds)
            await look(office)
    assert await office.state(message_id) == ("escalated", "often_unknown")
    assert office.sms.calls == 3


async def test_a_mail_of_unknown_outcome_is_sent_once_more_under_the_same_message_id(office: Office) -> None:
    message_id = await office.queue(phone=None, email="maija@perhe.fi")
    office.email.script = [taken_silently, taken_silently]
    for _ in range(2):
        await send_all(office)
        await office.pass_time(121)
        await look(office)
    assert await office.state(message_id) == ("escalated", "often_unknown")
    contents = [text.outgoing.content for text in office.email.texts]
    assert [content.message_id for content in contents if isinstance(content, EmailContent)] == [message_id.hex] * 2


# Receipts


async def test_receipts_move_a_text_forward_to_delivered(office: Office) -> None:
    message_id = await office.queue()
    await send_all(office)
    [text] = office.sms.texts
    assert [await office.report(text, status) for status in ("sent", "delivered")] == [Effect.MOVED, Effect.MOVED]
    row = await office.row(message_id)
    assert (row["state"], row["due_at"]) == ("delivered", None)
    assert row["delivered_at"] is not None


async def test_a_late_receipt_never_moves_a_delivered_message_back(office: Office) -> None:
    message_id = await office.queue()
    await send_all(office)
    [text] = office.sms.texts
    await office.report(text, "delivered")
    for status, code in (("sent", None), ("queued", None), ("undelivered", "30003"), ("failed", "30008")):
        assert await office.report(text, status, code) is Effect.NO_MOVE
    assert (await office.state(message_id))[0] == "delivered"
    assert await office.pool.fetchval("SELECT count(*) FROM receipts") == 5, "all of them are journalled"


async def test_receipts_of_one_group_have_the_effect_that_they_would_have_had_one_by_one(office: Office) -> None:
    ids = [await office.queue() for _ in range(3)]
    await send_all(office)
    first, second, third = office.sms.texts
    reports = [
        office.new_report(first, "sent"),
        office.new_report(second, "undelivered", "30003"),
        office.new_report(first, "delivered"),
        office.new_report(second, "sent"),
        office.new_report(first, "delivered"),
        office.new_report(third, "delivered", reference="SMother"),
    ]
    assert await record_receipts(office.pool, reports) == [
        Effect.NO_MOVE,
        Effect.MOVED,
        Effect.MOVED,
        Effect.NO_MOVE,
        Effect.DUPLICATE,
        Effect.OTHER_REFERENCE,
    ]
    assert [(await office.state(message_id))[0] for message_id in ids] == ["delivered", "undelivered", "accepted"]


async def test_answers_and_receipts_in_opposite_orders_do_not_deadlock(office: Office) -> None:
    for _ in range(60):
        await office.queue()
    for _ in range(10):
        await office.pool.execute("UPDATE messages SET state = 'pending', due_at = now()")
        claimed = await claim_due(office.delivery, limit=60)
        texts = [office.sms.take(sending.outgoing) for sending in claimed]
        answers = [Answered(sending, Accepted(text.reference)) for sending, text in zip(claimed, texts, strict=True)]
        reports = [office.new_report(text, "sent") for text in reversed(texts)]
        await asyncio.gather(
            record_answers(office.delivery, answers),
            record_receipts(office.pool, reports),
            record_answers(office.delivery, answers[::-1]),
            record_receipts(office.pool, reports[::-1]),
        )
    assert await office.pool.fetchval("SELECT count(*) FROM messages WHERE state = 'sent'") == 60


async def test_a_duplicate_has_no_effect(office: Office) -> None:
    await office.queue()
    await send_all(office)
    [text] = office.sms.texts
    assert await office.report(text, "sent") is Effect.MOVED
    assert await office.report(text, "sent") is Effect.DUPLICATE
    assert await office.pool.fetchval("SELECT count(*) FROM receipts") == 1


async def test_an_early_receipt_wins_and_our_answer_only_adds_the_reference(office: Office) -> None:
    message_id = await office.queue()
    [sending] = await claim_due(office.delivery, limit=1)
    text = office.sms.take(sending.outgoing)
    assert await office.report(text, "delivered") is Effect.MOVED
    await record_answers(office.delivery, [Answered(sending, Accepted(text.reference, parts=1))])
    assert (await office.state(message_id))[0] == "delivered"
    [attempt] = await office.attempts(message_id)
    assert (attempt["outcome"], attempt["reference"]) == ("accepted", text.reference)


async def test_an_early_receipt_outlives_an_answer_that_was_lost(office: Office) -> None:
    message_id = await office.queue()
    [sending] = await claim_due(office.delivery, limit=1)
    text = office.sms.take(sending.outgoing)
    await office.report(text, "sent")
    await record_answers(office.delivery, [Answered(sending, Unknown("timeout"))])
    assert (await office.state(message_id))[0] == "sent"
    assert (await office.attempts(message_id))[0]["outcome"] == "accepted"


async def test_a_receipt_about_another_text_or_an_unknown_attempt_is_ignored(office: Office) -> None:
    message_id = await office.queue()
    await send_all(office)
    [text] = office.sms.texts
    assert await office.report(text, "delivered", reference="SMother") is Effect.OTHER_REFERENCE
    stranger = Office(office.pool)  # the same token under another organiser
    assert await stranger.report(text, "delivered") is Effect.UNKNOWN_ATTEMPT
    assert (await office.state(message_id))[0] == "accepted"
    assert await office.pool.fetchval("SELECT count(*) FROM receipts") == 0


async def test_a_receipt_with_a_status_that_no_table_knows_is_journalled_and_moves_nothing(office: Office) -> None:
    message_id = await office.queue()
    await send_all(office)
    assert await office.report(office.sms.texts[0], "pondering") is Effect.NO_MOVE
    assert (await office.state(message_id))[0] == "accepted"


async def test_a_receipt_settles_an_unknown_attempt(office: Office) -> None:
    message_id = await office.queue()
    office.sms.script = [taken_silently]
    await send_all(office)
    assert await office.report(office.sms.texts[0], "sent") is Effect.MOVED
    assert (await office.state(message_id))[0] == "sent"


async def test_a_lost_attempt_that_turns_up_before_the_resend_stops_it(office: Office) -> None:
    message_id = await office.queue()
    [sending] = await claim_due(office.delivery, limit=1)
    await record_answers(office.delivery, [Answered(sending, Unknown("timeout"))])
    for seconds in (121, 31):
        await office.pass_time(seconds)
        await look(office)
    assert await office.state(message_id) == ("pending", "resent")
    text = office.sms.take(sending.outgoing)
    assert await office.report(text, "sent") is Effect.MOVED
    assert await claim_due(office.delivery, limit=1) == []


async def test_a_message_that_waits_to_be_tried_again_believes_only_that_it_arrived(office: Office) -> None:
    message_id = await office.queue()
    await send_all(office)
    [text] = office.sms.texts
    await office.report(text, "undelivered", "30003")
    await decide(office)
    assert await office.report(text, "sent") is Effect.NO_MOVE
    assert (await office.state(message_id))[0] == "pending"
    assert await office.report(text, "delivered") is Effect.MOVED
    assert await claim_due(office.delivery, limit=1) == []


async def test_a_replaced_attempt_can_only_say_that_it_arrived(office: Office) -> None:
    message_id = await office.queue()
    await send_all(office)
    [first] = office.sms.texts
    await office.report(first, "undelivered", "30003")
    await decide(office)
    await office.pass_time(1200)
    await send_all(office)
    assert (await office.state(message_id))[0] == "accepted"
    assert await office.report(first, "failed", "30008") is Effect.NO_MOVE
    assert await office.report(first, "sent") is Effect.NO_MOVE
    assert (await office.state(message_id))[0] == "accepted"
    assert await office.report(first, "delivered") is Effect.MOVED
    assert (await office.state(message_id))[0] == "delivered"


# Failures


async def test_a_throttled_message_is_tried_again_with_growing_waits(office: Office) -> None:
    message_id = await office.queue()
    office.sms.script = [Refused("20429", Action.RETRY)] * 3
    for tries in (1, 2, 3):
        await send_all(office)
        await decide(office)
        row = await office.row(message_id)
        assert (row["state"], row["tries"]) == ("pending", tries)
        assert await claim_due(office.delivery, limit=1) == []
        await office.pass_time(2.0**tries)
    await send_all(office)
    assert (await office.state(message_id))[0] == "accepted"


async def test_an_unreachable_phone_is_tried_twice_more_and_then_the_mail_goes_out_once(office: Office) -> None:
    message_id = await office.queue(email="maija@perhe.fi")
    for _ in range(3):
        await send_all(office)
        await office.report(office.sms.texts[-1], "undelivered", "30003")
        await decide(office)
        await office.pass_time(1800)
    assert len(office.sms.texts) == 3
    assert await office.state(message_id) == ("undelivered", "unreachable")
    await send_all(office)
    await decide(office)
    assert [text.outgoing.recipient for text in office.email.texts] == ["maija@perhe.fi"]
    assert await office.pool.fetchval("SELECT count(*) FROM messages") == 2


async def test_a_landline_without_another_contact_goes_to_a_person(office: Office) -> None:
    message_id = await office.queue()
    office.sms.script = [Refused("21614", Action.BAD_CONTACT)]
    await send_all(office)
    await decide(office)
    row = await office.row(message_id)
    assert (row["state"], row["reason"], row["due_at"]) == ("escalated", "bad_contact_landline", None)


async def test_the_other_channel_is_used_once_and_does_not_come_back(office: Office) -> None:
    message_id = await office.queue(email="maija@perhe.fi")
    office.sms.script = [Refused("21610", Action.OPTED_OUT)]
    office.email.script = [Refused("550", Action.BAD_CONTACT)]
    for _ in range(4):
        await send_all(office)
        await decide(office)
    rows = await office.pool.fetch("SELECT message_id, channel, state, reason, fallback_of FROM messages ORDER BY 1")
    assert [tuple(row)[1:] for row in rows] == [
        ("sms", "failed", "opted_out", None),
        ("email", "escalated", "bad_contact", message_id),
    ]


async def test_a_message_of_which_nothing_is_heard_until_the_deadline_goes_the_other_way(office: Office) -> None:
    message_id = await office.queue(email="maija@perhe.fi")
    await send_all(office)
    for seconds in (121, 480, 3000, 3600, 3600, 3600, 3600):
        await office.pass_time(seconds)
        await look(office)
        await decide(office)
    assert await office.state(message_id) == ("undelivered", "silent")
    await send_all(office)
    assert len(office.email.texts) == 1


async def test_polling_finds_the_delivery_whose_receipt_was_lost(office: Office) -> None:
    message_id = await office.queue()
    await send_all(office)
    office.sms.texts[0].status = "delivered"
    await office.pass_time(121)
    await look(office)
    assert (await office.state(message_id))[0] == "delivered"


# Pauses


async def test_a_fault_in_the_set_up_pauses_the_gateway_and_keeps_its_messages(office: Office) -> None:
    ids = [await office.queue() for _ in range(5)]
    office.sms.always = Refused("20003", Action.PAUSE_GATEWAY)
    await send_all(office)
    await decide(office)
    for message_id in ids:
        row = await office.row(message_id)
        assert (row["state"], row["tries"]) == ("pending", 0)
    later = await office.queue()
    await office.pass_time(59)
    assert await claim_due(office.delivery, limit=10) == []
    assert await claim_probes(office.delivery) == []
    mail = await office.queue(phone=None, email="maija@perhe.fi")
    assert [sending.message_id for sending in await claim_due(office.delivery, limit=10)] == [mail]
    assert (await office.state(later))[0] == "pending"


async def test_one_message_probes_a_paused_gateway_and_opens_it_for_the_others(office: Office) -> None:
    for _ in range(5):
        await office.queue()
    office.sms.script = [Refused("20003", Action.PAUSE_GATEWAY)] * 5
    await send_all(office)
    await decide(office)
    await office.pass_time(61)
    assert await claim_due(office.delivery, limit=10) == [], "only a probe may go"
    probes = await claim_probes(office.delivery)
    assert len(probes) == 1
    assert await claim_probes(office.delivery) == [], "one at a time"
    await send(office, probes[0])
    assert len(await send_all(office)) == 4


async def test_pauses_double_up_to_a_quarter_of_an_hour(office: Office) -> None:
    await office.queue()
    office.sms.always = Refused("20003", Action.PAUSE_GATEWAY)
    await send_all(office)
    lengths = []
    for _ in range(6):
        await decide(office)
        pause = await office.pool.fetchval("SELECT paused_until - now() FROM gateway_pauses")
        lengths.append(round(pause.total_seconds() / 60))
        await office.pass_time(pause.total_seconds() + 0.1)
        [probe] = await claim_probes(office.delivery)
        await send(office, probe)
    assert lengths == [1, 2, 4, 8, 15, 15]


async def test_a_receipt_tells_what_is_wrong_with_a_number_although_our_call_had_timed_out(office: Office) -> None:
    office.sms.script = [taken_silently]
    await office.queue()
    await send_all(office)
    await office.report(office.sms.texts[0], "undelivered", "30006")
    await decide(office)
    assert await office.pool.fetchval("SELECT reason FROM messages") == "bad_contact_landline"


async def test_a_look_up_tells_what_is_wrong_with_a_number_although_our_call_had_timed_out(office: Office) -> None:
    office.sms.script = [taken_silently]
    await office.queue()
    await send_all(office)
    office.sms.texts[0] = replace(office.sms.texts[0], status="undelivered", error_code="30006")
    await office.pass_time(121)
    [silent] = await claim_silent(office.delivery, limit=1)
    await look_up(office.delivery, silent)
    await decide(office)
    assert await office.pool.fetchval("SELECT reason FROM messages") == "bad_contact_landline"


async def test_what_waited_for_the_morning_is_tried_no_longer_than_another(office: Office) -> None:
    message_id = await office.queue()
    await office.pool.execute(
        "UPDATE messages SET due_at = due_at + interval '11 hours', deadline_at = deadline_at + interval '11 hours'"
    )
    await office.pass_time(11 * 3600 + 1)
    await claim_due(office.delivery, limit=1)
    left = await office.pool.fetchval("SELECT deadline_at - now() FROM messages WHERE message_id = $1", message_id)
    assert left.total_seconds() == pytest.approx(4 * 3600, abs=10)


async def test_what_a_paused_gateway_holds_past_its_deadline_goes_another_way(office: Office) -> None:
    first = await office.queue()
    office.sms.always = Refused("20003", Action.PAUSE_GATEWAY)
    await send_all(office)
    await decide(office)
    held = await office.queue(email="maija@perhe.fi")
    await office.pool.execute("UPDATE gateway_pauses SET paused_until = 'infinity'")
    await office.pass_time(4 * 3600 + 1)
    assert await fail_held(office.delivery) == 2
    await decide(office)
    assert await office.state(first) == ("escalated", "gateway_paused")
    assert await office.state(held) == ("failed", "gateway_paused")
    assert len(await send_all(office)) == 1
    assert len(office.email.texts) == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("21614", "bad_contact_landline"),
        ("30005", "bad_contact_not_in_use"),
        ("21211", "bad_contact_invalid"),
        ("29998", "bad_contact"),
    ],
)
async def test_a_caseworker_is_told_what_is_wrong_with_a_number(office: Office, code: str, reason: str) -> None:
    message_id = await office.queue()
    office.sms.script = [Refused(code, Action.BAD_CONTACT)]
    await send_all(office)
    await decide(office)
    assert await office.state(message_id) == ("escalated", reason)


# Showing


async def test_the_timeline_tells_messages_attempts_receipts_and_reasons_in_order(office: Office) -> None:
    first = await office.queue()
    office.sms.script = [Refused("30007", Action.FILTERED)]
    await send_all(office)
    await decide(office)
    second = await office.queue()
    await send_all(office)
    await office.report(office.sms.texts[0], "delivered")
    async with office.pool.acquire() as conn:
        shown = await timeline(conn, office.organiser_id, office.subject_id)
        assert await timeline(conn, uuid4(), office.subject_id) == []
    assert [(message.message_id, message.state, message.reason) for message in shown] == [
        (first, "escalated", "filtered"),
        (second, "delivered", None),
    ]
    assert shown[0].attempts[0].error_code == "30007"
    assert [receipt.status for receipt in shown[1].attempts[0].receipts] == ["delivered"]
    assert shown[1].recipient_hint == "… 567"
    assert "401234567" not in str(shown)


async def test_the_queue_age_is_that_of_the_oldest_due_message(office: Office) -> None:
    async def age_s() -> float:
        async with office.pool.acquire() as conn:
            return (await delivery_health(conn, office.times.quiet_hours)).queue_age_s

    assert await age_s() == 0
    await office.queue()
    await office.pass_time(90)
    assert 90 <= await age_s() < 95
