"""Workers charge by text: signed webhooks into the real application, answers out through the sandbox's phones."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from service.channels.operations import inbound
from service.db import Pool
from service.money import Unit, format_amount
from service.sandbox.sample import COUNTY, FAMILY_SERVICES, PROVIDERS, TOWN
from service.staff.model import WRONG_MAX
from service.staff.visits import is_weekday
from tests.sandbox.desk import ACCOUNT, FAMILY
from tests.towns import Town, running_town

PROVIDER = FAMILY_SERVICES.business_id
CLEANER = PROVIDERS[1].business_id
PHONE = "+358407000001"
OTHER_PHONE = "+358407000002"
MAIJA = {"phone": FAMILY, "language": "fi"}


@dataclass
class Door:
    """A worker at a family's door."""

    town: Town
    worker: dict[str, Any]
    voucher: dict[str, Any]
    code: str

    @property
    def pin(self) -> str:
        return str(self.worker["pin"])

    @property
    def wrong_pin(self) -> str:
        return f"{(int(self.pin) + 1) % 1_000_000:06}"

    async def text(self, body: str, *, reference: str | None = None, phone: str = PHONE) -> int:
        form = {
            "AccountSid": ACCOUNT,
            "MessageSid": reference or f"SM{uuid4().hex}",
            "From": phone,
            "To": "+358457300100",
            "Body": body,
        }
        return await self.town.hook(form)

    async def say(self, body: str, *, phone: str = PHONE) -> str:
        """Text, and give the answer to it."""
        before = len(await self.town.texts(phone))
        await self.town.text(body, sender=phone)
        return (await self.town.wait_for_texts(before + 1, phone))[-1]

    async def debits(self) -> int:
        return int(await self.town.value("SELECT count(*) FROM entries WHERE kind = 'debit'"))

    async def office(self, path: str, *, status: int = 200) -> dict[str, Any]:
        answer = await self.town.here.call(PROVIDER, "POST", f"/v1/workers/{self.worker['worker_id']}/{path}")
        assert answer.status == status, await answer.text()
        return dict(await answer.json())

    async def row(self) -> dict[str, Any]:
        found = await self.town.here.resources.pool.fetchrow(
            "SELECT * FROM workers WHERE worker_id = $1", UUID(self.worker["worker_id"])
        )
        assert found is not None
        return dict(found)


async def register(town: Town, *, phone: str = PHONE, owner: str = PROVIDER, **fields: Any) -> dict[str, Any]:
    body = {"name": "Anna Aalto", "phone": phone, "language": "fi", **fields}
    answer = await town.here.call(owner, "POST", "/v1/workers", body)
    assert answer.status == 201, await answer.text()
    return dict(await answer.json())


@pytest.fixture
async def town(pool: Pool, database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Town]:
    async with running_town(database_url, redis_url, tmp_path) as town:
        yield town


@pytest.fixture
async def door(town: Town) -> Door:
    worker, voucher = await register(town), await town.here.decide(weekly=None, beneficiary=MAIJA)
    await town.wait_for_texts(1)
    return Door(town, worker, voucher, await town.here.code_of(voucher["voucher_id"]))


async def test_a_code_hours_and_the_pin_charge_the_visit_and_tell_what_is_left(door: Door) -> None:
    answer = await door.say(f"{door.code} 2,5 {door.pin}")
    ending = door.code[-4:]
    own = format_amount(await door.town.value("SELECT own_cents FROM entries"), Unit.CENTS, "fi")  # another on Sundays
    assert answer == f"..{ending}: veloitettu 2 t 30 min. Perhe maksaa {own}. Setelissä on jäljellä 9 t 30 min."
    entry = await door.town.here.resources.pool.fetchrow("SELECT amount, credential_id, worker FROM entries")
    assert dict(entry) == {"amount": 150, "credential_id": UUID(door.worker["worker_id"]), "worker": "Anna Aalto"}
    [_, receipt] = await door.town.wait_for_texts(2)  # the family's own
    assert "2 t 30 min" in receipt
    assert await door.town.effects() == ["charged"]


