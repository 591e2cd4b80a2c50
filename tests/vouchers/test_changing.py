"""Later decisions, through the API: each change, allowed and refused, and none that breaks an earlier visit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from service.db import transaction
from service.quiet_hours import QuietHours
from service.sandbox.sample import COUNTY, TOWN
from service.vouchers.queries.reminders import queue_expiring
from tests.families import PROVIDER
from tests.installations import Installation, decision, install, settings_for
from tests.vouchers.changed import DAY, Changed, assert_money_adds_up, changed, this_monday, today


@pytest.fixture
async def here(database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as here:
        yield here
        await assert_money_adds_up(here)


async def began_long_ago(here: Installation, **decision: Any) -> Changed:
    made = await changed(here, **decision)
    await made.family.age(60)
    return made


async def test_raising_the_value_gives_more_and_is_kept_with_who_why_and_by_which_decision(here: Installation) -> None:
    made = await changed(here)
    assert await made.charge(120) == "ok"
    answer = await made.change(decision_ref="KH-900", granted=900)
    assert (answer["granted"], answer["available"]) == (900, 780)
    view = await made.view()
    (value,) = view["value_changes"]
    assert (value["kind"], value["amount"], value["decision_ref"]) == ("raised", 180, "KH-900")
    assert value["actor"].startswith("key:")
    assert value["reason"] == "so decided"
    (later,) = view["later_decisions"]
    assert (later["decision_ref"], later["changes"], later["state"]) == ("KH-900", ["granted"], "applied")
    assert [row["action"] for row in await made.rows("SELECT action FROM audit WHERE subject_id = $1")] == [
        "voucher.change"
    ]


async def test_lowering_the_value_stops_at_what_is_used_and_the_refusal_says_where(here: Installation) -> None:
    made = await changed(here, weekly=None)
    assert await made.charge(120) == "ok"
    await made.hold(60, today() + DAY)
    status, answer = await made.ask("change", decision_ref="KH-900", granted=165)
    assert (status, answer["code"], answer["lowest"]) == (422, "granted_below_used", 180)
    answer = await made.change(granted=180)
    assert (answer["granted"], answer["available"], answer["held"], answer["debited"]) == (180, 0, 60, 120)
    assert [(c["kind"], c["amount"]) for c in (await made.view())["value_changes"]] == [("lowered", 540)]


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("fi", "Seteliä ei voi pienentää määrään 1 t: siitä on veloitettu tai varattu niin paljon"),
        ("sv", "Sedeln kan inte sänkas till 1 h: så mycket är debiterat eller reserverat"),
        ("en", "The voucher cannot be lowered to 1 h: so much of it is charged or held that 2 h is the least."),
    ],
)
async def test_the_refusal_is_in_the_callers_language(here: Installation, language: str, sentence: str) -> None:
    made = await changed(here)
    assert await made.charge(120) == "ok"
    _, answer = await made.ask("change", decision_ref="KH-900", granted=60, language=language)
    assert answer["detail"].startswith(sentence)


async def test_what_a_reversal_brings_back_after_a_lowering_is_the_familys(here: Installation) -> None:
    made = await changed(here)
    debit = await made.family.debit(120, "visit")
    await made.change(granted=120)
    await made.family.reverse(debit["debit_id"], "undo")
    assert (await made.row())["available"] == 120


async def test_the_same_later_decision_again_changes_nothing_and_other_content_is_refused(here: Installation) -> None:
    made = await changed(here)
    first = await made.change(decision_ref="KH-900", granted=900)
    again = await made.change(decision_ref="KH-900", granted=900, reason="asked twice")
    assert again["message_id"] is None
    assert first["message_id"] is not None
    assert (await made.row())["granted"] == 900
    for other in ({"granted": 915}, {"granted": 900, "weekly_visits": None}, {"granted": 900, "from_date": today()}):
        assert await made.refused(decision_ref="KH-900", **other) == "decision_differs"
    assert len((await made.view())["later_decisions"]) == 1


async def test_a_decision_that_made_a_voucher_or_changed_another_one_is_no_later_decision(here: Installation) -> None:
    made, other = await changed(here), await changed(here)
    own = (await made.view())["decision_ref"]
    assert await made.refused(decision_ref=own, granted=900) == "decision_differs"
    await other.change(decision_ref="KH-900", granted=900)
    assert await made.refused(decision_ref="KH-900", granted=900) == "decision_differs"


async def test_a_later_decision_makes_no_voucher(here: Installation) -> None:
    made = await changed(here)
    await made.change(decision_ref="KH-900", granted=900)
    answer = await here.call(COUNTY, "POST", "/v1/decisions", decision(decision_ref="KH-900"))
    assert (answer.status, (await answer.json())["code"]) == (409, "decision_differs")
    assert len(await made.rows("SELECT FROM vouchers WHERE voucher_id >= $1")) == 1


async def test_another_organisers_voucher_is_not_there(here: Installation) -> None:
    made = await changed(here)
    hold = await made.hold(60, today() + DAY)
    for action, body in (("change", {"decision_ref": "T-1", "granted": 900}), (f"holds/{hold}/void", {})):
        path = f"/v1/vouchers/{made.voucher_id}/{action}"
        answer = await here.call(TOWN, "POST", path, {"reason": "curious", **body})
        assert (answer.status, (await answer.json())["code"]) == (404, "voucher_unknown")


async def test_an_idempotency_key_gives_the_same_answer_again(here: Installation) -> None:
    made = await changed(here)
    path = f"/v1/vouchers/{made.voucher_id}/change"
    body = {"decision_ref": "KH-900", "reason": "more need", "granted": 900}
    first, again = [await here.call(COUNTY, "POST", path, body, key="change-1") for _ in range(2)]
    assert await first.read() == await again.read()
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    ("action", "body", "taken_away"),
    [
        ("change", {"decision_ref": "KH-901", "granted": 900}, {"weekly_visits": None}),
        ("contact", {"email": "familj@example.com"}, {"phone": None}),
    ],
)
async def test_to_take_something_away_is_another_request_than_to_leave_it_out(
    here: Installation, action: str, body: dict[str, Any], taken_away: dict[str, Any]
) -> None:
    made = await changed(here)
    path = f"/v1/vouchers/{made.voucher_id}/{action}"
    asked = body | {"reason": "moved away"}
    first = await here.call(COUNTY, "POST", path, asked, key="change-2")
    assert first.status == 200, await first.text()
    other = await here.call(COUNTY, "POST", path, asked | taken_away, key="change-2")
    assert (other.status, (await other.json())["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"granted": 0},
        {"granted": None},
        {"granted": 907},
        {"weekly_visits": 0},
        {"valid_to": "2020-01-01"},
        {"granted": 900, "from_date": "2020-01-01"},
        {"granted": 900, "from_date": "0001-01-01"},
        {"granted": 900, "valid_to": "9999-12-31", "from_date": "9999-12-31"},
        {"weekly_visits": 1, "from_date": "0001-01-01"},
        {"granted": 900, "decision_ref": "KH\u20281"},
        {"granted": 900, "decision_ref": "131052-308T"},
        {"granted": 900, "surplus": 1},
    ],
)
async def test_what_is_no_change_is_refused(here: Installation, body: dict[str, Any]) -> None:
    made = await changed(here)
    before = await made.row()
    status, answer = await made.ask("change", **({"decision_ref": "KH-900"} | body))
    assert status in (400, 422), answer
    assert "is not acceptable" not in str(answer), "it does not say what is wrong"
    assert await made.row() == before


async def test_a_renewal_lengthens_the_validity_and_sends_the_text_again_with_the_same_code(here: Installation) -> None:
    made = await changed(here)
    code, end = await made.code(), today() + 180 * DAY
    answer = await made.change(valid_to=end, granted=1440)
    assert answer["valid_to"] == str(end)
    texts = await made.family.rendered("voucher")
    assert len(texts) == 2
    assert f"{code}. Kotipalvelu 24 t, 2 krt/vko, {end.day}.{end.month}." in texts[1]


async def test_a_renewal_reopens_a_voucher_that_has_expired(here: Installation) -> None:
    made = await began_long_ago(here)
    await made.ends(days_ago=3)
    await made.family.change("UPDATE vouchers SET state = 'expired' WHERE voucher_id = $1")
    assert await made.charge(60) == "voucher_expired"
    answer = await made.change(valid_to=today() + 30 * DAY)
    assert answer["state"] == "issued"
    assert await made.charge(60) == "ok"


async def test_a_voucher_that_is_cancelled_or_closed_is_not_changed(here: Installation) -> None:
    made = await changed(here)
    await made.ask("cancel")
    assert await made.refused(granted=900) == "voucher_not_open"
    await made.family.change(
        "UPDATE vouchers SET state = 'closed', cancelled = available, available = 0 WHERE voucher_id = $1"
    )
    await made.family.change(
        "INSERT INTO value_changes (organiser_id, change_id, voucher_id, kind, amount, effective_on, actor)"
        " SELECT organiser_id, gen_random_uuid(), voucher_id, 'cancelled', cancelled, helsinki_today(), 'test'"
        " FROM vouchers WHERE voucher_id = $1"
    )
    assert await made.refused(valid_to=today() + 180 * DAY) == "voucher_not_open"


async def test_a_suspended_voucher_is_renewed_and_stays_suspended(here: Installation) -> None:
    made = await changed(here)
    await made.ask("suspend")
    assert (await made.change(valid_to=today() + 180 * DAY, granted=900))["state"] == "suspended"


async def test_changes_are_told_apart_from_the_resends_that_people_ask_for(here: Installation) -> None:
    made = await changed(here)
    for total in range(735, 735 + 15 * 7, 15):
        assert (await made.change(granted=total))["message_id"] is not None
    for _ in range(here.resources.settings.resends_per_day):
        assert (await made.ask("resend"))[0] == 200
    assert (await made.ask("resend"))[1]["code"] == "too_many_resends"
    assert (await made.change(granted=900))["message_id"] is not None


async def test_a_family_without_a_contact_is_changed_without_a_text(here: Installation) -> None:
    made = await changed(here)
    await made.family.change(
        "UPDATE beneficiaries SET phone_sealed = NULL, phone_index = NULL, email_sealed = NULL, email_index = NULL"
        " WHERE voucher_id = $1"
    )
    assert (await made.change(granted=900))["message_id"] is None


async def test_a_cap_is_for_visits_from_its_day_on_and_leaves_earlier_weeks_alone(here: Installation) -> None:
    made = await began_long_ago(here)  # two visits a week
    last_week = this_monday() - 7 * DAY
    assert [await made.charge(60, last_week) for _ in range(2)] == ["ok", "ok"]
    answer = await made.change(weekly_visits=1)
    assert answer["weekly_visits"] == 1
    assert await made.charge(60, last_week) == "weekly_visits_used"  # two, as ever
    assert await made.charge(60, last_week - 7 * DAY) == "ok"  # entered late, by the cap of its day
    assert await made.charge(60, last_week - 7 * DAY) == "ok"
    assert [await made.charge(60) for _ in range(2)] == ["ok", "weekly_visits_used"]
    await made.change(weekly_visits=None)
    assert [await made.charge(60) for _ in range(3)] == ["ok"] * 3
    caps = (await made.view())["cap_versions"]
    assert [(c["weekly_visits"], c["weekly_minutes"]) for c in caps] == [(2, None), (None, None)]


async def test_a_cap_that_is_tightened_backwards_is_refused_and_one_that_is_loosened_is_not(here: Installation) -> None:
    made = await began_long_ago(here)
    last_week = this_monday() - 7 * DAY
    assert await made.refused(weekly_visits=1, from_date=last_week) == "cap_tightened_in_past"
    await made.change(weekly_visits=3, from_date=last_week)
    assert [await made.charge(60, last_week) for _ in range(4)] == ["ok"] * 3 + ["weekly_visits_used"]
    assert await made.charge(60, last_week - 7 * DAY) == "ok"
    # By now three were allowed: two again would be tighter than that day's cap.
    assert await made.refused(weekly_visits=2, from_date=last_week + DAY) == "cap_tightened_in_past"


async def test_a_later_decision_about_visits_leaves_the_minutes_of_another_one_alone(here: Installation) -> None:
    made = await changed(here)
    soon, later = today() + 7 * DAY, today() + 14 * DAY
    await made.change(weekly_minutes=120, from_date=later)
    await made.change(weekly_visits=3, from_date=soon)
    caps = {c["from_date"]: (c["weekly_visits"], c["weekly_minutes"]) for c in (await made.view())["cap_versions"]}
    assert caps == {str(today()): (2, None), str(soon): (3, None), str(later): (3, 120)}
    await made.change(weekly_visits=4, from_date=soon)  # the same day again: the newer decision counts
    caps = {c["from_date"]: (c["weekly_visits"], c["weekly_minutes"]) for c in (await made.view())["cap_versions"]}
    assert caps == {str(today()): (2, None), str(soon): (4, None), str(later): (4, 120)}


async def test_a_change_from_a_day_to_come_waits_for_it(here: Installation) -> None:
    made = await changed(here)
    answer = await made.change(granted=900, valid_to=today() + 180 * DAY, from_date=today() + 7 * DAY)
    assert (answer["granted"], answer["message_id"]) == (720, None)
    (later,) = (await made.view())["later_decisions"]
    assert (later["state"], later["from_date"], later["granted"]) == ("waiting", str(today() + 7 * DAY), 900)


async def test_cancelling_voids_the_holds_from_its_day_on_and_keeps_those_before(here: Installation) -> None:
    made = await changed(here, weekly=None)
    before, on_the_day, after = [await made.hold(60, today() + days * DAY) for days in (1, 2, 3)]
    status, answer = await made.ask("cancel", from_date=str(today() + 2 * DAY))
    assert (status, answer["held"], answer["available"]) == (200, 60, 660)
    holds = await made.rows(
        "SELECT hold_id::text, state, reason FROM holds WHERE voucher_id = $1 ORDER BY service_date"
    )
    assert [tuple(row.values()) for row in holds] == [
        (before, "held", None),
        (on_the_day, "voided", "voucher_cancelled"),
        (after, "voided", "voucher_cancelled"),
    ]
    assert (await made.view())["open_holds"]["holds"][0]["hold_id"] == before


async def test_a_voucher_that_expired_can_be_cancelled_from_a_day_before_and_suspended(here: Installation) -> None:
    made = await began_long_ago(here)
    await made.ends(days_ago=3)
    await made.family.change("UPDATE vouchers SET state = 'expired' WHERE voucher_id = $1")
    assert (await made.ask("suspend"))[1]["state"] == "expired"  # as people see it
    assert await made.charge(60, today() - 10 * DAY) == "voucher_suspended"
    await made.ask("resume")
    assert await made.charge(60, today() - 10 * DAY) == "ok"
    assert (await made.ask("cancel", from_date=str(today() - 9 * DAY)))[0] == 200
    assert await made.charge(60, today() - 9 * DAY) == "voucher_cancelled"


async def test_a_caseworker_voids_a_hold_once_and_sees_what_is_held(here: Installation) -> None:
    made = await changed(here)
    hold, other = await made.hold(60, today() + DAY), await made.hold(90, today() + DAY)
    shown = (await made.view())["open_holds"]
    assert (shown["count"], shown["amount"]) == (2, 150)
    assert {one["hold_id"] for one in shown["holds"]} == {hold, other}
    for _ in range(2):
        status, answer = await made.ask(f"holds/{hold}/void", reason="the provider is gone")
        assert (status, answer["held"], answer["available"]) == (200, 90, 630)
    ended = await made.rows("SELECT state, reason, ended_by FROM holds WHERE voucher_id = $1 AND state <> 'held'")
    assert (ended[0]["state"], ended[0]["reason"]) == ("voided", "the provider is gone")
    assert ended[0]["ended_by"].startswith("key:")
    audit = await made.rows("SELECT action FROM audit WHERE subject_id = $1")
    assert [row["action"] for row in audit] == ["voucher.void_hold"]


async def test_a_hold_that_was_charged_or_is_nobodys_is_not_voided(here: Installation) -> None:
    made, other = await changed(here), await changed(here)
    hold = await made.hold(60, today())
    captured = await here.call(PROVIDER, "POST", f"/v1/holds/{hold}/capture", {}, key=uuid4().hex)
    assert captured.status == 201, await captured.text()
    status, answer = await made.ask(f"holds/{hold}/void")
    assert (status, answer["code"], answer["state"]) == (422, "voucher_hold_ended", "captured")
    for voucher, hold_id in ((other, hold), (made, uuid4()), (made, "none")):
        status, answer = await voucher.ask(f"holds/{hold_id}/void")
        assert (status, answer["code"]) == (404, "voucher_hold_unknown")


async def test_changes_that_race_with_charges_lose_no_value_and_wait_in_no_circle(here: Installation) -> None:
    made = await changed(here, weekly=None, granted=1500)

    async def lower(number: int) -> None:
        await made.ask("change", decision_ref=f"R-{number}", granted=1500 - 15 * number)

    async def book(number: int) -> None:
        hold = await made.hold(15, today() + DAY)
        await made.ask(f"holds/{hold}/void")

    charges = [made.charge(15) for _ in range(40)]
    outcomes = await asyncio.wait_for(
        asyncio.gather(*charges, *(lower(number) for number in range(1, 20)), *(book(number) for number in range(5))),
        timedelta(seconds=40).total_seconds(),
    )
    assert set(outcomes[:40]) == {"ok"}
    row = await made.row()
    assert (row["debited"], row["held"]) == (600, 0)


async def test_a_change_and_a_charge_of_the_last_value_exclude_each_other(here: Installation) -> None:
    for _ in range(5):
        made = await changed(here, weekly=None, granted=60)
        charged, (status, answer) = await asyncio.gather(
            made.charge(60), made.ask("change", decision_ref=f"L-{uuid4().hex[:8]}", granted=15)
        )
        row = await made.row()
        if charged == "ok":
            assert (status, answer["code"], row["granted"]) == (422, "granted_below_used", 60)
        else:
            assert (status, charged, row["granted"], row["available"]) == (200, "insufficient_value", 15, 15)


async def test_a_family_is_reminded_of_each_end_of_a_renewed_voucher_once_and_not_of_one_that_is_put_off(
    here: Installation,
) -> None:
    made = await began_long_ago(here)
    pool = here.resources.pool

    async def remind() -> int:
        async with transaction(pool) as conn:
            return await queue_expiring(conn, quiet=QuietHours(0, 0), limit=10)

    await made.ends(days_ago=-5)
    assert [await remind(), await remind()] == [1, 0]
    await made.change(valid_to=today() + 10 * DAY)
    await made.family.age(4)
    assert [await remind(), await remind()] == [1, 0]
    await made.change(valid_to=today() + 12 * DAY, from_date=today() + 11 * DAY)
    assert await remind() == 0
    await made.change(valid_to=today() + 100 * DAY)
    assert await made.family.rendered("reminder_expiring") == []  # no news any more
