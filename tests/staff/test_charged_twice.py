"""A visit that is charged or held already is not charged by a text, unless the worker has been told so and says yes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.db import Pool
from tests.staff.test_charging import MAIJA, OTHER_PHONE, PROVIDER, Door, register
from tests.towns import running_town

TOLD = "jo veloitettu tai varattu"


@pytest.fixture
async def door(pool: Pool, database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with running_town(database_url, redis_url, tmp_path) as town:
        worker, voucher = await register(town), await town.here.decide(weekly=None, beneficiary=MAIJA)
        await town.wait_for_texts(1)
        yield Door(town, worker, voucher, await town.here.code_of(voucher["voucher_id"]))


async def enter(door: Door, path: str, **visit: Any) -> dict[str, Any]:
    """What the office enters meanwhile: with words of its own for who was there."""
    body = {"code": door.code, "worker": "toimisto", "reference": "0042"} | visit if visit else {}
    answer = await door.town.here.call(PROVIDER, "POST", f"/v1/{path}", body, key=f"office-{path}")
    assert answer.status in (200, 201), await answer.text()
    return dict(await answer.json())


def number_in(question: str) -> str:
    [number] = re.findall(r"vastaa (\d{4})", question)
    return str(number)


async def test_what_the_office_charged_is_asked_about_with_the_pin_and_without(door: Door) -> None:
    await enter(door, "debits", amount=90)
    for text in (f"{door.code} 1,5 {door.pin}", f"{door.code} 1,5"):
        question = await door.say(text)
        assert TOLD in question
        assert "1 t 30 min" in question
        assert await door.debits() == 1
    reference = await door.town.value("SELECT key FROM charge_questions")
    assert ": veloitettu 1 t 30 min" in await door.say(number_in(question))
    assert await door.debits() == 2
    # When the gateway brings that text again and the journal has forgotten it, the key has not.
    await door.town.here.resources.pool.execute("DELETE FROM inbound_texts")
    assert await door.text(text, reference=reference.rpartition(":")[2]) == 200
    assert await door.debits() == 2


async def test_what_the_office_booked_is_asked_about_and_captured_once(door: Door) -> None:
    hold = await enter(door, "holds", amount=90)
    assert TOLD in await door.say(f"{door.code} 1,5 {door.pin}")
    await enter(door, f"holds/{hold['hold_id']}/capture")
    assert await door.debits() == 1
    assert ": veloitettu 1 t" in await door.say(f"{door.code} 1 {door.pin}"), "another length is another visit"


async def test_a_question_that_did_not_tell_of_it_is_asked_again(door: Door) -> None:
    question = await door.say(f"{door.code} 1,5")
    assert TOLD not in question
    await enter(door, "debits", amount=90)
    again = await door.say(number_in(question))
    assert TOLD in again
    assert await door.debits() == 1
    assert ": veloitettu 1 t 30 min" in await door.say(number_in(again))
    assert await door.debits() == 2


async def test_what_another_worker_texted_is_another_visit(door: Door) -> None:
    other = await register(door.town, phone=OTHER_PHONE, name="Bea Björk")
    assert ": veloitettu" in await door.say(f"{door.code} 1,5 {door.pin}")
    assert ": veloitettu" in await door.say(f"{door.code} 1,5 {other['pin']}", phone=OTHER_PHONE)
    assert TOLD in await door.say(f"{door.code} 1,5 {other['pin']}", phone=OTHER_PHONE)
    assert await door.debits() == 2


async def test_a_text_that_is_sent_again_when_the_week_is_full_is_told_that_the_visit_is_charged(door: Door) -> None:
    await door.town.here.resources.pool.execute("UPDATE vouchers SET weekly_visits = 1")
    assert ": veloitettu" in await door.say(f"{door.code} 1,5 {door.pin}")
    assert TOLD in await door.say(f"{door.code} 1,5 {door.pin}")
    assert TOLD not in await door.say(f"{door.code} 1 {door.pin}")


async def test_of_times_and_hours_the_second_is_asked_about_whoever_tells_them(door: Door) -> None:
    await door.town.here.resources.pool.execute("UPDATE vouchers SET valid_from = valid_from - 7")
    day = await door.town.value("SELECT helsinki_today()") - timedelta(days=1)
    await enter(door, "debits", starts_at=f"{day}T09:00", ends_at=f"{day}T10:30")
    written = f"{door.code} {day.day}.{day.month}."
    assert TOLD in await door.say(f"{written} 1,5 {door.pin}")
    assert ": veloitettu" in await door.say(f"{written} 1 {door.pin}"), "another length is another visit"
    assert TOLD in await door.say(f"{written} 12-13 {door.pin}")
    assert await door.debits() == 2


async def test_what_a_worker_texted_is_asked_about_when_the_office_enters_it(door: Door) -> None:
    assert ": veloitettu" in await door.say(f"{door.code} 1,5 {door.pin}")
    for worker, status in ((None, 422), ("Anna Aalto", 422), ("Bea Björk", 201)):
        visit = {"code": door.code, "amount": 90, "worker": worker, "reference": "0042"}
        answer = await door.town.here.call(PROVIDER, "POST", "/v1/debits", visit, key=f"of {status} {worker is None}")
        assert answer.status == status, await answer.text()
        assert status == 201 or (await answer.json())["code"] == "possible_duplicate"