async def test_the_answer_is_in_the_workers_language(door: Door) -> None:
    await register(door.town, phone=OTHER_PHONE, language="sv")
    assert "Timmarna saknas" in await door.say(door.code, phone=OTHER_PHONE)


async def test_a_forged_sender_without_the_pin_charges_nothing(door: Door) -> None:
    """It can have a question sent, to the worker's own phone; it cannot read it."""
    for number in range(5):
        await door.text(f"{door.code} {number + 1}", reference=f"SM{number:032}")
    assert await door.debits() == 0
    assert await door.town.value("SELECT count(*) FROM vouchers WHERE available <> granted") == 0


async def test_the_question_is_answered_with_the_number_it_shows_and_charges_exactly_that(door: Door) -> None:
    question = await door.say(f"{door.code} 2,5")
    assert "veloitetaanko 2 t 30 min?" in question
    assert await door.debits() == 0
    [number] = re.findall(r"vastaa (\d{4})", question)
    assert "veloitettu 2 t 30 min" in await door.say(number)
    assert await door.debits() == 1
    assert "Kysymystä ei ole" in await door.say(number)  # once
    assert await door.debits() == 1
    key = await door.town.value("SELECT idempotency_key FROM requests WHERE idempotency_key LIKE 'sms:%'")
    first = await door.town.value("SELECT reference FROM inbound_texts WHERE effect = 'charge_asked'")
    assert key == f"sms:twilio:{first}"


async def test_the_same_visit_texted_again_is_asked_about_and_may_be_meant(door: Door) -> None:
    """The answer came late, and the worker texts once more: two texts, two ids, one visit."""
    first = f"{door.code} 1,5 {door.pin}"
    assert "veloitettu" in await door.say(first)
    question = await door.say(first)
    assert "veloitetaanko" in question
    assert await door.debits() == 1
    number = re.search(r"vastaa (\d{4})", question)
    assert number is not None
    assert "veloitettu" in await door.say(number[1])
    assert "veloitettu" in await door.say(f"{door.code} 0,5 {door.pin}"), "another length is another visit"


async def test_the_question_is_over_after_a_quarter_of_an_hour(door: Door) -> None:
    [number] = re.findall(r"vastaa (\d{4})", await door.say(f"{door.code} 2,5"))
    await door.town.here.resources.pool.execute(
        "UPDATE charge_questions SET expires_at = expires_at - interval '15 minutes'"
    )
    assert "sen aika on mennyt" in await door.say(number)
    assert await door.debits() == 0
    assert (await door.row())["wrong_pins"] == 0


async def test_the_answer_counts_from_the_asked_number_only(door: Door) -> None:
    await register(door.town, phone=OTHER_PHONE)
    [number] = re.findall(r"vastaa (\d{4})", await door.say(f"{door.code} 2,5"))
    assert "Kysymystä ei ole" in await door.say(number, phone=OTHER_PHONE)
    assert await door.debits() == 0


async def test_a_wrong_answer_drops_nothing_and_three_lock(door: Door) -> None:
    [number] = re.findall(r"vastaa (\d{4})", await door.say(f"{door.code} 2,5"))
    wrong = f"{(int(number) + 1) % 10_000:04}"
    assert "Yrityksiä jäljellä: 2" in await door.say(wrong)
    assert ": veloitettu" in await door.say(number)
    [number] = re.findall(r"vastaa (\d{4})", await door.say(f"{door.code} 1"))
    wrong = f"{(int(number) + 1) % 10_000:04}"
    for _ in range(2):
        assert "Yrityksiä jäljellä" in await door.say(wrong)
    assert "toimistoltasi uusi PIN" in await door.say(wrong)
    assert "toimistoltasi uusi PIN" in await door.say(number)
    assert await door.debits() == 1


