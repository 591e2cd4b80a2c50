"""Vouchers against the real database: issued once, told again, changed, and never another organiser's."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from service.channels.contacts import PhoneNotMobile
from service.channels.model import Contacts, NewMessage
from service.channels.operations import queue_message
from service.db import Connection, Pool, transaction
from service.vouchers import operations
from service.vouchers.codes import make_code
from service.vouchers.model import (
    CancelDateUnfit,
    ContactChange,
    DecisionDiffers,
    DecisionStatus,
    Search,
    ShownState,
    TooManyResends,
    ValidityOver,
    VoucherNotOpen,
    VoucherUnknown,
)
from tests.vouchers.worlds import (
    KEYS,
    ROTATING,
    TODAY,
    World,
    committed_world,
    issue,
    live_code,
    looked_up,
    make_world,
    messages_of,
)


@pytest.fixture
async def world(db: Connection) -> World:
    return await make_world(db)


async def resend(db: Connection, world: World, voucher_id: object, **changes: object) -> operations.Sent:
    known = {"organiser": world.organiser, "voucher_id": voucher_id, "actor": "key:1", "reason": "deleted"}
    return await operations.resend(db, KEYS, **(known | {"today": TODAY, "per_day": 5} | changes))


async def replace(db: Connection, world: World, voucher_id: object, **changes: object) -> operations.Sent:
    known = {"organiser": world.organiser, "voucher_id": voucher_id, "actor": "key:1", "reason": "lost"}
    return await operations.replace_code(db, KEYS, **(known | {"today": TODAY} | changes))


async def change_contact(db: Connection, world: World, voucher_id: object, **contact: Any) -> operations.Sent:
    return await operations.change_contact(
        db,
        KEYS,
        organiser=world.organiser,
        voucher_id=voucher_id,
        change=ContactChange(**contact),
        countries=("FI",),
        actor="key:1",
        reason="new phone",
        today=TODAY,
    )


async def test_a_decision_makes_one_voucher_one_code_and_one_message(db: Connection, world: World) -> None:
    issued = await issue(db, world)
    assert issued.created
    code = await live_code(db, issued.voucher_id)
    assert await looked_up(db, code) == issued.voucher_id
    assert await messages_of(db, issued.voucher_id) == [("pending", None)]
    stored = await db.fetchrow(
        "SELECT granted, available, unit, state FROM vouchers WHERE voucher_id = $1", issued.voucher_id
    )
    assert tuple(stored) == (720, 720, "minutes", "issued")


async def test_the_programmes_weekly_cap_is_in_the_voucher_and_in_the_text(db: Connection, world: World) -> None:
    capped = World(world.organiser, world.stranger, dataclasses.replace(world.programme, weekly_visits=3))
    issued = await issue(db, capped, weekly_visits=None)
    stored = await db.fetchrow(
        "SELECT v.weekly_visits, d.weekly_visits AS decided, m.fields FROM vouchers v"
        " JOIN decisions d USING (organiser_id, decision_id) JOIN messages m ON m.subject_id = v.voucher_id"
        " WHERE v.voucher_id = $1",
        issued.voucher_id,
    )
    assert (stored["weekly_visits"], stored["decided"]) == (3, 3)
    assert "3" in stored["fields"]["weekly"]
    again = await issue(db, world, weekly_visits=None)  # and once more, when the cap is gone from the rules
    assert (again.voucher_id, again.created) == (issued.voucher_id, False)


async def test_nothing_in_the_tables_is_the_code_or_the_contact(db: Connection, world: World) -> None:
    issued = await issue(db, world, email="maija@perhe.example")
    code = await live_code(db, issued.voucher_id)
    for table in ("decisions", "vouchers", "beneficiaries", "codes", "voucher_codes", "messages"):
        for row in await db.fetch(f"SELECT t::text AS shown FROM {table} t"):
            for secret in (code, "401234567", "maija"):
                assert secret not in row["shown"]
                assert secret.encode().hex() not in row["shown"]


async def test_the_same_decision_again_is_the_same_voucher_and_no_second_message(db: Connection, world: World) -> None:
    first = await issue(db, world)
    again = await issue(db, world, phone="+358401234567")
    assert (again.voucher_id, again.message_id, again.created) == (first.voucher_id, first.message_id, False)
    assert len(await messages_of(db, first.voucher_id)) == 1


async def test_the_same_decision_is_still_the_same_after_its_last_day(db: Connection, world: World) -> None:
    first = await issue(db, world)
    later = TODAY + timedelta(days=400)
    assert (await issue(db, world, today=later)).voucher_id == first.voucher_id
    with pytest.raises(DecisionDiffers):
        await issue(db, world, today=later, granted=735)
    with pytest.raises(ValidityOver):
        await issue(db, world, today=later, decision_ref="KH-2")


async def test_the_same_decision_is_recognised_while_the_keys_rotate(db: Connection, world: World) -> None:
    first = await issue(db, world)
    assert (await issue(db, world, keys=ROTATING)).voucher_id == first.voucher_id
    with pytest.raises(DecisionDiffers):
        await issue(db, world, keys=ROTATING, granted=735)


async def test_other_content_under_the_same_reference_is_refused(db: Connection, world: World) -> None:
    issued = await issue(db, world)
    with pytest.raises(DecisionDiffers):
        await issue(db, world, granted=735)
    assert await db.fetchval("SELECT count(*) FROM vouchers") == 1
    assert len(await messages_of(db, issued.voucher_id)) == 1


def draws(*codes: str) -> Callable[[int], int]:
    """A randomness that draws these codes in this order."""
    left = [int(code[:-1]) - 10**10 for code in codes]
    return lambda _below: left.pop(0)


@pytest.mark.parametrize("taken_under", ["the current key", "the key before it"])
async def test_a_code_that_somebody_has_is_drawn_again(
    db: Connection, world: World, monkeypatch: pytest.MonkeyPatch, taken_under: str
) -> None:
    first = await issue(db, world)
    taken = await live_code(db, first.voucher_id)
    free = make_code(lambda _below: 1)
    monkeypatch.setattr("service.vouchers.sealing.secrets.randbelow", draws(taken, taken, free))
    keys = KEYS if taken_under == "the current key" else ROTATING
    second = await issue(db, world, keys=keys, decision_ref="KH-2")
    assert await live_code(db, second.voucher_id, keys=keys) == free
    assert await looked_up(db, free, keys=keys) == second.voucher_id
    assert await looked_up(db, taken) == first.voucher_id


async def test_randomness_that_is_broken_stops_the_issue(
    db: Connection, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = await live_code(db, (await issue(db, world)).voucher_id)
    monkeypatch.setattr("service.vouchers.sealing.secrets.randbelow", draws(*[taken] * 9))
    with pytest.raises(operations.CodesExhausted):
        await issue(db, world, decision_ref="KH-2")


async def test_one_decision_from_many_sides_at_once_is_one_voucher(pool: Pool) -> None:
    async with committed_world(pool) as (_site, world):

        async def post() -> operations.issuing.Issued:
            async with transaction(pool) as conn:
                return await issue(conn, world)

        issued = await asyncio.gather(*(post() for _ in range(12)))
    assert len({one.voucher_id for one in issued}) == 1
    assert sum(one.created for one in issued) == 1


async def test_a_resend_is_the_same_code_in_a_new_message_with_a_note_why(db: Connection, world: World) -> None:
    issued = await issue(db, world)
    code = await live_code(db, issued.voucher_id)
    sent = await resend(db, world, issued.voucher_id)
    assert sent.message_id != issued.message_id
    assert await live_code(db, issued.voucher_id) == code
    first, second = await db.fetch(
        "SELECT secret_id, fields, recipient_index FROM messages WHERE subject_id = $1", issued.voucher_id
    )
    assert first == second
    note = await db.fetchrow("SELECT actor, action, reason FROM audit WHERE subject_id = $1", issued.voucher_id)
    assert tuple(note) == ("key:1", "voucher.resend", "deleted")


async def test_the_sixth_resend_of_a_day_is_refused_and_says_when(db: Connection, world: World) -> None:
    voucher_id = (await issue(db, world)).voucher_id
    for _ in range(5):
        await resend(db, world, voucher_id)
    await db.execute("UPDATE audit SET recorded_at = recorded_at - interval '23 hours'")
    with pytest.raises(TooManyResends) as refusal:
        await resend(db, world, voucher_id)
    assert refusal.value.details["retry_after_s"] == 3600
    await db.execute("UPDATE audit SET recorded_at = recorded_at - interval '1 hour' WHERE subject_id = $1", voucher_id)
    await resend(db, world, voucher_id)


async def test_the_limit_holds_when_all_ask_at_once(pool: Pool) -> None:
    async with committed_world(pool) as (_site, world):
        async with transaction(pool) as conn:
            voucher_id = (await issue(conn, world)).voucher_id

        async def ask() -> bool:
            try:
                async with transaction(pool) as conn:
                    await resend(conn, world, voucher_id, per_day=3)
            except TooManyResends:
                return False
            return True

        assert sum(await asyncio.gather(*(ask() for _ in range(10)))) == 3


async def test_a_replaced_code_ends_and_what_was_to_be_sent_of_it_is_withdrawn(db: Connection, world: World) -> None:
    voucher_id = (await issue(db, world)).voucher_id
    old_id, old = await db.fetchval("SELECT code_id FROM vouchers"), await live_code(db, voucher_id)
    await replace(db, world, voucher_id)
    new = await live_code(db, voucher_id)
    assert new != old
    assert await looked_up(db, new) == await looked_up(db, old) == voucher_id
    assert await messages_of(db, voucher_id) == [("suppressed", "code_replaced"), ("pending", None)]
    assert await operations.secret_fields(db, KEYS, [(world.organiser.organiser_id, old_id)]) == {}
    view = await operations.voucher_view(
        db, KEYS, organiser_id=world.organiser.organiser_id, voucher_id=voucher_id, today=TODAY
    )
    assert [code.last_four for code in view.codes] == [new[-4:], old[-4:]]
    assert [code.superseded_at is None for code in view.codes] == [True, False]


async def test_codes_replaced_from_two_sides_at_once_leave_one_live_code(pool: Pool) -> None:
    async with committed_world(pool) as (_site, world):
        async with transaction(pool) as conn:
            voucher_id = (await issue(conn, world)).voucher_id

        async def ask() -> None:
            async with transaction(pool) as conn:
                await replace(conn, world, voucher_id)

        await asyncio.gather(*(ask() for _ in range(6)))
        async with transaction(pool) as conn:
            live = await conn.fetch("SELECT code_id FROM codes WHERE superseded_at IS NULL")
            assert [row["code_id"] for row in live] == [await conn.fetchval("SELECT code_id FROM vouchers")]
            states = [state for state, _ in await messages_of(conn, voucher_id)]
            assert sorted(states) == ["pending"] + ["suppressed"] * 6


async def test_a_changed_contact_gets_a_new_code_and_keeps_what_was_not_changed(db: Connection, world: World) -> None:
    voucher_id = (await issue(db, world, email="maija@perhe.example")).voucher_id
    old = await live_code(db, voucher_id)
    await change_contact(db, world, voucher_id, phone="050 765 4321", language="sv")
    assert await live_code(db, voucher_id) != old
    view = await operations.voucher_view(
        db, KEYS, organiser_id=world.organiser.organiser_id, voucher_id=voucher_id, today=TODAY
    )
    assert (view.phone_hint, view.email_hint, view.language) == ("… 321", "m…@…", "sv")
    newest = await db.fetchrow("SELECT recipient_hint, language, fields FROM messages WHERE state = 'pending'")
    assert (newest["recipient_hint"], newest["language"]) == ("… 321", "sv")
    assert newest["fields"]["programme"] == "Hemservice"


async def waiting(db: Connection, world: World, voucher_id: UUID, kind: str, **contacts: str) -> UUID:
    """A message about the voucher that is to go out in the morning."""
    message = NewMessage(
        organiser_id=world.organiser.organiser_id,
        kind=kind,
        subject_id=voucher_id,
        secret_id=None,
        fields={},
        language="fi",
        contacts=Contacts(**contacts),
        requested_by="test",
        priority=8,
    )
    return await queue_message(db, KEYS, message)


async def addressed(db: Connection, message_id: UUID) -> tuple[object, ...]:
    row = await db.fetchrow(
        "SELECT state, channel, recipient_index, recipient_hint, other_channel, other_index, other_hint, language"
        " FROM messages WHERE message_id = $1",
        message_id,
    )
    return tuple(row)


async def test_what_waits_for_the_morning_goes_to_the_new_contact(db: Connection, world: World) -> None:
    voucher_id = (await issue(db, world, email="maija@perhe.example")).voucher_id
    old = {"phone": "+358401234567", "email": "maija@perhe.example"}
    receipt = await waiting(db, world, voucher_id, "debit_receipt", **old)
    answer = await waiting(db, world, voucher_id, "reply_balance", phone=old["phone"])
    await change_contact(db, world, voucher_id, phone="050 765 4321", language="sv")
    new_phone, mail = KEYS.index.current("phone", "+358507654321"), KEYS.index.current("email", old["email"])
    assert await addressed(db, receipt) == ("pending", "sms", new_phone, "… 321", "email", mail, "m…@…", "sv")
    assert (await addressed(db, answer))[0] == "suppressed", "it answers the old number"
    await change_contact(db, world, voucher_id, removed=frozenset({"phone"}))
    assert await addressed(db, receipt) == ("pending", "email", mail, "m…@…", None, None, None, "sv")
    old_phone = KEYS.index.current("phone", old["phone"])
    states = await db.fetch("SELECT state FROM messages WHERE recipient_index = $1", old_phone)
    assert {row["state"] for row in states} == {"suppressed"}


@pytest.mark.parametrize(
    ("change", "falls_back_on"), [({"email": "uusi@perhe.example"}, "uusi@perhe.example"), ({"removed": "email"}, None)]
)
async def test_what_was_handed_over_falls_back_on_no_old_contact(
    db: Connection, world: World, change: dict[str, str], falls_back_on: str | None
) -> None:
    voucher_id = (await issue(db, world, email="maija@perhe.example")).voucher_id
    receipt = await waiting(db, world, voucher_id, "debit_receipt", phone="+358401234567", email="maija@perhe.example")
    await db.execute("UPDATE messages SET state = 'accepted', fence = 1 WHERE message_id = $1", receipt)
    removed = frozenset({change["removed"]}) if "removed" in change else frozenset()
    await change_contact(db, world, voucher_id, removed=removed, email=change.get("email"))
    row = await addressed(db, receipt)
    assert row[:4] == ("accepted", "sms", KEYS.index.current("phone", "+358401234567"), "… 567")
    assert row[5] == (KEYS.index.current("email", falls_back_on) if falls_back_on else None)


@pytest.mark.parametrize("preferred", ["sms", "email"])
@pytest.mark.parametrize("contacts", ["phone", "email", "phone email"])
async def test_what_is_told_later_goes_the_way_the_voucher_went(
    db: Connection, world: World, preferred: str, contacts: str
) -> None:
    given = {"phone": "040 123 4567", "email": "maija@perhe.example"}
    voucher_id = (
        await issue(
            db,
            world,
            preferred=preferred,
            **{name: value if name in contacts else None for name, value in given.items()},
        )
    ).voucher_id
    columns = "channel, recipient_index, recipient_hint, other_channel, other_index, other_hint"
    voucher = await db.fetchrow(f"SELECT {columns}, deadline_at - created_at AS patience FROM messages")
    later = await db.fetchrow(f"SELECT {columns}, patience FROM family_contacts WHERE voucher_id = $1", voucher_id)
    assert tuple(voucher) == tuple(later)
    both = {"sms": ("sms", "email"), "email": ("email", "sms")}[preferred]
    ways = {"phone": ("sms", None), "email": ("email", None), "phone email": both}
    assert (voucher["channel"], voucher["other_channel"]) == ways[contacts]


async def test_a_family_may_want_mail_first_later_and_a_new_number_does_not_change_that(
    db: Connection, world: World
) -> None:
    voucher_id = (await issue(db, world, email="maija@perhe.example")).voucher_id
    await change_contact(db, world, voucher_id, preferred="email")
    await change_contact(db, world, voucher_id, phone="050 765 4321")
    newest = await db.fetchrow(
        "SELECT channel, other_channel, other_hint FROM messages ORDER BY message_id DESC LIMIT 1"
    )
    assert tuple(newest) == ("email", "sms", "… 321")
    view = await operations.voucher_view(
        db, KEYS, organiser_id=world.organiser.organiser_id, voucher_id=voucher_id, today=TODAY
    )
    assert view.preferred == "email"


async def test_a_decision_with_another_preferred_channel_is_another(db: Connection, world: World) -> None:
    await issue(db, world, email="maija@perhe.example")
    assert not (await issue(db, world, email="maija@perhe.example", preferred="sms")).created
    with pytest.raises(DecisionDiffers):
        await issue(db, world, email="maija@perhe.example", preferred="email")


async def test_a_contact_that_is_no_mobile_changes_nothing(db: Connection, world: World) -> None:
    voucher_id = (await issue(db, world)).voucher_id
    old = await live_code(db, voucher_id)
    with pytest.raises(PhoneNotMobile):
        await change_contact(db, world, voucher_id, phone="014 266 3501")
    assert await live_code(db, voucher_id) == old
    assert len(await messages_of(db, voucher_id)) == 1


@pytest.mark.parametrize("ending", ["cancelled", "expired"])
async def test_a_voucher_that_ended_is_not_sent_again(db: Connection, world: World, ending: str) -> None:
    voucher_id = (await issue(db, world)).voucher_id
    today = TODAY
    if ending == "cancelled":
        await cancel(db, world, voucher_id)
    else:
        today = TODAY + timedelta(days=121)
    with pytest.raises(VoucherNotOpen) as refusal:
        await resend(db, world, voucher_id, today=today)
    assert refusal.value.details == {"state": ending}
    with pytest.raises(VoucherNotOpen):
        await replace(db, world, voucher_id, today=today)


async def cancel(db: Connection, world: World, voucher_id: object, **changes: object) -> None:
    known = {"organiser": world.organiser, "voucher_id": voucher_id, "actor": "key:1", "reason": "moved away"}
    await operations.cancel(db, **(known | {"from_date": None, "today": TODAY} | changes))


async def test_cancelling_leaves_the_value_for_visits_made_before_and_withdraws_the_text(
    db: Connection, world: World
) -> None:
    voucher_id = (await issue(db, world)).voucher_id
    await cancel(db, world, voucher_id)
    await cancel(db, world, voucher_id)
    row = await db.fetchrow("SELECT state, available, cancelled, cancelled_from FROM vouchers")
    assert tuple(row) == ("cancelled", 720, 0, TODAY)
    assert await messages_of(db, voucher_id) == [("suppressed", "voucher_cancelled")]
    assert await db.fetchval("SELECT count(*) FROM audit") == 1
    code_id = await db.fetchval("SELECT code_id FROM vouchers")
    assert await operations.secret_fields(db, KEYS, [(world.organiser.organiser_id, code_id)]) == {}


async def test_a_voucher_is_not_cancelled_from_a_day_after_its_last_nor_from_two_days(
    db: Connection, world: World
) -> None:
    voucher_id = (await issue(db, world)).voucher_id
    with pytest.raises(CancelDateUnfit):
        await cancel(db, world, voucher_id, from_date=TODAY + timedelta(days=121))
    with pytest.raises(CancelDateUnfit):
        await cancel(db, world, voucher_id, from_date=TODAY - timedelta(days=3650))


async def test_the_day_of_a_cancelling_can_be_corrected_until_the_voucher_is_closed(
    db: Connection, world: World
) -> None:
    voucher_id = (await issue(db, world)).voucher_id
    days = (TODAY + timedelta(days=7), TODAY, TODAY + timedelta(days=3))
    for day in (days[0], *days):
        await cancel(db, world, voucher_id, from_date=day)
        assert await db.fetchval("SELECT cancelled_from FROM vouchers") == day
    with pytest.raises(CancelDateUnfit):
        await cancel(db, world, voucher_id, from_date=TODAY + timedelta(days=121))
    noted = await db.fetch("SELECT reason FROM audit WHERE action = 'voucher.cancel' ORDER BY audit_id")
    assert [row["reason"].split(":")[0] for row in noted[1:]] == [f"{days[0]} → {days[1]}", f"{days[1]} → {days[2]}"]
    await db.execute("UPDATE vouchers SET state = 'closed', cancelled = available, available = 0")
    with pytest.raises(VoucherNotOpen):
        await cancel(db, world, voucher_id, from_date=TODAY)


@pytest.mark.parametrize("suspended_first", [True, False])
async def test_a_voucher_that_is_suspended_and_cancelled_takes_no_late_entry_until_it_is_resumed(
    db: Connection, world: World, suspended_first: bool
) -> None:
    voucher_id = (await issue(db, world)).voucher_id
    who = {"organiser": world.organiser, "voucher_id": voucher_id, "actor": "key:1"}
    if suspended_first:
        await operations.suspend(db, **who, reason="fraud?")
    await cancel(db, world, voucher_id, from_date=TODAY)
    for _ in range(2):
        await operations.suspend(db, **who, reason="fraud?")
    row = await db.fetchrow("SELECT state, late_entry_stopped FROM vouchers")
    assert tuple(row) == ("cancelled", True)
    await cancel(db, world, voucher_id, from_date=TODAY + timedelta(days=1))
    assert await db.fetchval("SELECT late_entry_stopped FROM vouchers")
    for _ in range(2):
        await operations.resume(db, **who, reason="looked into")
    row = await db.fetchrow("SELECT state, late_entry_stopped FROM vouchers")
    assert tuple(row) == ("cancelled", False)
    counts = await db.fetch("SELECT action, count(*) FROM audit GROUP BY action")
    assert dict(counts) == {"voucher.suspend": 1, "voucher.resume": 1, "voucher.cancel": 2}


async def test_suspending_and_resuming_are_noted_once_each(db: Connection, world: World) -> None:
    voucher_id = (await issue(db, world)).voucher_id
    who = {"organiser": world.organiser, "voucher_id": voucher_id, "actor": "key:1"}
    for change, state in ((operations.suspend, "suspended"), (operations.resume, "issued")):
        await change(db, **who, reason="fraud?")
        await change(db, **who, reason="fraud?")
        assert await db.fetchval("SELECT state FROM vouchers") == state
    actions = await db.fetch("SELECT action FROM audit ORDER BY audit_id")
    assert [row["action"] for row in actions] == ["voucher.suspend", "voucher.resume"]
    await db.execute("UPDATE vouchers SET state = 'closed', cancelled_from = $1", TODAY)
    for change in (operations.suspend, operations.resume):
        with pytest.raises(VoucherNotOpen):
            await change(db, **who, reason="fraud?")


async def test_confirming_shows_and_is_noted_once(db: Connection, world: World) -> None:
    voucher_id = (await issue(db, world)).voucher_id
    for _ in range(2):
        await operations.confirm(db, organiser=world.organiser, voucher_id=voucher_id, actor="key:1")
    found = await operations.find_voucher(db, organiser_id=world.organiser.organiser_id, voucher_id=voucher_id)
    assert found.status is DecisionStatus.CONFIRMED
    assert found.confirmed_at is not None
    assert await db.fetchval("SELECT count(*) FROM audit") == 1


async def test_another_organisers_voucher_is_answered_like_one_that_is_not_there(db: Connection, world: World) -> None:
    voucher_id = (await issue(db, world)).voucher_id
    who = {"organiser": world.stranger, "actor": "key:2"}
    organiser_id = world.stranger.organiser_id
    for wanted in (voucher_id, uuid4()):
        with pytest.raises(VoucherUnknown):
            await resend(db, world, wanted, organiser=world.stranger)
        with pytest.raises(VoucherUnknown):
            await replace(db, world, wanted, organiser=world.stranger)
        with pytest.raises(VoucherUnknown):
            await cancel(db, world, wanted, organiser=world.stranger)
        with pytest.raises(VoucherUnknown):
            await operations.suspend(db, **who, voucher_id=wanted, reason="x")
        with pytest.raises(VoucherUnknown):
            await operations.voucher_view(db, KEYS, organiser_id=organiser_id, voucher_id=wanted, today=TODAY)
        with pytest.raises(VoucherUnknown):
            await operations.voucher_messages(db, organiser_id=organiser_id, voucher_id=wanted)
    assert not await operations.search_vouchers(
        db, KEYS, organiser_id=organiser_id, search=Search(phone="+358401234567"), before=None, limit=9
    )


@pytest.mark.parametrize(
    "search",
    [Search(decision_ref="KH-2"), Search(client_ref="perhe-2"), Search(phone="+358501112222")],
    ids=["decision", "client", "phone"],
)
@pytest.mark.parametrize("keys", [KEYS, ROTATING], ids=["steady", "rotating"])
async def test_vouchers_are_found_by_decision_client_and_phone(
    db: Connection, world: World, search: Search, keys: object
) -> None:
    await issue(db, world)
    wanted = await issue(db, world, decision_ref="KH-2", client_ref="perhe-2", phone="050 111 2222")
    found = await operations.search_vouchers(
        db, keys, organiser_id=world.organiser.organiser_id, search=search, before=None, limit=9
    )
    assert [voucher.voucher_id for voucher in found] == [wanted.voucher_id]


async def test_the_list_is_newest_first_and_walks_by_cursor(db: Connection, world: World) -> None:
    made = [(await issue(db, world, decision_ref=f"KH-{number}")).voucher_id for number in range(5)]
    seen, before = [], None
    while page := await operations.search_vouchers(
        db, KEYS, organiser_id=world.organiser.organiser_id, search=Search(), before=before, limit=2
    ):
        seen += [voucher.voucher_id for voucher in page]
        before = seen[-1]
    assert seen == made[::-1]


async def test_the_shown_state_follows_the_balance_and_the_day(db: Connection, world: World) -> None:
    voucher_id = (await issue(db, world)).voucher_id
    organiser_id = world.organiser.organiser_id

    async def shown(today: object = TODAY) -> ShownState:
        return (await operations.find_voucher(db, organiser_id=organiser_id, voucher_id=voucher_id)).shown_state(today)

    assert await shown() is ShownState.ISSUED
    assert await shown(TODAY + timedelta(days=121)) is ShownState.EXPIRED
    await db.execute("UPDATE vouchers SET available = 0, debited = granted")
    assert await shown() is ShownState.EXHAUSTED
