"""Families text back: the real application and dispatcher, with the sandbox's phones at the other end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from service.db import Pool
from service.sandbox.sample import COUNTY, FAMILY_SERVICES, TOWN
from tests.sandbox.desk import FAMILY
from tests.towns import Town, running_town

PROVIDER = FAMILY_SERVICES.business_id
STRANGER = "+358409999999"


@pytest.fixture
async def town(pool: Pool, database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Town]:
    async with running_town(database_url, redis_url, tmp_path) as town:
        yield town


async def test_saldo_brings_the_balance_to_the_phone(town: Town) -> None:
    made = await town.decide()
    [first] = await town.wait_for_texts(1)
    await town.text("Saldo?")
    texts = await town.wait_for_texts(2)
    code = await town.here.code_of(made["voucher_id"])
    assert code in first
    assert f"..{code[-4:]}: 12 t" in texts[1]
    assert code[:4] not in texts[1].replace("014", "")
    assert await town.effects() == ["answered"]


async def test_the_balance_is_in_the_familys_language(town: Town) -> None:
    await town.decide(language="sv")
    await town.wait_for_texts(1)
    await town.text("saldo")
    assert "Kvar" in (await town.wait_for_texts(2))[1]


async def test_several_vouchers_are_listed_three_at_most(town: Town) -> None:
    for _ in range(4):
        await town.decide()
    await town.wait_for_texts(4)
    await town.text("SALDO")
    listed = (await town.wait_for_texts(5))[4]
    assert listed.count("..") == 3


async def test_two_organisers_answer_each_for_itself_and_see_nothing_of_each_other(town: Town) -> None:
    county, other = await town.decide(COUNTY), await town.decide(TOWN)
    await town.wait_for_texts(2)
    await town.text("SALDO")
    texts = await town.wait_for_texts(4)
    endings = [(await town.here.code_of(made["voucher_id"]))[-4:] for made in (county, other)]
    for ending in endings:
        assert sum(f"..{ending}" in text for text in texts[2:]) == 1
    rows = await town.here.resources.pool.fetch(
        "SELECT m.organiser_id = v.organiser_id AS own, fields::text AS fields, v.voucher_id"
        " FROM messages m JOIN vouchers v ON v.voucher_id = m.subject_id WHERE kind = 'reply_balance'"
    )
    assert [row["own"] for row in rows] == [True, True]
    for row in rows:
        is_county = str(row["voucher_id"]) == county["voucher_id"]
        assert endings[is_county] not in row["fields"]
    answer = await town.here.call(TOWN, "GET", f"/v1/vouchers/{county['voucher_id']}")
    assert answer.status == 404


async def test_uudelleen_sends_the_code_again_three_times_a_day(town: Town) -> None:
    made = await town.decide()
    await town.wait_for_texts(1)
    code = await town.here.code_of(made["voucher_id"])
    for number in range(3):
        await town.text(f"Uudelleen {number}")
    texts = await town.wait_for_texts(4)
    assert all(code in text for text in texts)
    await town.text("uudelleen taas")
    last = (await town.wait_for_texts(5))[4]
    assert code not in last
    assert (await town.effects())[-1] == "resend_limited"


async def test_a_family_that_asks_often_uses_up_nothing_of_its_caseworkers(town: Town) -> None:
    made = await town.decide()
    await town.wait_for_texts(1)
    path = f"/v1/vouchers/{made['voucher_id']}/resend"
    for number in range(4):
        await town.text(f"Uudelleen {number}")
    answers = [await town.here.call(COUNTY, "POST", path, {"reason": "x"}) for _ in range(6)]
    assert [answer.status for answer in answers] == [*[200] * 5, 429]
    await town.decide()
    await town.text("uudelleen vielä")
    assert (await town.effects())[-1] == "resent", "the new voucher has not had its three"


async def test_one_voucher_that_cannot_be_read_does_not_keep_the_others_code(town: Town) -> None:
    broken, whole = await town.decide(), await town.decide()
    await town.wait_for_texts(2)
    break_seal = "UPDATE beneficiaries SET phone_sealed = '\\x00' WHERE voucher_id = $1::text::uuid RETURNING 1"
    await town.value(break_seal, broken["voucher_id"])
    await town.text("UUDELLEEN")
    assert await town.here.code_of(whole["voucher_id"]) in (await town.wait_for_texts(3))[2]
    await town.value(break_seal, whole["voucher_id"])
    await town.text("uudelleen!")
    assert "014 555 0101" in (await town.wait_for_texts(4))[3]


async def test_many_vouchers_of_one_organiser_hide_nothing_of_another(town: Town) -> None:
    await town.decide(TOWN)
    for _ in range(4):
        await town.decide()
    await town.wait_for_texts(5)
    await town.text("SALDO")
    lines = sorted(text.count("..") for text in (await town.wait_for_texts(7))[5:])
    assert lines == [1, 3]


async def test_strangers_are_answered_so_often_a_day_in_all(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.vouchers.operations.replies.STRANGERS_PER_DAY", 2)
    numbers = [f"+35840999990{number}" for number in range(3)]
    for number in numbers:
        await town.text("SALDO", sender=number)
    assert await town.effects() == ["stranger_answered", "stranger_answered", "over_limit"]
    assert await town.quiet_texts(numbers[2]) == []


async def test_a_forged_sender_gets_nothing_to_its_own_phone(town: Town) -> None:
    made = await town.decide()
    await town.wait_for_texts(1)
    await town.text("UUDELLEEN", sender=STRANGER)
    [answer] = await town.wait_for_texts(1, STRANGER)
    assert await town.here.code_of(made["voucher_id"]) not in answer
    assert len(await town.quiet_texts()) == 1


async def test_an_unknown_number_is_answered_once_a_day(town: Town) -> None:
    await town.text("SALDO", sender=STRANGER)
    assert "Emme tunne" in (await town.wait_for_texts(1, STRANGER))[0]
    for word in ("apua", "hei", "UUDELLEEN", "EI"):
        await town.text(word, sender=STRANGER)
    assert len(await town.quiet_texts(STRANGER)) == 1
    assert await town.effects() == ["stranger_answered", *["over_limit"] * 4]


async def test_a_forged_text_is_refused_and_changes_nothing(town: Town) -> None:
    await town.decide()
    form = {"MessageSid": "SM" + "0" * 32, "From": FAMILY, "To": "+358457300100", "Body": "STOP"}
    assert await town.hook(form, token="another") == 403
    assert await town.hook(form, url="https://other.example/hooks/twilio/inbound") == 403
    assert await town.value("SELECT count(*) FROM inbound_texts") == 0
    assert await town.value("SELECT count(*) FROM suppressions") == 0


async def test_a_replayed_text_changes_nothing(town: Town) -> None:
    await town.decide()
    await town.wait_for_texts(1)
    form = {"MessageSid": "SM" + uuid4().hex, "From": FAMILY, "To": "+358457300100", "Body": "SALDO"}
    assert [await town.hook(form) for _ in range(3)] == [200, 200, 200]
    await town.wait_for_texts(2)
    assert len(await town.quiet_texts()) == 2
    assert await town.hook({"From": FAMILY}) == 200


async def test_stop_sends_what_follows_by_mail_or_to_a_person_and_start_ends_it(town: Town) -> None:
    with_mail, without = await town.decide(email="maija@perhe.example"), await town.decide()
    await town.wait_for_texts(2)
    await town.text("stop")
    for made in (with_mail, without):
        answer = await town.here.call(COUNTY, "POST", f"/v1/vouchers/{made['voucher_id']}/resend", {"reason": "x"})
        assert answer.status == 200
    await town.message_in_state(with_mail["voucher_id"], "sent", channel="email")
    escalated = await town.message_in_state(without["voucher_id"], "escalated")
    assert escalated["reason"] == "suppressed_contact"
    assert escalated["attempts"] == []
    assert "START" in escalated["told"]
    seen = await (await town.here.call(COUNTY, "GET", f"/v1/vouchers/{without['voucher_id']}")).json()
    assert [(found["channel"], found["reason"]) for found in seen["suppressions"]] == [("sms", "opted_out")]
    assert await town.value("SELECT count(*) FROM attention WHERE resolved_at IS NULL") == 1
    assert len(await town.quiet_texts()) == 2

    await town.text("Start")
    await town.here.call(COUNTY, "POST", f"/v1/vouchers/{without['voucher_id']}/resend", {"reason": "x"})
    await town.wait_for_texts(3)
    seen = await (await town.here.call(COUNTY, "GET", f"/v1/vouchers/{without['voucher_id']}")).json()
    assert seen["suppressions"] == []


async def test_a_caseworker_lifts_a_suppression_once_with_a_reason(town: Town) -> None:
    made = await town.decide()
    await town.wait_for_texts(1)
    await town.text("SEIS")
    path = f"/v1/vouchers/{made['voucher_id']}/lift-suppression"
    unasked = {"channel": "sms", "reason": "Koodi pitää saada perille"}
    refusal = await town.here.call(COUNTY, "POST", path, unasked)
    assert (refusal.status, (await refusal.json())["code"]) == (422, "suppression_is_wish")
    body = {"channel": "sms", "reason": "Perhe pyysi", "asked_by_family": True}
    assert (await town.here.call(TOWN, "POST", path, body)).status == 404
    assert await town.value("SELECT count(*) FROM suppressions WHERE lifted_at IS NULL") == 1
    assert (await town.here.call(COUNTY, "POST", path, body)).status == 200
    assert (await town.here.call(COUNTY, "POST", path, body)).status == 200
    assert (await town.here.call(COUNTY, "POST", path, {"channel": "fax", "reason": "x"})).status == 400
    assert await town.value("SELECT count(*) FROM suppressions WHERE lifted_at IS NULL") == 0
    assert await town.value("SELECT count(*) FROM audit WHERE action = 'voucher.lift_suppression'") == 0
    assert await town.value("SELECT count(*) FROM audit WHERE action LIKE 'voucher.lift%as_the_family_asked'") == 1
    assert await town.value("SELECT lift_reason FROM suppressions") == "Perhe pyysi"


async def test_an_organiser_sees_no_time_before_its_own_voucher_and_lifts_a_fault_by_itself(town: Town) -> None:
    made = await town.decide()
    await town.wait_for_texts(1)
    await town.text("STOP")
    await town.value("UPDATE suppressions SET since = since - interval '9 days', reason = 'bad_contact' RETURNING 1")
    path = f"/v1/vouchers/{made['voucher_id']}"
    seen = await (await town.here.call(COUNTY, "GET", path)).json()
    assert [found["since"] for found in seen["suppressions"]] == [seen["created_at"]]
    body = {"channel": "sms", "reason": "Numero toimii taas"}
    assert (await town.here.call(COUNTY, "POST", f"{path}/lift-suppression", body)).status == 200
    assert await town.value("SELECT count(*) FROM suppressions WHERE lifted_at IS NULL") == 0
    assert await town.value("SELECT count(*) FROM audit WHERE action = 'voucher.lift_suppression'") == 1


async def test_a_new_contact_does_not_inherit_the_old_ones_stop(town: Town) -> None:
    made = await town.decide()
    await town.wait_for_texts(1)
    await town.text("STOP")
    path = f"/v1/vouchers/{made['voucher_id']}"
    await town.here.call(COUNTY, "POST", f"{path}/contact", {"phone": "040 765 4321", "reason": "uusi numero"})
    await town.wait_for_texts(1, "+358407654321")
    assert (await (await town.here.call(COUNTY, "GET", path)).json())["suppressions"] == []


async def test_ei_disputes_the_newest_visit_that_the_family_was_told_of(town: Town) -> None:
    made = await town.decide()
    await town.wait_for_texts(1)
    code = await town.here.code_of(made["voucher_id"])
    debits = []
    for number in range(2):
        answer = await town.here.call(
            PROVIDER, "POST", "/v1/debits", {"code": code, "amount": 60 + 30 * number}, key=f"k{number}"
        )
        debits.append((await answer.json())["debit_id"])
        await town.wait_for_texts(2 + number)
    await town.text("EI, ei ollut käyntiä")
    assert "1 t 30 min" in (await town.wait_for_texts(4))[3]
    row = await town.here.resources.pool.fetchrow("SELECT reason, subject_id, entry_id FROM attention")
    assert (row["reason"], str(row["subject_id"]), row["entry_id"]) == ("disputed", made["voucher_id"], UUID(debits[1]))
    await town.text("ei!!")
    await town.wait_for_texts(5)
    assert await town.value("SELECT count(*) FROM attention") == 1


async def test_ei_without_a_visit_is_answered_with_help(town: Town) -> None:
    await town.decide()
    await town.wait_for_texts(1)
    await town.text("EI")
    assert "014 555 0101" in (await town.wait_for_texts(2))[1]
    assert await town.value("SELECT count(*) FROM attention") == 0


async def test_a_visit_that_the_number_was_not_told_of_cannot_be_disputed_by_it(town: Town) -> None:
    made = await town.decide()
    await town.wait_for_texts(1)
    code = await town.here.code_of(made["voucher_id"])
    await town.here.call(PROVIDER, "POST", "/v1/debits", {"code": code, "amount": 60}, key="k")
    await town.wait_for_texts(2)
    path = f"/v1/vouchers/{made['voucher_id']}/contact"
    await town.here.call(COUNTY, "POST", path, {"phone": "040 765 4321", "reason": "uusi numero"})
    await town.text("EI")
    await town.text("EI", sender="+358407654321")
    assert await town.value("SELECT count(*) FROM attention") == 0
    assert (await town.effects())[0] == "stranger_answered"


async def test_a_voucher_that_ended_is_not_told_of_any_more(town: Town) -> None:
    made = await town.decide()
    await town.wait_for_texts(1)
    await town.here.call(COUNTY, "POST", f"/v1/vouchers/{made['voucher_id']}/cancel", {"reason": "x"})
    await town.text("SALDO")
    [_, answer] = await town.wait_for_texts(2)
    assert ".." not in answer
    assert "014 555 0101" in answer