async def test_three_wrong_pins_lock_until_the_office_lifts_it_with_a_new_pin(door: Door) -> None:
    for left in (2, 1):
        assert f"Yrityksiä jäljellä: {left}." in await door.say(f"{door.code} 2 {door.wrong_pin}")
    assert "toimistoltasi uusi PIN" in await door.say(f"{door.code} 2 {door.wrong_pin}")
    assert "toimistoltasi uusi PIN" in await door.say(f"{door.code} 2 {door.pin}")
    assert await door.debits() == 0
    await door.office("new-pin", status=409)
    door.worker = await door.office("unlock")
    assert door.worker["state"] == "active"
    assert ": veloitettu" in await door.say(f"{door.code} 2 {door.pin}")
    actions = await door.town.here.resources.pool.fetch(
        "SELECT action FROM audit WHERE action LIKE 'worker%' ORDER BY audit_id"
    )
    assert [row["action"] for row in actions] == ["worker_added", "worker_unlocked"]


async def test_texts_at_once_get_no_more_tries(door: Door) -> None:
    statuses = await asyncio.gather(
        *(door.text(f"{door.code} 2 {number:06}", reference=f"SM{number:032}") for number in range(12)),
    )
    assert set(statuses) == {200}
    row = await door.row()
    assert (row["wrong_pins"], row["locked_at"] is not None) == (WRONG_MAX, True)
    assert await door.debits() == 0


async def test_a_right_pin_clears_the_count(door: Door) -> None:
    for _ in range(4):
        await door.say(f"{door.code} 1 {door.wrong_pin}")
        await door.say(f"{door.code} 1 {door.pin}")
    assert (await door.row())["locked_at"] is None


async def test_a_text_that_the_gateway_brings_again_charges_once(door: Door) -> None:
    body = f"{door.code} 2 {door.pin}"
    assert [await door.text(body, reference="SM" + "1" * 32) for _ in range(3)] == [200] * 3
    assert await door.debits() == 1
    # When the journal has forgotten it, the idempotency key has not.
    await door.town.here.resources.pool.execute("DELETE FROM inbound_texts")
    assert await door.text(body, reference="SM" + "1" * 32) == 200
    assert await door.debits() == 1
    assert (await door.row())["charges"] == 1


async def test_the_same_text_brought_by_many_at_once_charges_once(door: Door) -> None:
    body = f"{door.code} 2 {door.pin}"
    await asyncio.gather(*(door.text(body, reference="SM" + "1" * 32) for _ in range(8)))
    assert await door.debits() == 1


@pytest.mark.parametrize("table", ["messages", "inbound_texts"])
async def test_a_charge_whose_answer_cannot_be_kept_is_not_made(door: Door, table: str) -> None:
    """Charge, answer and journal are one transaction: what breaks any of them undoes all, and a repeat does it once."""
    pool = door.town.here.resources.pool
    await pool.execute(
        "CREATE FUNCTION break_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'broken'; END $$;"
        f"CREATE TRIGGER broken BEFORE {'UPDATE' if table == 'inbound_texts' else 'INSERT'} ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION break_it()"
    )
    body, reference = f"{door.code} 2 {door.pin}", "SM" + "2" * 32
    assert await door.text(body, reference=reference) == 500
    await pool.execute(f"DROP TRIGGER broken ON {table}; DROP FUNCTION break_it()")
    assert await door.debits() == 0
    assert await door.town.value("SELECT count(*) FROM requests WHERE idempotency_key LIKE 'sms:%'") == 0
    assert await door.text(body, reference=reference) == 200
    assert await door.debits() == 1
    assert len(await door.town.wait_for_texts(1, PHONE)) == 1


