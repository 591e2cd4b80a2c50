"""From a code to a receipt, as a person does it: once, whatever the connection, the back button and two tabs do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from service.guessing.operations import overview
from service.sandbox.sample import TOWN
from service.vouchers.decisions import helsinki_day
from tests.debits.pages.desks import CLEANING, THERAPY, Desk, entries_of, family, form_in, sit_down, today, words_in
from tests.installations import Installation, install, settings_for


@pytest.fixture
async def here(database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


@pytest.fixture
async def desk(here: Installation) -> Desk:
    return await sit_down(here, "worker")


def hours(amount: str, **more: str) -> str:
    return "&".join(f"{name}={value}" for name, value in {"day": today(), "hours": amount, **more}.items())


async def test_a_visit_is_charged_from_the_code_to_the_receipt(here: Installation, desk: Desk) -> None:
    voucher_id, code = await family(here)
    voucher = await desk.open(code)
    assert code.replace(" ", "") not in voucher
    page = await desk.text(voucher)
    for words in ("Home help", "12 h", "M.V.", "provisional", "0 of 21 visits used"):
        assert words in page, page
    confirmation = await desk.text(f"{voucher}/confirm?{hours('2', minutes='30')}")
    assert "Charge this visit?" in confirmation
    assert "Charge 2 h 30 min" in confirmation
    assert "The family pays" in confirmation
    assert "Left after that 9 h 30 min" in confirmation
    assert await entries_of(here, voucher_id) == []
    receipt = await desk.charged(voucher, hours("2", minutes="30"))
    assert "The visit is charged" in receipt
    assert "Left on the voucher 9 h 30 min" in receipt
    assert await entries_of(here, voucher_id) == [("debit", 150)]
    async with here.resources.pool.acquire() as conn:
        row = await conn.fetchrow("SELECT worker, credential_id FROM entries")
        assert row["worker"] == "Aino Käki"
        assert row["credential_id"] == await conn.fetchval("SELECT person_id FROM people")


async def test_the_code_is_in_no_address_no_form_and_no_row(here: Installation, desk: Desk) -> None:
    _, code = await family(here)
    digits = code.replace(" ", "")
    voucher = await desk.open(code)
    for path in (voucher, f"{voucher}/confirm?{hours('1')}"):
        page = await (await desk.browser.get(path)).text()
        assert digits not in page
        assert code not in page
    async with here.resources.pool.acquire() as conn:
        assert digits.encode() not in await conn.fetchval("SELECT code_sealed FROM code_lookups")


@pytest.mark.parametrize(
    ("typed", "status", "words"),
    [
        ("", 400, "12 digits"),
        ("4827 0315", 400, "12 digits"),
        ("4827 0315 9267", 400, "typing mistake"),
        ("1000 0000 0007", 404, "no voucher with this code"),
    ],
)
async def test_a_wrong_code_is_told_and_what_was_typed_is_shown_again(
    desk: Desk, typed: str, status: int, words: str
) -> None:
    from stdnum import damm

    from service.vouchers.codes import normalise_code

    if status == 404:
        typed = "10000000000" + damm.calc_check_digit("10000000000")
        normalise_code(typed)
    answer = await desk.look_up(typed)
    page = await answer.text()
    assert answer.status == status
    assert words in words_in(page)
    assert f'value="{typed}"' in page


async def test_five_misses_stop_this_person_and_nobody_else(here: Installation, desk: Desk) -> None:
    import secrets

    from service.vouchers.codes import make_code

    _, code = await family(here)
    for _ in range(5):
        await desk.look_up(make_code(secrets.randbelow))
    stopped = await desk.look_up(code)
    assert stopped.status == 429
    words = words_in(await stopped.text())
    assert "You can go on from" in words
    assert "key" not in words
    async with here.resources.pool.acquire() as conn:
        [suspect] = (await overview(conn)).blocks
    assert (suspect.kind, suspect.name, suspect.provider_name) == (
        "person",
        "Aino Käki",
        "Perhepalvelu Pihlajanmarja Oy",
    )
    other = await sit_down(here, "worker", "Pekka Tikka")
    assert (await other.look_up(code)).status == 303


async def test_a_double_post_of_the_same_form_charges_once(here: Installation, desk: Desk) -> None:
    voucher_id, code = await family(here)
    voucher = await desk.open(code)
    form = form_in(await (await desk.browser.get(f"{voucher}/confirm?{hours('2')}")).text(), f"{voucher}/charge")
    answers = await asyncio.gather(*(desk.browser.post(f"{voucher}/charge", form) for _ in range(4)))
    assert {answer.status for answer in answers} == {303}
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert await entries_of(here, voucher_id) == [("debit", 120)]


async def test_going_back_and_charging_again_shows_the_first_receipt(here: Installation, desk: Desk) -> None:
    voucher_id, code = await family(here)
    voucher = await desk.open(code)
    form = form_in(await (await desk.browser.get(f"{voucher}/confirm?{hours('2')}")).text(), f"{voucher}/charge")
    await desk.browser.post(f"{voucher}/charge", form)
    again = await desk.text(f"{voucher}/confirm?{hours('2')}")
    assert "This was done before. Nothing was charged again." in again
    other = await desk.browser.post(f"{voucher}/charge", form | {"hours": "3"})
    assert other.status == 409
    assert "Nothing more was charged" in words_in(await other.text())
    assert await entries_of(here, voucher_id) == [("debit", 120)]


async def test_a_lost_answer_is_found_again_even_when_its_receipt_was_never_kept(
    here: Installation, desk: Desk
) -> None:
    voucher_id, code = await family(here)
    voucher = await desk.open(code)
    first = form_in(await (await desk.browser.get(f"{voucher}/confirm?{hours('2')}")).text(), f"{voucher}/charge")
    await desk.browser.post(f"{voucher}/charge", first)
    async with here.resources.pool.acquire() as conn:  # the process died between the two commits
        await conn.execute("UPDATE code_lookups SET made = NULL, answer = NULL")
    again = await desk.browser.post(f"{voucher}/charge", first)
    receipt = words_in(await (await desk.browser.get(again.headers["Location"])).text())
    assert "Left on the voucher 10 h" in receipt
    async with here.resources.pool.acquire() as conn:
        await conn.execute("UPDATE code_lookups SET made = NULL, answer = NULL")
    other = await desk.charge(voucher, hours("3"))
    assert other.status == 409
    assert await entries_of(here, voucher_id) == [("debit", 120)]


async def test_two_tabs_with_the_same_code_charge_two_visits_and_two_of_one_look_up_one(
    here: Installation, desk: Desk
) -> None:
    voucher_id, code = await family(here)
    one, other = await desk.open(code), await desk.open(code)
    assert one != other
    await desk.charged(one, hours("1"))
    await desk.charged(other, hours("2"))
    assert await entries_of(here, voucher_id) == [("debit", 60), ("debit", 120)]
    third = await desk.open(code)
    tabs = [
        form_in(await (await desk.browser.get(f"{third}/confirm?{hours(each)}")).text(), f"{third}/charge")
        for each in ("4", "3")
    ]
    answers = [await desk.browser.post(f"{third}/charge", tab) for tab in tabs]
    assert [answer.status for answer in answers] == [303, 409]
    assert len(await entries_of(here, voucher_id)) == 3


async def test_another_visit_of_the_same_family_begins_from_the_receipt(here: Installation, desk: Desk) -> None:
    voucher_id, code = await family(here)
    voucher = await desk.open(code)
    answer = await desk.charge(voucher, hours("1"))
    receipt = await desk.browser.get(answer.headers["Location"])
    again = await desk.send_form(receipt, f"{voucher}/again")
    assert again.status == 303
    await desk.charged(again.headers["Location"], hours("2"))
    assert await entries_of(here, voucher_id) == [("debit", 60), ("debit", 120)]


async def test_too_little_is_told_and_on_request_what_is_left_is_charged(here: Installation, desk: Desk) -> None:
    voucher_id, code = await family(here, granted=60)
    voucher = await desk.open(code)
    page = await desk.browser.get(f"{voucher}/confirm?{hours('2')}")
    text = await page.text()
    assert "1 h is left on the voucher; you asked for 2 h" in words_in(text)
    assert "Charge what is left" in words_in(text)
    assert f"{voucher}/charge" not in text
    part = await desk.text(f"{voucher}/confirm?{hours('2', partial='yes')}")
    assert "Charge 1 h" in part
    assert "Not covered 1 h" in part
    receipt = await desk.charged(voucher, hours("2", partial="yes"))
    assert "Not covered 1 h" in receipt
    assert await entries_of(here, voucher_id) == [("debit", 60)]


async def test_a_full_week_is_told_with_the_next_day(here: Installation, desk: Desk) -> None:
    _, code = await family(here, weekly={"visits": 1})
    await desk.charged(await desk.open(code), hours("1"))
    page = await desk.text(await desk.open(code))
    assert "1 of 1 visits used" in page
    assert "Next possible day" in page
    confirmation = await desk.browser.get(f"{await desk.open(code)}/confirm?{hours('2')}")
    text = await confirmation.text()
    assert "Visits a week" in words_in(text)
    assert "/charge" not in text


async def test_a_refusal_at_the_last_moment_gets_a_new_key_so_that_the_visit_can_be_put_right(
    here: Installation, desk: Desk
) -> None:
    voucher_id, code = await family(here, granted=120)
    voucher, other = await desk.open(code), await desk.open(code)
    stale = form_in(await (await desk.browser.get(f"{voucher}/confirm?{hours('2')}")).text(), f"{voucher}/charge")
    await desk.charged(other, hours("1"))
    refused = await desk.browser.post(f"{voucher}/charge", stale)
    assert refused.status == 422
    assert "is left on the voucher" in words_in(await refused.text())
    again = await desk.browser.post(f"{voucher}/charge", stale)  # the stale key gets the first verdict again
    assert again.status == 422
    await desk.charged(voucher, hours("1", duplicate="yes"))
    assert await entries_of(here, voucher_id) == [("debit", 60), ("debit", 60)]


async def test_the_same_beginning_twice_is_asked_about(here: Installation, desk: Desk) -> None:
    day = (helsinki_day(datetime.now(UTC)) - timedelta(days=1)).isoformat()
    voucher_id, code = await family(here, valid_from=day)
    asked = f"day={day}&starts=09:00&ends=10:00"
    await desk.charged(await desk.open(code), asked)
    voucher = await desk.open(code)
    page = await desk.text(f"{voucher}/confirm?{asked}")
    assert "A visit like this one is charged" in page
    assert "allow_duplicate" not in page
    assert "It was another visit: go on" in page
    await desk.charged(voucher, f"{asked}&duplicate=yes")
    assert len(await entries_of(here, voucher_id)) == 2


async def test_the_same_visit_without_times_is_asked_about_and_there_is_a_way_on(
    here: Installation, desk: Desk
) -> None:
    voucher_id, code = await family(here)
    await desk.charged(await desk.open(code), hours("1"))
    voucher = await desk.open(code)
    page = await desk.browser.get(f"{voucher}/confirm?{hours('1')}")
    text = await page.text()
    assert "A visit like this one is charged" in words_in(text)
    assert f"{voucher}/charge" not in text
    assert "It was another visit: go on" in words_in(text)
    await desk.charged(voucher, hours("1", duplicate="yes"))
    assert await entries_of(here, voucher_id) == [("debit", 60), ("debit", 60)]


async def test_a_visit_over_midnight_ends_on_the_next_day(here: Installation, desk: Desk) -> None:
    day = (helsinki_day(datetime.now(UTC)) - timedelta(days=2)).isoformat()
    voucher_id, code = await family(here, valid_from=day)
    await desk.charged(await desk.open(code), f"day={day}&starts=22:00&ends=01:00")
    assert await entries_of(here, voucher_id) == [("debit", 180)]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("day={day}", "Fill in how much"),
        ("day=x&hours=1", "Write the day like this"),
        ("day={day}&hours=1&starts=9", "both times"),
        ("day={day}&starts=late&ends=later", "Write the time like this"),
        ("day={day}&hours=90", "at most 24"),
        ("day=1999-01-01&hours=1", "no visit on this day"),
    ],
)
async def test_what_was_filled_in_wrong_is_told_in_the_form(
    here: Installation, desk: Desk, query: str, words: str
) -> None:
    _, code = await family(here)
    voucher = await desk.open(code)
    answer = await desk.browser.get(f"{voucher}/confirm?{query.format(day=today())}")
    assert answer.status == 400
    assert words in words_in(await answer.text())


async def test_a_visit_to_come_is_booked_instead(here: Installation, desk: Desk) -> None:
    _, code = await family(here)
    tomorrow = (helsinki_day(datetime.now(UTC)) + timedelta(days=1)).isoformat()
    voucher = await desk.open(code)
    page = await desk.text(f"{voucher}/confirm?day={tomorrow}&hours=2")
    assert "in the future" in page
    assert "Book it instead" in page
    receipt = await desk.charged(voucher, f"day={tomorrow}&hours=2&booking=yes")
    assert "The visit is booked" in receipt
    assert "Charge it by" in receipt


async def test_sessions_are_one_tap_and_a_no_show_where_it_is_allowed(here: Installation, desk: Desk) -> None:
    voucher_id, code = await family(here, **THERAPY)
    voucher = await desk.open(code)
    page = await (await desk.browser.get(voucher)).text()
    quick = re.search(r'class="button main" href="([^"]+)"', page)
    assert quick is not None
    assert "Charge 1 session" in await desk.text(quick[1].replace("&amp;", "&"))
    await desk.charged(voucher, f"day={today()}&count=1&no_show=yes")
    assert await entries_of(here, voucher_id) == [("debit", 1)]
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT visit_type FROM entries") == "no_show"


async def test_euros_are_charged_where_money_is_granted(here: Installation) -> None:
    desk = await sit_down(here)
    async with here.resources.pool.acquire() as conn:
        await conn.execute(
            "UPDATE people SET provider_id = (SELECT provider_id FROM providers WHERE business_id = '9000202-5')"
        )
    voucher_id, code = await family(here, **CLEANING)
    voucher = await desk.open(code)
    assert "€200.00" in await desk.text(voucher)
    answer = await desk.browser.get(f"{voucher}/confirm?day={today()}&euros=a lot")
    assert "Write the sum like this" in words_in(await answer.text())
    await desk.charged(voucher, f"day={today()}&euros=33,50")
    assert await entries_of(here, voucher_id) == [("debit", 3350)]


async def test_where_the_evening_costs_more_the_times_are_asked_for(here: Installation, desk: Desk) -> None:
    made = await here.decide(TOWN)
    voucher = await desk.open(await here.code_of(made["voucher_id"]))
    page = await (await desk.browser.get(voucher)).text()
    assert "The evening has another price" in words_in(page)
    assert re.search(r'name="starts"[^>]* required', page)
    assert 'name="hours"' not in page


async def test_a_look_up_is_its_own_persons_and_goes_after_hours(here: Installation, desk: Desk) -> None:
    _, code = await family(here)
    voucher = await desk.open(code)
    other = await sit_down(here, "provider_admin", "Pekka Tikka")
    for path in (voucher, f"{voucher}/confirm?{hours('1')}", f"{voucher}/receipt"):
        assert (await other.browser.get(path)).status == 404
    async with here.resources.pool.acquire() as conn:
        await conn.execute("UPDATE code_lookups SET looked_up_at = now() - interval '13 hours'")
    answer = await desk.browser.get(voucher)
    assert answer.status == 404
    assert "Type the code once more" in words_in(await answer.text())
    await desk.open(code)
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM code_lookups") == 1
    assert (await desk.browser.get(f"/provider/visits/{uuid4()}")).status == 404


async def test_whoever_is_not_signed_in_sees_the_code_of_the_qr_and_the_way_to_sign_in(here: Installation) -> None:
    from tests.browsers import Browser

    answer = await Browser(here).get("/provider")
    page = await answer.text()
    assert answer.status == 200
    assert "Set-Cookie" not in answer.headers
    assert "/sign-in?next=%2Fprovider" in page
    assert 'id="scanned"' in page
