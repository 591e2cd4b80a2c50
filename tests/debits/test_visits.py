"""Visits with times, prices, partial charges and holds, as providers' programs call them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from aiohttp import ClientResponse

from service.db import Pool, transaction
from service.debits import operations
from service.debits.operations import visits
from service.public_holidays import eves_among, holidays_among
from service.quiet_hours import USUAL
from service.sandbox.sample import COUNTY, FAMILY_SERVICES, HOME_HELP, PROVIDERS
from tests.debits.worlds import World
from tests.installations import Installation, install, settings_for

PROVIDER = FAMILY_SERVICES.business_id
OTHER = PROVIDERS[1].business_id
HELSINKI = ZoneInfo("Europe/Helsinki")
RULES = """
UPDATE programme_rules
   SET step = 15, weekday_cents = 3350, evening_cents = 4100, saturday_cents = 4600, sunday_cents = 5580,
       hold_lapse_hours = 720, evening_from = '18:00', evening_to = '22:00', no_show_allowed = false,
       free_by_law = false,
       task_types = '{child-care,cooking}' WHERE programme = $1
"""
PRICES = """
INSERT INTO price_lists (price_list_id, organiser_id, provider_id, programme, starts_on, weekday_cents, evening_cents,
                         saturday_cents, sunday_cents, created_by)
SELECT gen_random_uuid(), o.organiser_id, p.provider_id, $2, '2000-01-01', 3900, 4500, 4600, 5000, 'test'
  FROM organisers o, providers p WHERE o.slug = $3 AND p.business_id = $1