async def test_a_voucher_that_is_busy_is_not_charged_later_and_unseen(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = door.town.here.resources.pool
    body, reference = f"{door.code} 2 {door.pin}", "SM" + "3" * 32
    with monkeypatch.context() as patched:
        patched.setattr(inbound, "PATIENCE_S", 1.0)
        async with pool.acquire() as rival, rival.transaction():
            await rival.execute("SELECT FROM vouchers FOR UPDATE")
            assert await door.text(body, reference=reference) == 409
    assert await door.debits() == 0
    assert await door.text(body, reference=reference) == 200
    assert await door.debits() == 1


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Tunnit puuttuvat"),
        ("40 €", "Tunnit puuttuvat"),
        ("8,25", "enintään 8 t"),
        ("kiitos", "ei saanut selvää"),
        ("30.2. 2", "ei ole kalenterissa"),
        ("1,1", "15 min välein"),
        ("7:50", "15 min välein"),
    ],
)
async def test_what_cannot_be_charged_is_told_with_its_reason(door: Door, typed: str, said: str) -> None:
    assert said in await door.say(f"{door.code} {typed} {door.pin}")
    assert await door.debits() == 0


async def test_a_day_is_understood_and_one_to_come_is_refused(door: Door) -> None:
    today = await door.town.value("SELECT helsinki_today()")
    tomorrow, yesterday = today + timedelta(days=1), today - timedelta(days=1)
    answer = await door.say(f"{door.code} {tomorrow.day}.{tomorrow.month}. 2 {door.pin}")
    assert "tulevaisuudessa" in answer
    assert "voimassa" in await door.say(f"{door.code} eilen 2 {door.pin}")  # the voucher begins today
    await door.town.here.resources.pool.execute("UPDATE vouchers SET valid_from = valid_from - 7")
    answer = await door.say(f"{door.code} 2 eilen {door.pin}")
    assert f"({yesterday.day}.{yesterday.month}.)" in answer
    assert await door.town.value("SELECT service_date FROM entries") == yesterday


async def test_a_typing_slip_is_told_and_counts_as_no_guess(door: Door) -> None:
    slipped = f"{door.code[:-1]}{(int(door.code[-1]) + 1) % 10}"
    assert "näppäilyvirhe" in await door.say(f"{slipped} 2 {door.pin}")
    assert "12 numeroa" in await door.say(f"{door.code[:-1]} 2,5 {door.pin}")
    assert await door.town.value("SELECT count(*) FROM code_misses") == 0


async def test_unknown_codes_are_counted_for_the_worker_and_stop_it(door: Door) -> None:
    import secrets

    from service.vouchers.codes import make_code

    for number in range(5):
        unknown = make_code(secrets.randbelow)
        assert "ei löydy seteliä" in await door.say(f"{unknown} {number + 1} {door.pin}")
    answer = await door.say(f"{door.code} 2 {door.pin}")
    assert "Liian monta tuntematonta koodia" in answer
    rows = await door.town.here.resources.pool.fetch("SELECT DISTINCT credential_id FROM code_misses")
    assert [str(row["credential_id"]) for row in rows] == [door.worker["worker_id"]]
    assert await door.debits() == 0


async def test_a_code_of_another_companys_business_is_answered_as_unknown(door: Door) -> None:
    made = await register(door.town, phone=OTHER_PHONE, owner=PROVIDERS[2].business_id)  # therapy only
    assert "ei löydy seteliä" in await door.say(f"{door.code} 2 {made['pin']}", phone=OTHER_PHONE)


async def test_a_refusal_of_the_voucher_is_told(door: Door) -> None:
    path = f"/v1/vouchers/{door.voucher['voucher_id']}/suspend"
    await door.town.here.call(COUNTY, "POST", path, {"reason": "x"})
    assert "toistaiseksi pysäytetty" in await door.say(f"{door.code} 2 {door.pin}")
    assert "toistaiseksi pysäytetty" in await door.say(f"{door.code} 2")
    await door.town.here.call(COUNTY, "POST", path.replace("suspend", "resume"), {"reason": "x"})
    assert ": veloitettu" in await door.say(f"{door.code} 8 {door.pin}")
    assert "jäljellä 4 t; pyysit 4 t 15 min" in await door.say(f"{door.code} 4,25 {door.pin}")
    assert "jäljellä 4 t; pyysit 4 t 15 min" in await door.say(f"{door.code} 4,25")


