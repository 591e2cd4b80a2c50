"""What needs a person is on the list as soon as it does, once, and for its own organiser alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from service.attention.model import CHANGE_FAILED, CONTACT_LOST, DELIVERY_REASONS, DISPUTED, IMPORT_FAILED, NEVER_USED
from service.attention.operations import keep_in_order, list_by_haste, open_item
from service.attention.words import catalogue, words_for
from service.channels.gateway import Action, Refused
from service.channels.model import Reason
from service.channels.operations import Answered, claim_due, claim_silent, decide_failures, look_up, record_answers
from service.db import Pool, transaction
from service.problems import LANGUAGES
from service.sandbox.sample import COUNTY, TOWN
from tests.channels.post_office import Office, taken_silently
from tests.families import PROVIDER, Family, family
from tests.installations import Installation, install, settings_for


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


@pytest.fixture
def office(pool: Pool) -> Office:
    return Office(pool)


async def escalate(one: Family, reason: str = "bad_contact", kind: str = "voucher") -> None:
    await one.change(
        "UPDATE messages SET state = 'escalated', reason = $2, due_at = NULL WHERE subject_id = $1 AND kind = $3",
        reason,
        kind,
    )


async def tidy(here: Installation) -> None:
    await keep_in_order(here.resources.pool)


async def listed(here: Installation, owner: str = COUNTY, *, language: str = "en", **query: object) -> dict:
    parameters = "&".join(f"{name}={value}" for name, value in query.items())
    answer = await here.call(owner, "GET", f"/v1/attention?{parameters}", language=language)
    assert answer.status == 200, await answer.text()
    return dict(await answer.json())


async def open_reasons(one: Family) -> list[str]:
    return [item["reason"] for item in await one.attention() if item["resolved_at"] is None]


# Opened with what makes it


async def items(office: Office) -> list[tuple]:
    rows = await office.pool.fetch("SELECT reason, message_id FROM attention ORDER BY opened_at")
    return [tuple(row) for row in rows]


async def test_a_refusal_for_good_is_on_the_list_in_the_transaction_that_gives_up(office: Office) -> None:
    message_id = await office.queue()
    [sending] = await claim_due(office.delivery, limit=10)
    await record_answers(office.delivery, [Answered(sending, Refused("30006", Action.BAD_CONTACT))])
    assert await items(office) == []
    await decide_failures(office.delivery, lambda *_: None)
    assert (await office.state(message_id))[0] == "escalated"
    assert await items(office) == [("bad_contact_landline", message_id)]


async def test_a_failure_that_goes_to_the_other_channel_needs_nobody(office: Office) -> None:
    await office.queue(email="maija@perhe.fi")
    [sending] = await claim_due(office.delivery, limit=10)
    await record_answers(office.delivery, [Answered(sending, Refused("30006", Action.BAD_CONTACT))])
    await decide_failures(office.delivery, lambda *_: None)
    assert await items(office) == []


async def test_a_message_that_cannot_be_rendered_is_on_the_list_in_the_transaction_of_its_claim(
    office: Office,
) -> None:
    message_id = await office.queue()
    await office.pool.execute("UPDATE messages SET language = 'xx'")
    assert await claim_due(office.delivery, limit=10) == []
    assert await items(office) == [("template_fault", message_id)]


async def test_three_unknowns_are_on_the_list_in_the_transaction_that_gives_up(office: Office) -> None:
    message_id = await office.queue()
    gateway = office.delivery.gateways["sms"]
    gateway.script = [taken_silently()]  # type: ignore[attr-defined]
    [sending] = await claim_due(office.delivery, limit=10)
    await record_answers(office.delivery, [Answered(sending, await gateway.send(sending.outgoing))])
    await office.pool.execute("UPDATE messages SET unknowns = 3, lookups = 1, due_at = now()")
    for silent in await claim_silent(office.delivery, limit=10):
        await look_up(office.delivery, silent)
    assert await office.state(message_id) == ("escalated", "often_unknown")
    assert await items(office) == [("often_unknown", message_id)]


async def test_an_item_that_is_missing_is_opened_within_the_minute_and_once(here: Installation) -> None:
    one = await family(here)
    await escalate(one)
    await asyncio.gather(*(tidy(here) for _ in range(4)))
    [item] = await one.attention()
    [message] = await one.messages("voucher")
    assert (item["reason"], item["message_id"], item["resolved_at"]) == ("bad_contact", message["message_id"], None)


async def test_an_item_that_a_person_has_resolved_does_not_come_back(here: Installation) -> None:
    one = await family(here)
    await escalate(one)
    await tidy(here)
    await one.change("UPDATE attention SET resolved_at = now(), resolved_by = 'x' WHERE subject_id = $1")
    await tidy(here)
    assert await open_reasons(one) == []


async def test_ten_receipts_to_a_dead_number_are_one_item_about_the_voucher(here: Installation) -> None:
    one = await family(here)
    for number in range(3):
        await one.debit(60, f"v{number}")
    await escalate(one, kind="debit_receipt")
    await tidy(here)
    [item] = await one.attention()
    assert (item["reason"], item["message_id"]) == (CONTACT_LOST, None)
    # A person has dealt with it, and the next visits are not even tried: no news.
    await one.change("UPDATE attention SET resolved_at = now(), resolved_by = 'x' WHERE subject_id = $1")
    await one.debit(60, "v9")
    await escalate_suppressed(one, "bad_contact")
    await tidy(here)
    assert await open_reasons(one) == []


async def escalate_suppressed(one: Family, suppressed_for: str) -> None:
    await one.change(
        "UPDATE messages SET state = 'escalated', reason = 'suppressed_contact', suppressed_for = $2, due_at = NULL"
        " WHERE subject_id = $1 AND kind = 'debit_receipt' AND state = 'pending'",
        suppressed_for,
    )


async def test_a_number_that_died_elsewhere_is_told_of_once(here: Installation) -> None:
    one = await family(here)
    await one.debit(60, "v1")
    await escalate_suppressed(one, "opted_out")
    await tidy(here)
    assert await one.attention() == [], "that is the family's own wish"
    await one.debit(60, "v2")
    await escalate_suppressed(one, "bad_contact")
    await tidy(here)
    assert await open_reasons(one) == [CONTACT_LOST]


async def test_what_a_person_could_only_send_again_is_not_listed_for_a_receipt(here: Installation) -> None:
    """Sent again would be the code, which the family has."""
    one = await family(here)
    await one.debit(60, "v1")
    about_the_contact = {"bad_contact", "not_routable", "country_not_served", "contact_unreadable"}
    about_the_contact |= {reason for reason in DELIVERY_REASONS if reason.startswith("bad_contact_")}
    for reason in sorted(DELIVERY_REASONS - about_the_contact):
        await escalate(one, reason, kind="debit_receipt")
        await tidy(here)
        assert await one.attention() == [], reason
    for language in LANGUAGES:
        assert "send again" not in words_for(CONTACT_LOST, language).action


async def test_a_family_whose_voucher_did_not_arrive_is_on_the_list_for_that_alone(here: Installation) -> None:
    one = await family(here)
    await escalate(one)
    await tidy(here)
    await one.debit(60, "v1")
    await escalate(one, kind="debit_receipt")
    await tidy(here)
    assert await open_reasons(one) == ["bad_contact"]


async def test_a_voucher_and_its_receipt_that_fail_in_one_moment_are_one_item(here: Installation) -> None:
    """In one transaction, so that neither was on the list before the other."""
    one = await family(here)
    await one.debit(60, "v1")
    await escalate(one, kind="debit_receipt")
    await escalate(one)
    await tidy(here)
    assert await open_reasons(one) == ["bad_contact"]


async def test_a_family_that_wants_no_texts_needs_nobody_when_a_receipt_cannot_go_out(here: Installation) -> None:
    one = await family(here)
    await one.debit(60, "v1")
    for reason in ("opted_out", "suppressed_contact"):
        await escalate(one, reason, kind="debit_receipt")
        await tidy(here)
        assert await one.attention() == []
    await escalate(one, "opted_out")
    await tidy(here)
    assert await open_reasons(one) == ["opted_out"], "the voucher itself is another matter"


async def test_the_same_thing_is_open_once_and_again_after_it_was_resolved(here: Installation) -> None:
    one = await family(here)
    entry_id = uuid4()

    async def dispute() -> object:
        async with transaction(here.resources.pool) as conn:
            return await open_item(
                conn, organiser_id=one.organiser_id, reason=DISPUTED, subject_id=one.voucher_id, entry_id=entry_id
            )

    opened = [await dispute(), await dispute()]
    assert opened[0] is not None
    assert opened[1] is None
    await one.change("UPDATE attention SET resolved_at = now(), resolved_by = 'x' WHERE subject_id = $1")
    assert await dispute() is not None


# Resolved by itself


async def test_a_late_receipt_takes_the_message_off_the_list(here: Installation) -> None:
    one = await family(here)
    await escalate(one, "silent")
    await tidy(here)
    await one.change("UPDATE messages SET state = 'delivered' WHERE subject_id = $1")
    await tidy(here)
    [item] = await one.attention()
    assert (item["resolved_by"], item["resolution"]) == ("system", "delivered_since")
    actions = await here.resources.pool.fetch("SELECT actor, subject_id FROM audit WHERE action = 'attention.resolve'")
    assert [tuple(row) for row in actions] == [("system", item["attention_id"])]


async def test_a_late_receipt_of_the_first_message_takes_the_one_on_the_other_channel_off(here: Installation) -> None:
    one = await family(here, beneficiary={"phone": "040 123 4567", "email": "maija@perhe.fi", "language": "fi"})
    await one.change("UPDATE messages SET state = 'undelivered', due_at = NULL WHERE subject_id = $1")
    await one.change(
        "INSERT INTO messages (organiser_id, message_id, fallback_of, kind, subject_id, fields, channel, language,"
        " recipient_sealed, recipient_index, recipient_hint, deadline_at, requested_by)"
        " SELECT organiser_id, gen_random_uuid(), message_id, kind, subject_id, fields, other_channel, language,"
        " other_sealed, other_index, other_hint, deadline_at, requested_by FROM messages WHERE subject_id = $1"
    )
    await one.change(
        "UPDATE messages SET state = 'escalated', reason = 'bad_contact', due_at = NULL"
        " WHERE subject_id = $1 AND fallback_of IS NOT NULL"
    )
    await tidy(here)
    assert await open_reasons(one) == ["bad_contact"]
    await one.change("UPDATE messages SET state = 'delivered' WHERE subject_id = $1 AND fallback_of IS NULL")
    await tidy(here)
    assert await open_reasons(one) == []


async def test_a_late_receipt_shows_that_the_contact_is_not_lost(here: Installation) -> None:
    one = await family(here)
    await one.debit(60, "v1")
    await escalate(one, kind="debit_receipt")
    await tidy(here)
    await one.change(
        "UPDATE messages SET state = 'delivered', delivered_at = now() WHERE subject_id = $1 AND kind = 'debit_receipt'"
    )
    await tidy(here)
    assert await open_reasons(one) == []


async def test_a_new_contact_that_is_reached_takes_the_old_one_off_the_list(here: Installation) -> None:
    one = await family(here)
    await escalate(one)
    await tidy(here)
    body = {"phone": "040 765 4321", "reason": "uusi numero"}
    assert (await here.call(COUNTY, "POST", f"/v1/vouchers/{one.voucher_id}/contact", body)).status == 200
    await tidy(here)
    assert await open_reasons(one) == ["bad_contact"], "not before it has arrived"
    await one.change("UPDATE messages SET state = 'delivered' WHERE subject_id = $1 AND state = 'pending'")
    await tidy(here)
    assert await open_reasons(one) == []


async def test_a_receipt_that_arrives_does_not_prove_that_the_voucher_did(here: Installation) -> None:
    one = await family(here)
    await escalate(one, "unreachable")
    await tidy(here)
    await one.debit(60, "v1")
    await one.change("UPDATE messages SET state = 'delivered' WHERE subject_id = $1 AND kind = 'debit_receipt'")
    await tidy(here)
    assert await open_reasons(one) == ["unreachable"]


async def test_only_a_person_ends_a_dispute(here: Installation) -> None:
    one = await family(here)
    async with transaction(here.resources.pool) as conn:
        await open_item(conn, organiser_id=one.organiser_id, reason=DISPUTED, subject_id=one.voucher_id)
        await open_item(conn, organiser_id=one.organiser_id, reason=NEVER_USED, subject_id=one.voucher_id)
    await one.debit(60, "v1")
    await one.change("UPDATE messages SET state = 'delivered' WHERE subject_id = $1")
    await tidy(here)
    assert await open_reasons(one) == [DISPUTED], "and the voucher has been used"


# As caseworkers see it


async def test_the_list_tells_why_and_what_to_do_in_the_callers_language(here: Installation) -> None:
    one = await family(here, decision_ref="KH-77")
    await escalate(one)
    await tidy(here)
    for language in LANGUAGES:
        [item] = (await listed(here, language=language))["items"]
        words = words_for("bad_contact", language)
        assert (item["sentence"], item["action"]) == (words.sentence, words.action)
    assert (item["decision_ref"], item["voucher_id"]) == ("KH-77", str(one.voucher_id))
    shown = str(item).replace(" ", "")
    assert "1234567" not in shown  # more than 040: an id may well have that in it


async def test_the_list_is_oldest_first_and_its_pages_keep_their_place(here: Installation) -> None:
    families = [await family(here) for _ in range(5)]
    for number, one in enumerate(families):
        await escalate(one)
        await tidy(here)
        await one.change("UPDATE attention SET opened_at = now() + $2 * interval '1 s' WHERE subject_id = $1", number)
    seen, cursor = [], None
    while True:
        page = await listed(here, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [item["voucher_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        # Somebody resolves what was just read; nothing is skipped.
        await here.call(COUNTY, "POST", f"/v1/attention/{cursor}/resolve", {"resolution": "soitettu"})
    assert seen == [str(one.voucher_id) for one in families]


async def test_people_see_first_what_cannot_wait_and_their_pages_keep_their_place(here: Installation) -> None:
    families = [await family(here) for _ in range(6)]
    async with here.resources.pool.acquire() as conn:
        for number, one in enumerate(families):
            reason = NEVER_USED if number < 3 else CONTACT_LOST  # the oldest are those that can wait
            await open_item(conn, organiser_id=one.organiser_id, reason=reason, subject_id=one.voucher_id)
            await one.change(
                "UPDATE attention SET opened_at = now() + $2 * interval '1 s' WHERE subject_id = $1", number
            )
        organiser_id, seen, after = families[0].organiser_id, [], None
        while found := await list_by_haste(conn, organiser_id=organiser_id, after=after, limit=2):
            seen += [item.voucher_id for item in found]
            after = found[-1].attention_id
    assert seen == [one.voucher_id for one in (*families[3:], *families[:3])]


async def test_an_item_is_resolved_once_and_who_did_is_recorded(here: Installation) -> None:
    one = await family(here)
    await escalate(one)
    await tidy(here)
    [item] = (await listed(here))["items"]
    path = f"/v1/attention/{item['attention_id']}/resolve"
    body = {"resolution": "soitettu, uusi numero"}

    first = await here.call(COUNTY, "POST", path, body, key="r1")
    again = await here.call(COUNTY, "POST", path, body, key="r1")
    other = await here.call(COUNTY, "POST", path, body)

    assert (first.status, again.status, other.status) == (200, 200, 409)
    assert await first.read() == await again.read()
    assert (await other.json())["code"] == "attention_resolved"
    assert (await listed(here))["items"] == []
    lines = await here.resources.pool.fetch("SELECT actor, reason FROM audit WHERE action = 'attention.resolve'")
    assert [(row["actor"][:4], row["reason"]) for row in lines] == [("key:", "soitettu, uusi numero")]


async def test_many_at_once_resolve_an_item_once(here: Installation) -> None:
    one = await family(here)
    await escalate(one)
    await tidy(here)
    [item] = await one.attention()
    path = f"/v1/attention/{item['attention_id']}/resolve"
    answers = await asyncio.gather(*(here.call(COUNTY, "POST", path, {"resolution": "x"}) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 7
    assert await here.resources.pool.fetchval("SELECT count(*) FROM audit WHERE action = 'attention.resolve'") == 1


async def test_another_organisers_item_does_not_exist(here: Installation) -> None:
    one = await family(here)
    await escalate(one)
    await tidy(here)
    [item] = await one.attention()
    assert (await listed(here, TOWN))["items"] == []
    assert (await listed(here, TOWN, cursor=item["attention_id"]))["items"] == []
    body = {"resolution": "x"}
    foreign = await here.call(TOWN, "POST", f"/v1/attention/{item['attention_id']}/resolve", body)
    unknown = await here.call(TOWN, "POST", f"/v1/attention/{uuid4()}/resolve", body)
    nonsense = await here.call(TOWN, "POST", "/v1/attention/nonsense/resolve", body)
    assert foreign.status == unknown.status == nonsense.status == 404
    assert await foreign.read() == await unknown.read() == await nonsense.read()
    assert await open_reasons(one) == ["bad_contact"]


async def test_providers_have_no_list(here: Installation) -> None:
    assert (await here.call(PROVIDER, "GET", "/v1/attention")).status == 403


# Words


def test_every_reason_has_its_sentence_and_its_action_in_every_language() -> None:
    for language in LANGUAGES:
        words = catalogue(language)
        assert set(words) == DELIVERY_REASONS | {
            CHANGE_FAILED,
            CONTACT_LOST,
            DISPUTED,
            IMPORT_FAILED,
            NEVER_USED,
            "other",
        }, language
        for reason, entry in words.items():
            assert set(entry) == {"sentence", "action"}, (language, reason)
            assert all(text.endswith((".", "?")) for text in entry.values()), (language, reason)


def test_every_reason_that_a_message_can_be_escalated_for_is_one_of_the_lists() -> None:
    on_the_way = {
        Reason.NO_ANSWER,
        Reason.LEASE_EXPIRED,
        Reason.RESENT,
        Reason.OBSOLETE,
    }
    assert {reason.value for reason in Reason if reason not in on_the_way} == DELIVERY_REASONS


def test_a_reason_of_a_newer_version_is_still_told() -> None:
    assert words_for("never_heard_of", "fi") == words_for("other", "fi")