"""


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        async with transaction(installation.resources.pool) as conn:
            await conn.execute("DELETE FROM price_lists")
            await conn.execute("DELETE FROM programme_rules WHERE starts_on > '2000-01-01'")
            await conn.execute(RULES, HOME_HELP)
            await conn.execute(PRICES, PROVIDER, HOME_HELP, COUNTY)
        yield installation


def last_weekday(weekday: int) -> date:
    """The last such day before today, 1 being Monday, that is no public holiday and no eve of one."""
    day = datetime.now(HELSINKI).date() - timedelta(days=1)
    while day.isoweekday() != weekday or holidays_among([day]) or eves_among([day]):
        day -= timedelta(days=1)
    return day


async def voucher(here: Installation, **changes: Any) -> tuple[dict[str, Any], str]:
    today = datetime.now(HELSINKI).date()
    made = await here.decide(**({"granted": 720, "weekly": None, "valid_from": str(today)} | changes))
    async with transaction(here.resources.pool) as conn:  # as if it had been granted two months ago
        await conn.execute(
            "UPDATE vouchers SET valid_from = $1 WHERE voucher_id = $2",
            today - timedelta(days=60),
            UUID(made["voucher_id"]),
        )
    return made, await here.code_of(made["voucher_id"])


async def charge(here: Installation, code: str, *, by: str = PROVIDER, key: str | None = None, **visit: Any) -> Any:
    return await here.call(by, "POST", "/v1/debits", {"code": code, **visit}, key=key or uuid4().hex)


async def hold(here: Installation, code: str, *, by: str = PROVIDER, **visit: Any) -> dict[str, Any]:
    answer = await here.call(by, "POST", "/v1/holds", {"code": code, **visit}, key=uuid4().hex)
    assert answer.status == 201, await answer.text()
    return dict(await answer.json())


async def refused(answer: ClientResponse) -> str:
    body = await answer.json()
    assert answer.status in (400, 404, 409, 422), body
    assert body["detail"]
    assert "…" not in body["detail"] + body["next_step"], "a gap in the sentence"
    return str(body["code"])


async def balance(here: Installation, made: dict[str, Any]) -> tuple[int, int, int]:
    row = await here.resources.pool.fetchrow(
        "SELECT available, held, debited FROM vouchers WHERE voucher_id = $1", UUID(made["voucher_id"])
    )
    return tuple(row)


async def test_a_visit_over_the_evenings_border_is_priced_by_its_parts(here: Installation) -> None:
    made, code = await voucher(here)
    day = last_weekday(2)
    times = {"starts_at": f"{day}T16:30", "ends_at": f"{day}T19:20"}

    asked = await (await here.call(PROVIDER, "POST", "/v1/validate", {"code": code, **times})).json()
    answer = await charge(here, code, **times, task_type="cooking", worker="Maija")

    # 2 h 50 min are 3 h by steps of a quarter: 1 h 30 min by day, 1 h 30 min in the evening.
    debit = await answer.json()
    assert (debit["amount"], debit["service_date"], debit["available"]) == (180, str(day), 540)
    assert debit["voucher_pays_cents"] == 3350 * 3 // 2 + 4100 * 3 // 2
    assert debit["family_pays_cents"] == (3900 - 3350) * 3 // 2 + (4500 - 4100) * 3 // 2
    assert (asked["amount"], asked["voucher_pays_cents"], asked["family_pays_cents"]) == (
        180,
        debit["voucher_pays_cents"],
        debit["family_pays_cents"],
    )
    assert asked["times_asked"]
    row = await here.resources.pool.fetchrow("SELECT segment_bands, segment_amounts, rules_from FROM entries")
    assert (row["segment_bands"], row["segment_amounts"]) == (["weekday", "evening"], [90, 90])
    assert await balance(here, made) == (540, 0, 180)


async def test_a_weekday_visit_without_times_asks_for_them_and_a_sundays_does_not(here: Installation) -> None:
    _, code = await voucher(here)
    assert await refused(await charge(here, code, amount=60, service_date=str(last_weekday(3)))) == "times_required"
    sunday = await (await charge(here, code, amount=60, service_date=str(last_weekday(7)))).json()
    # The provider's 50.00 is below the voucher's 55.80: the voucher pays the price, the family nothing.
    assert (sunday["voucher_pays_cents"], sunday["family_pays_cents"]) == (5000, 0)


async def test_a_provider_without_a_price_list_asks_what_the_voucher_is_worth(here: Installation) -> None:
    _, code = await voucher(here)
    debit = await (await charge(here, code, by=OTHER, amount=90, service_date=str(last_weekday(7)))).json()
    assert (debit["voucher_pays_cents"], debit["family_pays_cents"]) == (8370, 0)


@pytest.mark.parametrize(
    ("times", "code"),
    [
        ({"starts_at": "2026-11-17T10:00"}, "visit_times_incomplete"),
        ({"starts_at": "2026-11-17T10:00", "ends_at": "2026-11-17T09:00"}, "visit_times_backwards"),
        ({"starts_at": "2026-11-17T10:00", "ends_at": "2026-11-19T09:00"}, "visit_too_long"),
        ({"starts_at": "ten", "ends_at": "2026-11-17T09:00"}, "visit_time_malformed"),
        ({"starts_at": "2026-03-29T03:30", "ends_at": "2026-03-29T05:00"}, "visit_time_skipped"),
        ({"starts_at": "2026-10-25T03:30", "ends_at": "2026-10-25T05:00"}, "visit_time_ambiguous"),
        (
            {"starts_at": "2026-11-17T10:00", "ends_at": "2026-11-17T11:00", "service_date": "2026-11-18"},
            "visit_day_differs",
        ),
    ],
)
async def test_times_that_cannot_be_are_told_before_the_code_is_looked_at(
    here: Installation, times: dict[str, str], code: str
) -> None:
    unknown = "4827 0315 9268"
    assert await refused(await charge(here, unknown, **times)) == code
    assert await here.resources.pool.fetchval("SELECT count(*) FROM code_misses") == 0


async def test_a_code_that_nobody_has_is_one_miss_with_times_as_without(here: Installation) -> None:
    day = last_weekday(2)
    answer = await charge(here, "482703159268", starts_at=f"{day}T10:00", ends_at=f"{day}T11:00")
    assert await refused(answer) == "code_unknown"
    assert await here.resources.pool.fetchval("SELECT count(*) FROM code_misses") == 1


async def test_what_is_left_is_charged_on_request_and_the_family_pays_the_rest(here: Installation) -> None:
    made, code = await voucher(here, granted=120)
    sunday = str(last_weekday(7))
    assert await refused(await charge(here, code, amount=180, service_date=sunday)) == "insufficient_value"
    debit = await (await charge(here, code, amount=180, service_date=sunday, on_insufficient="partial")).json()
    assert (debit["amount"], debit["not_covered"], debit["available"]) == (120, 60, 0)
    assert (debit["voucher_pays_cents"], debit["family_pays_cents"]) == (10000, 5000)
    assert await balance(here, made) == (0, 0, 120)


async def test_a_service_that_is_free_by_law_costs_the_family_nothing_or_is_refused(here: Installation) -> None:
    _, code = await voucher(here)
    await here.resources.pool.execute("UPDATE programme_rules SET free_by_law = true")
    day = last_weekday(2)
    times = {"starts_at": f"{day}T10:00", "ends_at": f"{day}T11:00"}
    assert await refused(await charge(here, code, **times)) == "own_contribution_not_allowed"
    assert (await charge(here, code, amount=60, service_date=str(last_weekday(7)))).status == 201


async def test_the_same_beginning_twice_is_asked_about_and_may_be_meant(here: Installation) -> None:
    _, code = await voucher(here)
    day = last_weekday(4)
    times = {"starts_at": f"{day}T10:00", "ends_at": f"{day}T11:00"}
    first = await (await charge(here, code, **times)).json()
    assert await refused(await charge(here, code, **times)) == "possible_duplicate"
    assert (await charge(here, code, **times, by=OTHER)).status == 201, "two providers may come at once"
    assert (await charge(here, code, **times, allow_duplicate=True)).status == 201
    assert (await here.call(PROVIDER, "POST", f"/v1/debits/{first['debit_id']}/reverse", {}, key="r")).status == 201


async def test_a_booked_visit_keeps_its_value_and_its_place_in_the_week(here: Installation) -> None:
    made, code = await voucher(here, weekly={"visits": 2}, granted=240)
    day = last_weekday(2)
    held = await hold(here, code, starts_at=f"{day}T10:00", ends_at=f"{day}T12:00")
    assert (held["state"], held["amount"], held["available"]) == ("held", 120, 120)
    assert await balance(here, made) == (120, 120, 0)
    assert await refused(await charge(here, code, amount=180, service_date=str(day))) == "times_required"

    other = await hold(here, code, starts_at=f"{day}T14:00", ends_at=f"{day}T15:00", by=OTHER)
    full = await charge(here, code, starts_at=f"{day}T17:00", ends_at=f"{day}T17:30")
    assert await refused(full) == "weekly_visits_used"
    body = await full.json()
    assert body["next_allowed_date"] == str(day - timedelta(days=day.weekday()) + timedelta(days=7))

    captured = await here.call(PROVIDER, "POST", f"/v1/holds/{held['hold_id']}/capture", {"amount": 90}, key="c1")
    debit = await captured.json()
    assert (captured.status, debit["amount"], debit["hold_id"], debit["available"]) == (201, 90, held["hold_id"], 90)
    assert debit["starts_at"], "as it was held"
    again = await here.call(PROVIDER, "POST", f"/v1/holds/{held['hold_id']}/capture", {"amount": 90}, key="c1")
    assert (await again.read(), again.headers["Idempotent-Replayed"]) == (await captured.read(), "true")
    once_more = await here.call(PROVIDER, "POST", f"/v1/holds/{held['hold_id']}/capture", {}, key="c2")
    assert await refused(once_more) == "hold_ended"

    assert await refused(await here.call(PROVIDER, "POST", f"/v1/holds/{other['hold_id']}/void", {}, key="v")) == (
        "hold_not_found"
    ), "another provider's"
    voided = await here.call(OTHER, "POST", f"/v1/holds/{other['hold_id']}/void", {"reason": "ill"}, key="v")
    assert ((await voided.json())["state"], voided.status) == ("voided", 200)
    assert await balance(here, made) == (150, 0, 90)

    listed = await (await here.call(PROVIDER, "GET", "/v1/holds")).json()
    assert [(item["hold_id"], item["state"]) for item in listed["holds"]] == [(held["hold_id"], "captured")]
    assert (await (await here.call(PROVIDER, "GET", "/v1/holds?state=held")).json())["holds"] == []


async def test_two_bookings_of_one_moment_that_were_told_apart_are_both_charged(here: Installation) -> None:
    made, code = await voucher(here)
    day = last_weekday(2)
    times = {"starts_at": f"{day}T10:00", "ends_at": f"{day}T11:00"}
    first = await hold(here, code, **times)
    second = await hold(here, code, **times, allow_duplicate=True)
    third = await hold(here, code, starts_at=f"{day}T14:00", ends_at=f"{day}T15:00")

    async def capture(held: dict[str, Any], **visit: Any) -> ClientResponse:
        return await here.call(PROVIDER, "POST", f"/v1/holds/{held['hold_id']}/capture", visit, key=uuid4().hex)

    assert [(await capture(held)).status for held in (first, second)] == [201, 201]
    assert await refused(await capture(third, **times)) == "possible_duplicate", "it was booked for another moment"
    assert (await capture(third, **times, allow_duplicate=True)).status == 201
    assert await balance(here, made) == (540, 0, 180)


async def test_a_capture_is_never_more_than_the_hold_and_is_for_its_day(here: Installation) -> None:
    _, code = await voucher(here)
    day = last_weekday(2)
    held = await hold(here, code, starts_at=f"{day}T10:00", ends_at=f"{day}T12:00")
    path = f"/v1/holds/{held['hold_id']}/capture"

    async def capture(**visit: Any) -> ClientResponse:
        return await here.call(PROVIDER, "POST", path, visit, key=uuid4().hex)

    assert await refused(await capture(amount=135)) == "capture_above_hold"
    longer = {"starts_at": f"{day}T10:00", "ends_at": f"{day}T13:00"}
    assert await refused(await capture(**longer)) == "capture_above_hold"
    other_day = {"starts_at": f"{day}T23:30", "ends_at": f"{day + timedelta(days=1)}T00:30"}
    assert await refused(await capture(visit_type="no_show")) == "no_show_not_allowed"
    moved = await (await capture(**other_day)).json()
    assert (moved["amount"], moved["service_date"]) == (60, str(day)), "it began on the day"
    await here.resources.pool.execute("UPDATE holds SET state = 'held', ended_at = NULL, lapses_at = now()")
    assert await refused(await capture()) == "hold_ended"


async def test_a_charge_of_a_day_in_the_future_has_one_answer_however_far_it_is(here: Installation) -> None:
    _, code = await voucher(here)
    today = datetime.now(HELSINKI).date()
    for days in (1, 3, 27):
        asked = {"code": code, "amount": 15, "service_date": str(today + timedelta(days=days))}
        answer = await here.call(PROVIDER, "POST", "/v1/debits", asked, key=f"in {days} days")
        assert await refused(answer) == "service_date_in_future"


async def test_a_hold_is_for_a_day_to_come_too_and_lapses_when_nobody_comes(here: Installation) -> None:
    made, code = await voucher(here)
    tomorrow = datetime.now(HELSINKI).date() + timedelta(days=1)
    held = await hold(here, code, starts_at=f"{tomorrow}T10:00", ends_at=f"{tomorrow}T11:00")
    assert datetime.fromisoformat(held["lapses_at"]) == datetime.fromisoformat(held["ends_at"]) + timedelta(hours=720)
    early = await here.call(PROVIDER, "POST", f"/v1/holds/{held['hold_id']}/capture", {}, key="early")
    assert await refused(early) == "service_date_in_future"
    assert await here.resources.pool.fetchval("SELECT lapse_holds(10)") == 0
    await here.resources.pool.execute("UPDATE holds SET lapses_at = now()")
    assert await here.resources.pool.fetchval("SELECT lapse_holds(10)") == 1
    assert await balance(here, made) == (720, 0, 0)


async def test_a_debit_is_taken_back_in_parts_and_the_cents_come_to_the_whole(here: Installation) -> None:
    made, code = await voucher(here)
    day = last_weekday(2)
    debit = await (await charge(here, code, starts_at=f"{day}T17:00", ends_at=f"{day}T19:45")).json()

    async def take_back(key: str, **part: Any) -> ClientResponse:
        return await here.call(PROVIDER, "POST", f"/v1/debits/{debit['debit_id']}/reverse", part, key=key)

    assert (await (await take_back("a", amount=45)).json())["left"] == 120
    assert await refused(await take_back("b", amount=20)) == "amount_not_in_steps"
    assert await refused(await take_back("c", amount=135)) == "reversal_above_debit"

    async def listed(state: str) -> list[str]:
        answer = await here.call(PROVIDER, "GET", f"/v1/debits?state={state}")
        return [each["debit_id"] for each in (await answer.json())["debits"]]

    assert (await listed("partly_reversed"), await listed("reversed")) == ([debit["debit_id"]], [])
    assert (await (await take_back("d", amount=15)).json())["left"] == 105
    assert (await listed("partly_reversed"), await listed("reversed")) == ([debit["debit_id"]], [])
    assert (await (await take_back("e")).json())["left"] == 0
    assert (await listed("partly_reversed"), await listed("reversed")) == ([], [debit["debit_id"]])
    assert await refused(await take_back("f")) == "already_reversed"
    sums = await here.resources.pool.fetchrow(
        "SELECT sum(amount), sum(pays_cents), sum(own_cents), sum(minutes), sum(visits) FROM entries"
    )
    assert tuple(sums) == (0, 0, 0, 0, 0)
    assert await balance(here, made) == (720, 0, 0)


async def test_what_is_settled_is_not_reversed(here: Installation) -> None:
    _, code = await voucher(here)
    debit = await (await charge(here, code, amount=60, service_date=str(last_weekday(7)))).json()
    await here.resources.pool.execute(
        "INSERT INTO settled_entries (organiser_id, entry_id) SELECT organiser_id, entry_id FROM entries"
    )
    answer = await here.call(PROVIDER, "POST", f"/v1/debits/{debit['debit_id']}/reverse", {}, key="r")
    assert await refused(answer) == "debit_settled"


async def test_rules_that_change_while_a_visit_is_worked_out_are_the_ones_that_count(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is another one by the time the database is asked: the visit is worked out again, and charged once."""
    made, code = await voucher(here)
    day = last_weekday(2)
    really, worked_out = visits.in_parts, []

    def meanwhile(order: Any, terms: Any) -> Any:
        worked_out.append(terms["starts_on"])
        return really(order, {**dict(terms), "starts_on": date(1999, 1, 1)} if len(worked_out) == 1 else terms)

    monkeypatch.setattr(visits, "in_parts", meanwhile)
    answer = await charge(here, code, starts_at=f"{day}T10:00", ends_at=f"{day}T11:00")
    assert (answer.status, len(worked_out)) == (201, 2)
    assert await balance(here, made) == (660, 0, 60)


