"""Booked visits on their pages: charged once, as booked or less, or cancelled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from service.vouchers.decisions import helsinki_day
from tests.debits.pages.desks import Desk, entries_of, family, form_in, sit_down, today, words_in
from tests.installations import Installation, install, settings_for


@pytest.fixture
async def here(database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


async def book(here: Installation, desk: Desk, *, days: int = 0, hours: int = 2) -> tuple[UUID, str]:
    """The voucher, and the address of the booking's page."""
    voucher_id, code = await family(here)
    day = helsinki_day(datetime.now(UTC)) + timedelta(days=days)
    await desk.charged(await desk.open(code), f"day={day}&hours={hours}&booking=yes")
    async with here.resources.pool.acquire() as conn:
        hold_id = await conn.fetchval("SELECT hold_id FROM holds WHERE voucher_id = $1", voucher_id)
    return voucher_id, f"/provider/bookings/{hold_id}"


async def test_a_booking_is_listed_and_charged_as_it_was_booked_once(here: Installation) -> None:
    desk = await sit_down(here)
    voucher_id, booking = await book(here, desk)
    assert "Home help" in await desk.text("/provider/bookings")
    form = form_in(await (await desk.browser.get(booking)).text(), f"{booking}/charge")
    answers = await asyncio.gather(*(desk.browser.post(f"{booking}/charge", form) for _ in range(3)))
    assert {answer.status for answer in answers} == {303}
    assert await entries_of(here, voucher_id) == [("debit", 120)]
    receipt = await desk.text(answers[0].headers["Location"])
    assert "2 h" in receipt
    assert "Charged" in await desk.text(booking)
    assert "Nothing is booked" in await desk.text("/provider/bookings")
    late = await desk.browser.post(f"{booking}/charge", form | {"key": "0190b5a0-0000-7000-8000-000000000000"})
    assert late.status == 409
    assert "no longer open" in words_in(await late.text())


async def test_less_than_was_booked_is_charged_and_more_is_refused(here: Installation) -> None:
    desk = await sit_down(here)
    voucher_id, booking = await book(here, desk)
    form = form_in(await (await desk.browser.get(booking)).text(), f"{booking}/charge")
    more = await desk.browser.post(f"{booking}/charge", form | {"hours": "3"})
    assert more.status == 422
    page = await more.text()
    assert "2 h is booked; you asked for 3 h" in words_in(page)
    corrected = form_in(page, f"{booking}/charge") | {"hours": "1", "minutes": "30"}
    assert corrected["key"] != form["key"]
    assert (await desk.browser.post(f"{booking}/charge", corrected)).status == 303
    assert await entries_of(here, voucher_id) == [("debit", 90)]


async def test_a_booking_is_cancelled_and_its_value_is_free_again(here: Installation) -> None:
    desk = await sit_down(here)
    voucher_id, booking = await book(here, desk, days=3)
    page = await desk.browser.get(booking)
    assert "can be charged on its day" in words_in(await page.text())
    answer = await desk.send_form(page, f"{booking}/cancel", reason="moved")
    assert answer.status == 303
    assert "The booking is cancelled" in await desk.text(answer.headers["Location"])
    assert "Cancelled" in await desk.text(booking)
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT held FROM vouchers WHERE voucher_id = $1", voucher_id) == 0


async def test_of_others_bookings_a_worker_sees_those_of_today_alone(here: Installation) -> None:
    office, worker = await sit_down(here), await sit_down(here, "worker", "Pekka Tikka")
    (_, now), (_, later) = await book(here, office), await book(here, office, days=2)
    page = await (await worker.browser.get("/provider/bookings")).text()
    assert now in page
    assert later not in page
    assert (await worker.browser.get(later)).status == 404
    assert (await worker.browser.submit(now, f"{later}/cancel", {})).status == 404


async def test_a_worker_sees_and_drops_what_they_booked_themselves_for_any_day(here: Installation) -> None:
    worker, other = await sit_down(here, "worker", "Pekka Tikka"), await sit_down(here, "worker", "Leena Palo")
    _, later = await book(here, worker, days=8)
    assert later in await (await worker.browser.get("/provider/bookings")).text()
    assert later not in await (await other.browser.get("/provider/bookings")).text()
    assert (await other.browser.get(later)).status == 404
    dropped = await worker.send_form(await worker.browser.get(later), f"{later}/cancel", reason="moved")
    assert dropped.status == 303
    assert "Nothing is booked" in await worker.text("/provider/bookings")


async def test_a_booking_of_a_program_is_on_the_page_too_and_anothers_is_not(here: Installation) -> None:
    desk = await sit_down(here)
    _, code = await family(here)
    made = await here.call(
        "9000202-5", "POST", "/v1/holds", {"code": code, "amount": 60, "service_date": today()}, key="a"
    )
    other = json.loads(await made.text())["hold_id"]
    made = await here.call(
        "9000101-4", "POST", "/v1/holds", {"code": code, "amount": 60, "service_date": today()}, key="b"
    )
    own = json.loads(await made.text())["hold_id"]
    page = await (await desk.browser.get("/provider/bookings")).text()
    assert own in page
    assert other not in page
    assert (await desk.browser.get(f"/provider/bookings/{other}")).status == 404
    assert (await desk.browser.get("/provider/bookings/x")).status == 404