async def test_a_week_that_is_full_tells_the_next_day(town: Town) -> None:
    worker, voucher = await register(town), await town.here.decide(weekly={"visits": 1}, beneficiary=MAIJA)
    await town.wait_for_texts(1)
    door = Door(town, worker, voucher, await town.here.code_of(voucher["voucher_id"]))
    assert ": veloitettu" in await door.say(f"{door.code} 1 {door.pin}")
    answer = await door.say(f"{door.code} 1 {door.pin}")
    today = await town.value("SELECT helsinki_today()")
    monday = today + timedelta(days=7 - today.weekday())
    assert "Seuraava mahdollinen päivä" in answer
    assert f"{monday.day}.{monday.month}.{monday.year}" in answer


async def test_a_session_is_charged_by_its_code_alone_and_two_at_most(town: Town) -> None:
    worker = await register(town)
    voucher = await town.here.decide(COUNTY, programme="pariterapia", granted=5, beneficiary=MAIJA, weekly=None)
    await town.wait_for_texts(1)
    door = Door(town, worker, voucher, await town.here.code_of(voucher["voucher_id"]))
    assert "veloitettu 1 kerta" in await door.say(f"{door.code} {door.pin}")
    assert "veloitettu 2 kertaa" in await door.say(f"{door.code} 2 {door.pin}")
    assert "enintään 2 kertaa" in await door.say(f"{door.code} 3 {door.pin}")
    assert await door.debits() == 2


async def test_money_is_charged_in_euros_and_three_hundred_at_most(town: Town) -> None:
    worker = await register(town, owner=CLEANER)
    voucher = await town.here.decide(COUNTY, programme="siivousapu", granted=100_000, beneficiary=MAIJA, weekly=None)
    await town.wait_for_texts(1)
    door = Door(town, worker, voucher, await town.here.code_of(voucher["voucher_id"]))
    assert "veloitettu 40,50 €." in await door.say(f"{door.code} 40,50 € {door.pin}")
    assert "Summa puuttuu" in await door.say(f"{door.code} {door.pin}")
    assert "enintään 300,00 €" in await door.say(f"{door.code} 300,01 {door.pin}")
    assert await door.town.value("SELECT sum(amount) FROM entries") == 4050


async def evening_door(town: Town) -> tuple[Door, str]:
    """Where the evening has another price than the day; and a weekday that has been, as it is texted."""
    worker = await register(town)
    voucher = await town.here.decide(TOWN, weekly=None, beneficiary=MAIJA)
    await town.wait_for_texts(1)
    await town.here.resources.pool.execute("UPDATE vouchers SET valid_from = valid_from - 10")
    day = await town.value("SELECT helsinki_today()") - timedelta(days=1)
    while not is_weekday(day):
        day -= timedelta(days=1)
    return Door(town, worker, voucher, await town.here.code_of(voucher["voucher_id"])), f"{day.day}.{day.month}."


async def test_where_the_evening_has_another_price_the_times_are_asked_for_and_split(town: Town) -> None:
    door, day = await evening_door(town)
    for text in (f"{door.code} {day} 2 {door.pin}", f"{door.code} {day} 2"):
        assert "kellonajat, esim. 14-16.30" in await door.say(text)
    assert ": veloitettu 2 t 30 min (" in await door.say(f"{door.code} {day} 17-19.30 {door.pin}")
    entry = await town.here.resources.pool.fetchrow("SELECT amount, segment_bands, segment_amounts FROM entries")
    assert dict(entry) == {"amount": 150, "segment_bands": ["weekday", "evening"], "segment_amounts": [60, 90]}
    assert "jo veloitettu tai varattu" in await door.say(f"{door.code} {day} 17-19 {door.pin}")
    assert "enintään 8 t" in await door.say(f"{door.code} {day} 8-16.15 {door.pin}")
    assert await door.debits() == 1


