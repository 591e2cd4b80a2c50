"""What the calendar does: holds lapse, later decisions begin, vouchers expire and close; twice, or by many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from uuid import UUID

import asyncpg
import pytest

from service.attention.model import CHANGE_FAILED
from service.db import Connection, Pool, transaction
from service.vouchers import operations
from service.vouchers.operations.schedules import apply_due_changes, schedules
from service.vouchers.queries import changes as change_queries
from service.vouchers.queries import schedules as queries
from tests.installations import Installation, install, settings_for
from tests.vouchers.changed import DAY, Changed, assert_money_adds_up, changed, today

LATE_DAYS = 30  # of the programme's first rules


@pytest.fixture
async def here(database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as here:
        yield here
        await assert_money_adds_up(here)


async def run(here: Installation) -> list[int]:
    """Everything once, as one worker does it: lapsed, applied, expired, closed."""
    return [await work() for work in schedules(here.resources.pool, here.resources.keys)]


async def test_a_voucher_expires_the_day_after_its_last_one_and_late_visits_are_still_paid(here: Installation) -> None:
    made = await changed(here)
    await made.ends(days_ago=0)
    assert await run(here) == [0, 0, 0, 0]
    await made.ends(days_ago=1)
    assert await run(here) == [0, 0, 1, 0]
    assert await run(here) == [0, 0, 0, 0]
    row = await made.row()
    assert (row["state"], row["available"]) == ("expired", 720)
    assert await made.charge(60) == "voucher_expired"
    assert await made.charge(60, today() - DAY) == "ok"


@pytest.mark.parametrize("suspended", [False, True])
async def test_a_voucher_is_closed_when_the_last_late_entry_was_possible_and_the_rest_returns(
    here: Installation, suspended: bool
) -> None:
    made = await changed(here)
    assert await made.charge(60) == "ok"
    if suspended:
        await made.ask("suspend")
    await made.ends(days_ago=LATE_DAYS)
    assert await run(here) == [0, 0, 0 if suspended else 1, 0]
    if not suspended:
        assert await made.charge(60, today() - 31 * DAY) == "ok"
    await made.ends(days_ago=LATE_DAYS + 1)
    left = (await made.row())["available"]
    assert await run(here) == [0, 0, 0, 1]
    assert await run(here) == [0, 0, 0, 0]
    row = await made.row()
    assert (row["state"], row["available"], row["expired"], row["cancelled"]) == ("closed", 0, left, 0)
    assert await made.charge(60, today() - 32 * DAY) == "voucher_closed"
    (change,) = (await made.view())["value_changes"]
    assert (change["kind"], change["amount"], change["actor"]) == ("expired", left, "schedule")
    assert change["effective_on"] == str(today())


async def test_what_is_left_of_a_cancelled_voucher_returns_as_cancelled(here: Installation) -> None:
    made = await changed(here)
    await made.ask("cancel")
    await made.family.change(
        "UPDATE vouchers SET valid_from = helsinki_today() - 100, cancelled_from = helsinki_today() - 31"
        " WHERE voucher_id = $1"
    )
    assert await run(here) == [0, 0, 0, 1]
    row = await made.row()
    assert (row["state"], row["cancelled"], row["expired"]) == ("closed", 720, 0)
    assert [c["kind"] for c in (await made.view())["value_changes"]] == ["cancelled"]


async def test_a_voucher_without_anything_left_closes_without_a_row(here: Installation) -> None:
    made = await changed(here)
    assert await made.charge(720) == "ok"
    await made.ends(days_ago=LATE_DAYS + 1)
    await run(here)
    assert (await made.row())["state"] == "closed"
    assert (await made.view())["value_changes"] == []


async def test_a_reversal_after_closing_returns_to_the_budget_and_the_sums_hold(here: Installation) -> None:
    made = await changed(here)
    debit = await made.family.debit(120, "visit")
    await made.ends(days_ago=LATE_DAYS + 1)
    await run(here)
    await made.family.reverse(debit["debit_id"], "undo")
    row = await made.row()
    assert (row["available"], row["expired"]) == (0, 720)
    assert [c["amount"] for c in (await made.view())["value_changes"]] == [600, 120]


async def test_holds_lapse_when_their_time_has_run_out_and_their_value_is_free(here: Installation) -> None:
    made = await changed(here)
    await made.hold(60, today())
    await made.hold(90, today() + DAY)
    await made.family.change(
        "UPDATE holds SET lapses_at = now() - interval '1 s' WHERE voucher_id = $1 AND amount = 60"
    )
    assert await run(here) == [1, 0, 0, 0]
    assert await run(here) == [0, 0, 0, 0]
    row = await made.row()
    assert (row["held"], row["available"]) == (90, 630)
    lapsed = await made.rows("SELECT state, ended_by FROM holds WHERE voucher_id = $1 AND state <> 'held'")
    assert lapsed == [{"state": "lapsed", "ended_by": "schedule"}]


async def test_what_is_held_when_a_voucher_closes_ends_first_and_returns_with_the_rest(here: Installation) -> None:
    made = await changed(here)
    await made.hold(60, today())
    await made.ends(days_ago=LATE_DAYS + 1)
    assert await run(here) == [0, 0, 1, 1]
    row = await made.row()
    assert (row["held"], row["expired"]) == (0, 720)
    assert (await made.rows("SELECT state, reason FROM holds WHERE voucher_id = $1")) == [
        {"state": "lapsed", "reason": "voucher_closed"}
    ]


async def test_late_entry_is_as_long_as_the_longest_of_the_rules_of_the_validity(here: Installation) -> None:
    made = await changed(here)
    await made.ends(days_ago=40)
    await made.family.change(
        "UPDATE programme_rules r SET late_entry_days = 60 FROM vouchers v"
        " WHERE v.voucher_id = $1 AND r.organiser_id = v.organiser_id AND r.programme = v.programme"
    )
    await made.family.change(
        "INSERT INTO programme_rules (organiser_id, programme, starts_on, step, late_entry_days, created_by)"
        " SELECT organiser_id, programme, helsinki_today() - 50, 15, 14, 'test' FROM vouchers WHERE voucher_id = $1"
    )
    assert await run(here) == [0, 0, 1, 0]
    assert await made.charge(60, today() - 60 * DAY) == "ok"  # by the rules of its day
    assert await made.charge(60, today() - 45 * DAY) == "late_entry_closed"
    await made.ends(days_ago=61)
    await made.family.change(
        "UPDATE programme_rules SET starts_on = helsinki_today() - 70 WHERE starts_on > '2020-01-01' AND organiser_id ="
        " (SELECT organiser_id FROM vouchers WHERE voucher_id = $1)"
    )
    assert await run(here) == [0, 0, 0, 1]


async def bring_forward(made: Changed, days: int) -> None:
    """The later decisions that wait begin that many days earlier."""
    await made.family.change(
        "UPDATE decision_versions SET starts_on = starts_on - $2::int WHERE voucher_id = $1 AND outcome IS NULL", days
    )


async def test_a_later_decision_begins_on_its_day_and_its_family_is_told_then(here: Installation) -> None:
    made = await changed(here)
    end = today() + 180 * DAY
    await made.change(granted=900, valid_to=end, weekly_visits=3, from_date=today() + 7 * DAY)
    assert await run(here) == [0, 0, 0, 0]
    assert len(await made.family.messages("voucher")) == 1
    await bring_forward(made, 7)
    assert await run(here) == [0, 1, 0, 0]
    assert await run(here) == [0, 0, 0, 0]
    row = await made.row()
    assert (row["granted"], row["valid_to"]) == (900, end)
    told = (await made.family.messages("voucher"))[1]
    assert (told["requested_by"], told["fields"]["amount"]) == ("schedule", "15 t")


async def test_a_renewal_that_begins_when_the_voucher_has_just_expired_reopens_it(here: Installation) -> None:
    made = await changed(here)
    await made.ends(days_ago=-1)
    await made.change(valid_to=today() + 30 * DAY, from_date=today() + 2 * DAY)
    await made.ends(days_ago=1)
    await run(here)
    assert await made.charge(60) == "voucher_expired"
    await bring_forward(made, 2)
    assert await run(here) == [0, 1, 0, 0]
    assert await made.charge(60) == "ok"
    assert (await made.row())["state"] == "issued"


async def test_a_renewal_whose_day_has_come_is_not_overtaken_by_the_closing(here: Installation) -> None:
    made = await changed(here)
    await made.ends(days_ago=-1)
    await made.change(valid_to=today() + 30 * DAY, from_date=today() + 2 * DAY)
    await made.family.change(
        "UPDATE programme_rules SET late_entry_days = 0 WHERE organiser_id ="
        " (SELECT organiser_id FROM vouchers WHERE voucher_id = $1)"
    )
    await made.ends(days_ago=1)
    await bring_forward(made, 2)
    async with transaction(here.resources.pool) as conn:  # at midnight the schedules run side by side
        assert await queries.close_vouchers(conn, limit=10) == 0
    await run(here)
    assert (await made.row())["state"] == "issued"
    assert await made.charge(60) == "ok"


async def test_a_lowering_whose_day_comes_late_takes_what_is_left_in_whole_steps(here: Installation) -> None:
    made = await changed(here)
    await made.change(granted=180, from_date=today() + 7 * DAY)
    assert await made.charge(300) == "ok"
    await bring_forward(made, 7)
    await run(here)
    row = await made.row()
    assert (row["granted"], row["available"]) == (300, 0)
    (later,) = (await made.view())["later_decisions"]
    assert (later["state"], later["granted"], later["granted_after"]) == ("applied", 180, 300)


async def test_a_later_decision_about_a_voucher_that_was_cancelled_meanwhile_is_dropped(here: Installation) -> None:
    made = await changed(here)
    await made.change(granted=900, valid_to=today() + 180 * DAY, from_date=today() + 7 * DAY)
    await made.ask("cancel")
    await bring_forward(made, 7)
    before = await made.row()
    assert await run(here) == [0, 1, 0, 0]
    assert await made.row() == before
    assert (await made.view())["later_decisions"][0]["state"] == "dropped"
    assert len(await made.family.messages("voucher")) == 1


async def test_a_contact_that_nobody_can_read_does_not_keep_the_value_back(here: Installation) -> None:
    made = await changed(here)
    await made.change(granted=900, from_date=today() + 7 * DAY)
    await bring_forward(made, 7)
    await made.family.change("UPDATE beneficiaries SET phone_sealed = '\\x00' WHERE voucher_id = $1")
    assert await run(here) == [0, 1, 0, 0]
    assert (await made.row())["granted"] == 900


async def test_a_later_decision_that_cannot_be_applied_holds_up_no_other_and_is_on_the_list(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = await changed(here), await changed(here)
    for made in (bad, good):
        await made.change(granted=900, from_date=today() + 7 * DAY)
        await bring_forward(made, 7)
    apply = change_queries.apply_version
    [version] = await bad.rows("SELECT version_id FROM decision_versions WHERE voucher_id = $1 AND outcome IS NULL")
    broken = version["version_id"]

    async def fails_for_one(conn: Connection, *, organiser_id: UUID, version_id: UUID) -> str:
        if version_id == broken:
            raise asyncpg.CheckViolationError("a fault of ours")
        return await apply(conn, organiser_id=organiser_id, version_id=version_id)

    monkeypatch.setattr(change_queries, "apply_version", fails_for_one)
    assert await run(here) == [0, 1, 0, 0]
    assert ((await bad.row())["granted"], (await good.row())["granted"]) == (720, 900)
    [item] = await bad.family.attention()
    assert (item["reason"], item["resolved_at"]) == (CHANGE_FAILED, None)
    monkeypatch.setattr(change_queries, "apply_version", apply)
    assert await run(here) == [0, 1, 0, 0]
    assert (await bad.row())["granted"] == 900
    assert (await bad.family.attention())[0]["resolution"] == "applied_since"


async def test_any_number_of_workers_do_each_thing_once(here: Installation) -> None:
    many = [await changed(here) for _ in range(6)]
    for made in many[:3]:
        await made.hold(60, today())
        await made.ends(days_ago=LATE_DAYS + 1)
    for made in many[3:]:
        await made.change(granted=900, from_date=today() + 7 * DAY)
        await bring_forward(made, 7)
    done = await asyncio.gather(*(run(here) for _ in range(6)))
    assert [sum(counts) for counts in zip(*done, strict=True)][1] == 3
    while any(await run(here)):  # what one had locked while another looked
        pass
    for made in many[:3]:
        assert [c["amount"] for c in (await made.view())["value_changes"]] == [720]
    for made in many[3:]:
        assert [c["amount"] for c in (await made.view())["value_changes"]] == [180]
        assert len(await made.family.messages("voucher")) == 2


async def test_a_later_decision_does_not_wait_for_another_ones_voucher(here: Installation) -> None:
    first, second = await changed(here), await changed(here)
    for made in (first, second):
        await made.change(granted=900, from_date=today() + 7 * DAY)
        await bring_forward(made, 7)
    async with transaction(here.resources.pool) as conn:
        await conn.execute("SELECT FROM vouchers WHERE voucher_id = $1 FOR NO KEY UPDATE", first.voucher_id)
        assert await apply_due_changes(here.resources.pool, here.resources.keys) == 1
    assert [(await made.row())["granted"] for made in (first, second)] == [720, 900]
    assert await apply_due_changes(here.resources.pool, here.resources.keys) == 1


async def test_a_voucher_that_somebody_has_locked_is_left_to_the_next_round(here: Installation) -> None:
    made = await changed(here)
    await made.ends(days_ago=LATE_DAYS + 1)
    async with transaction(here.resources.pool) as conn:
        await conn.execute("SELECT FROM vouchers WHERE voucher_id = $1 FOR NO KEY UPDATE", made.voucher_id)
        assert await asyncio.wait_for(run(here), 5) == [0, 0, 0, 0]
    assert await run(here) == [0, 0, 1, 1]


async def test_a_late_entry_and_the_closing_exclude_each_other(here: Installation) -> None:
    for _ in range(4):
        made = await changed(here)
        await made.ends(days_ago=LATE_DAYS)
        await run(here)
        # As at the midnight between: the closing is due, and the visit's request has been let in.
        await made.family.change(
            "UPDATE programme_rules r SET late_entry_days = 29 FROM vouchers v"
            " WHERE v.voucher_id = $1 AND r.organiser_id = v.organiser_id AND r.programme = v.programme"
        )
        charged, _ = await asyncio.gather(made.charge(60, today() - 31 * DAY), run(here))
        while any(await run(here)):
            pass
        row = await made.row()
        assert row["state"] == "closed"
        assert row["debited"] == (60 if charged == "ok" else 0)
        assert row["expired"] == 720 - row["debited"]
        await made.family.change(
            "UPDATE programme_rules SET late_entry_days = 30 WHERE organiser_id ="
            " (SELECT organiser_id FROM vouchers WHERE voucher_id = $1)"
        )


async def test_a_charge_that_waited_for_the_closing_finds_the_voucher_closed(here: Installation) -> None:
    made = await changed(here)
    await made.ends(days_ago=LATE_DAYS + 1)
    async with transaction(here.resources.pool) as conn:
        assert await queries.close_vouchers(conn, limit=10) == 1
        waiting = asyncio.create_task(made.charge(60, today() - 32 * DAY))
        await asyncio.sleep(0.3)
        assert not waiting.done()
    assert await waiting == "voucher_closed"


@pytest.mark.parametrize("at", ["lapse", "apply", "close"])
async def test_a_worker_that_dies_in_the_middle_leaves_all_or_nothing(here: Installation, at: str, pool: Pool) -> None:
    made = await changed(here)
    await made.hold(60, today())
    if at == "lapse":
        await made.family.change("UPDATE holds SET lapses_at = now() WHERE voucher_id = $1")
    elif at == "close":
        await made.ends(days_ago=LATE_DAYS + 1)
    else:
        await made.change(granted=900, from_date=today() + 7 * DAY)
        await bring_forward(made, 7)
    before = await made.row()
    conn = await pool.acquire()
    attempt = conn.transaction()
    await attempt.start()
    if at == "lapse":
        await queries.lapse_holds(conn, limit=10)
    elif at == "close":
        await queries.close_vouchers(conn, limit=10)
    else:
        version = await conn.fetchrow("SELECT organiser_id, version_id FROM decision_versions")
        await conn.fetchval("SELECT apply_version($1, $2)", *version)
    changed_inside = await conn.fetchrow("SELECT * FROM vouchers WHERE voucher_id = $1", made.voucher_id)
    assert dict(changed_inside) != before
    await here.resources.pool.execute("SELECT pg_terminate_backend($1, 5000)", conn.get_server_pid())
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await conn.execute("SELECT 1")
    assert await made.row() == before
    await assert_money_adds_up(here)
    assert sum(await run(here)) >= 1
    assert await made.row() != before


async def test_a_charge_leaves_the_indexes_of_the_schedules_alone(pool: Pool) -> None:
    charged = {"available", "held", "debited"}
    indexed = await pool.fetch(
        "SELECT pg_get_indexdef(indexrelid) AS made FROM pg_index WHERE indrelid = 'vouchers'::regclass"
    )
    assert {"vouchers_expiring", "vouchers_closing"} <= {row["made"].split()[2] for row in indexed}
    for row in indexed:
        assert not charged & set(row["made"].replace("(", " ").replace(")", " ").replace(",", " ").split())


@pytest.mark.parametrize(
    ("index", "condition"),
    [
        ("vouchers_expiring", "state = 'issued' AND LEAST(valid_to, cancelled_from) < helsinki_today()"),
        ("vouchers_closing", "state <> 'closed' AND LEAST(valid_to, cancelled_from) < helsinki_today() - (SELECT 30)"),
    ],
)
async def test_a_search_goes_by_its_index_although_most_vouchers_are_over(
    db: Connection, index: str, condition: str
) -> None:
    await db.execute("SET LOCAL session_replication_role = replica")  # no parents, only rows
    await db.execute(
        "INSERT INTO vouchers (organiser_id, voucher_id, decision_id, programme, unit, code_id, state, granted,"
        " available, expired, valid_from, valid_to)"
        " SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'p', 'minutes', gen_random_uuid(),"
        " CASE WHEN i % 3 = 0 THEN 'issued' ELSE 'closed' END, 60, CASE WHEN i % 3 = 0 THEN 60 ELSE 0 END,"
        " CASE WHEN i % 3 = 0 THEN 0 ELSE 60 END, helsinki_today() - 900,"
        " helsinki_today() + CASE WHEN i % 3 = 0 THEN i % 90 ELSE -100 - i % 700 END FROM generate_series(1, 20000) i"
    )
    await db.execute("ANALYZE vouchers")
    plan = await db.fetch(
        f"EXPLAIN SELECT FROM vouchers WHERE {condition} ORDER BY LEAST(valid_to, cancelled_from) LIMIT 500"
    )
    shown = "\n".join(row[0] for row in plan)
    assert f"using {index}" in shown, shown


async def test_nothing_is_done_where_nothing_is_due(here: Installation) -> None:
    made = await changed(here)
    before = await made.row()
    assert await run(here) == [0, 0, 0, 0]
    assert await apply_due_changes(here.resources.pool, here.resources.keys) == 0
    assert len(operations.schedules(here.resources.pool, here.resources.keys)) == 4
    assert await made.row() == before
    assert isinstance(before["valid_to"], date)