async def test_a_client_that_hangs_up_in_mid_debit_leaves_it_done_or_not_done(here: Installation) -> None:
    """Whenever it hangs up, the same key tells what it was, and there is one effect."""
    made, code = await voucher(here)
    day = last_weekday(2)
    visit = {"code": code, "starts_at": f"{day}T10:00", "ends_at": f"{day}T10:15", "allow_duplicate": True}
    for attempt in range(12):
        call = asyncio.create_task(here.call(PROVIDER, "POST", "/v1/debits", visit, key=f"k{attempt}"))
        await asyncio.sleep(attempt * 0.002)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    for attempt in range(12):
        answer = await here.call(PROVIDER, "POST", "/v1/debits", visit, key=f"k{attempt}")
        assert answer.status == 201
    assert await balance(here, made) == (720 - 12 * 15, 0, 12 * 15)
    assert await here.resources.pool.fetchval("SELECT count(*) FROM entries") == 12


async def test_a_plain_debit_is_one_round_trip_and_one_with_times_is_two(pool: Pool) -> None:
    async with transaction(pool) as conn:
        world = await World().build(conn)
        one = await world.add_voucher(conn, granted=720)
    asked: list[str] = []

    async def listen(connection: Any) -> None:
        connection.add_query_logger(lambda record: asked.append(record.query))

    group = operations.debit_group(pool, USUAL)
    await pool_listen(pool, listen)
    for order in (world.order(one, 60), with_times(world.order(one, 60))):
        asked.clear()
        verdict = await operations.debit(group, pool, order)
        assert verdict.outcome == "ok", json.loads(verdict.answer)
        ours = [query for query in asked if "debit_many" in query or "rules_on" in query]
        assert len(ours) == (1 if order.starts_at is None else 2)


def with_times(order: Any) -> Any:
    day = last_weekday(2)
    starts_at = datetime(day.year, day.month, day.day, 10, tzinfo=HELSINKI)
    return replace(order, amount=None, starts_at=starts_at, ends_at=starts_at + timedelta(hours=1))


async def pool_listen(pool: Pool, listen: Any) -> None:
    """Every connection of the pool tells what it is asked."""
    held = [await pool.acquire() for _ in range(pool.get_size())]
    for connection in held:
        await listen(connection)
    for connection in held:
        await pool.release(connection)