async def test_a_question_with_times_charges_those_times(town: Town) -> None:
    door, day = await evening_door(town)
    question = await door.say(f"{door.code} {day} 17-19.30")
    assert "veloitetaanko 2 t 30 min (" in question
    [number] = re.findall(r"vastaa (\d{4})", question)
    assert ": veloitettu 2 t 30 min (" in await door.say(number)
    assert await town.value("SELECT segment_amounts FROM entries") == [60, 90]


async def test_of_two_answers_at_once_one_charges(door: Door) -> None:
    [number] = re.findall(r"vastaa (\d{4})", await door.say(f"{door.code} 2,5"))
    await asyncio.gather(*(door.text(number, reference=f"SM{count:032}") for count in range(6)))
    assert await door.debits() == 1
    assert (await door.row())["wrong_pins"] == 0


async def test_texts_at_once_charge_no_more_than_a_day_allows(
    pool: Pool, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with running_town(database_url, redis_url, tmp_path, text_charges_per_day=2) as town:
        worker = await register(town)
        voucher = await town.here.decide(weekly=None, beneficiary=MAIJA)
        door = Door(town, worker, voucher, await town.here.code_of(voucher["voucher_id"]))
        bodies = [f"{door.code} {15 * count} min {door.pin}" for count in range(1, 9)]
        await asyncio.gather(*(door.text(body, reference=f"SM{count:032}") for count, body in enumerate(bodies)))
        assert await door.debits() == 2


async def test_a_worker_charges_so_often_a_day_and_is_answered_so_often(
    pool: Pool, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with running_town(
        database_url, redis_url, tmp_path, text_charges_per_day=2, charge_texts_per_day=4, texts_per_number_per_day=1
    ) as town:
        worker, voucher = await register(town), await town.here.decide(weekly=None, beneficiary=MAIJA)
        door = Door(town, worker, voucher, await town.here.code_of(voucher["voucher_id"]))
        for hours in (1, 2):
            assert ": veloitettu" in await door.say(f"{door.code} {hours} {door.pin}")
        assert "jo 2 kertaa" in await door.say(f"{door.code} 1 {door.pin}")
        assert "jo 2 kertaa" in await door.say(f"{door.code} 1")
        await town.text(f"{door.code} 1 {door.pin}", sender=PHONE)
        assert (await town.effects())[-1] == "over_limit"
        assert await door.debits() == 2
        await town.here.resources.pool.execute("UPDATE workers SET counted_on = counted_on - 1")
        assert ": veloitettu" in await door.say(f"{door.code} 3 {door.pin}")


async def test_a_worker_that_is_a_family_too_is_answered_as_each(door: Door) -> None:
    await door.town.decide(phone=PHONE)
    await door.town.wait_for_texts(1, PHONE)
    assert "Jäljellä" in await door.say("SALDO")
    assert ": veloitettu" in await door.say(f"{door.code} 2 {door.pin}")
    assert await door.town.effects() == ["answered", "charged"]


async def test_a_worker_is_told_that_nothing_was_charged_whatever_it_texts(door: Door) -> None:
    for said in ("apua", "SALDO", "PIN?", f"eilen {door.code} 1 {door.pin}", "EI", "Onko tämä veloitettu?"):
        answer = await door.say(said)
        assert answer.startswith("Ei veloitettu"), said
        assert "Kirjoita koodi, sitten määrä" in answer, said
    assert await door.debits() == 0
    assert ": veloitettu" in await door.say(f"Hei! {door.code} 1 {door.pin}")
    assert await door.town.effects() == ["charge_refused"] * 6 + ["charged"]


async def test_a_family_that_texts_a_code_is_answered_as_a_family(door: Door) -> None:
    await door.town.text(f"{door.code} 2 123456")
    await door.town.wait_for_texts(2)
    assert await door.town.effects() == ["guessed"]
    assert await door.debits() == 0


async def test_a_worker_that_is_removed_or_whose_company_is_suspended_charges_nothing(door: Door) -> None:
    pool = door.town.here.resources.pool
    await pool.execute("UPDATE providers SET suspended_at = now() WHERE business_id = $1", PROVIDER)
    assert "toistaiseksi pysäytetty" in await door.say(f"{door.code} 2 {door.pin}")
    await pool.execute("UPDATE providers SET suspended_at = NULL")
    removed = await door.office("remove")
    assert (removed["state"], removed["phone_hint"]) == ("removed", None)
    assert await door.office("remove") == removed
    await door.office("new-pin", status=404)
    await door.text(f"{door.code} 2 {door.pin}")
    assert (await door.town.effects())[-1] == "stranger_answered"
    assert await door.debits() == 0
    assert (await door.row())["phone_index"] is None
    await register(door.town)  # the number is free again


async def test_nothing_is_charged_for_a_number_that_may_not_be_answered(door: Door) -> None:
    await door.text("STOP", reference="SM" + "4" * 32)
    await door.text(f"{door.code} 2 {door.pin}", reference="SM" + "5" * 32)
    assert (await door.town.effects())[-1] == "unanswerable"
    assert await door.debits() == 0


async def test_a_question_that_is_over_is_not_sent(door: Door) -> None:
    from service.staff.operations.numbers import question_fields

    await door.say(f"{door.code} 2")
    pool, keys = door.town.here.resources.pool, door.town.here.resources.keys
    question = await pool.fetchrow("SELECT organiser_id, question_id FROM charge_questions")
    wanted = [(question["organiser_id"], question["question_id"])]
    async with pool.acquire() as conn:
        assert list(await question_fields(keys, conn, wanted)) == [question["question_id"]]
        await conn.execute("UPDATE charge_questions SET expires_at = now()")
        assert await question_fields(keys, conn, wanted) == {}


async def test_nothing_that_is_kept_or_logged_holds_the_code_the_pin_or_the_number(
    door: Door, capfd: pytest.CaptureFixture[str]
) -> None:
    [number] = re.findall(r"vastaa (\d{4})", await door.say(f"{door.code} 2,5"))
    await door.say(number)
    await door.say(f"{door.code} 1 {door.pin}")
    await door.say(f"{door.code} 1 {door.wrong_pin}")
    secrets = (door.code, door.code.replace(" ", ""), door.code[:8], door.pin, PHONE[4:], "argon2", f'"{number}"')
    kept = {"log": "".join(capfd.readouterr())}
    for table in ("workers", "charge_questions", "messages", "inbound_texts", "requests", "entries", "audit"):
        rows = await door.town.here.resources.pool.fetch(f"SELECT t::text AS row FROM {table} t")
        kept[table] = "\n".join(row["row"] for row in rows)
    assert "charge_texted" in kept["log"]
    assert [(place, secret) for place, text in kept.items() for secret in secrets if secret in text] == []


async def test_answers_that_do_not_arrive_are_on_no_caseworkers_list(door: Door) -> None:
    await door.town.sandbox.inject(refuse_code=21211)
    await door.text(f"{door.code} 2 {door.pin}")
    async with asyncio.timeout(10):
        while not await door.town.value(  # noqa: ASYNC110
            "SELECT count(*) FROM messages WHERE kind = 'reply_charge_done' AND state = 'escalated'"
        ):
            await asyncio.sleep(0.05)
    needing = (
        "SELECT count(*) FROM messages_needing_person n JOIN messages m USING (message_id) WHERE m.kind LIKE 'reply%'"
    )
    assert await door.town.value(needing) == 0
