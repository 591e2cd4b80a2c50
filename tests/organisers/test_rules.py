"""Rules as data: what makes sense, and versions that never change once they have begun."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time, timedelta

import pytest

from service.db import Connection
from service.errors import Invalid
from service.money import Unit
from service.organisers import operations, queries
from service.organisers.model import Programme, ProgrammeDiffers, ProgrammeUnknown, SlugMalformed, UnitValueUnfit
from service.organisers.rules import (
    FIRST_DAY,
    EveningIncomplete,
    ProgrammeRules,
    Rounding,
    RulesChange,
    RulesUnfit,
    RulesVersionUnknown,
    StartsTooEarly,
    ValuesIncomplete,
    changed_rules,
    check_rules,
    what_changed,
)
from tests.organisers.samples import HOME_HELP, add_home_help, add_lakeshore

FLAT = ProgrammeRules(
    FIRST_DAY, step=15, weekday_cents=3350, evening_cents=3350, saturday_cents=3350, sunday_cents=3350
)
WITH_EVENING = replace(FLAT, evening_cents=4020, evening_from=time(18), evening_to=time(22))
MONDAY = date(2026, 8, 3)


@pytest.mark.parametrize(
    ("unit", "rules"),
    [
        (Unit.MINUTES, FLAT),
        (Unit.MINUTES, WITH_EVENING),
        (Unit.MINUTES, replace(WITH_EVENING, evening_from=time(22), evening_to=time(6))),
        (Unit.MINUTES, replace(FLAT, step=120, weekly_minutes=240)),
        (Unit.MINUTES, replace(FLAT, task_types=("lastenhoito", "ruoanlaitto"), hold_lapse_hours=1, late_entry_days=0)),
        (Unit.CENTS, ProgrammeRules(FIRST_DAY)),
        (Unit.CENTS, replace(FLAT, step=50)),
        (Unit.SESSIONS, replace(FLAT, step=1, weekly_visits=1, no_show_allowed=True, free_by_law=True)),
        (Unit.VISITS, ProgrammeRules(FIRST_DAY, rounding=Rounding.NEAREST)),
    ],
)
def test_rules_that_make_sense_are_kept(unit: Unit, rules: ProgrammeRules) -> None:
    check_rules(rules, unit)


@pytest.mark.parametrize(
    ("unit", "rules", "error", "field"),
    [
        (Unit.MINUTES, replace(FLAT, step=0), UnitValueUnfit, "step"),
        (Unit.MINUTES, replace(FLAT, step=25), UnitValueUnfit, "step"),  # nobody could charge an hour
        (Unit.MINUTES, replace(FLAT, step=90), UnitValueUnfit, "step"),
        (Unit.SESSIONS, replace(FLAT, step=2), UnitValueUnfit, "step"),
        (Unit.CENTS, ProgrammeRules(FIRST_DAY, step=10**10), UnitValueUnfit, "step"),
        (Unit.MINUTES, replace(FLAT, sunday_cents=0), UnitValueUnfit, "sunday_cents"),
        (Unit.MINUTES, replace(FLAT, saturday_cents=10**9), UnitValueUnfit, "saturday_cents"),
        (Unit.MINUTES, replace(FLAT, sunday_cents=None), ValuesIncomplete, None),
        (Unit.MINUTES, replace(FLAT, weekday_cents=None), ValuesIncomplete, None),
        (Unit.MINUTES, replace(WITH_EVENING, evening_to=None), EveningIncomplete, None),
        (Unit.MINUTES, replace(WITH_EVENING, evening_to=time(18)), EveningIncomplete, None),
        (Unit.MINUTES, replace(FLAT, evening_cents=4020), EveningIncomplete, None),
        (Unit.MINUTES, replace(WITH_EVENING, evening_to=time(22, 0, 30)), RulesUnfit, "evening_to"),
        (Unit.MINUTES, replace(FLAT, weekly_visits=0), RulesUnfit, "weekly_visits"),
        (Unit.MINUTES, replace(FLAT, weekly_minutes=10_081), RulesUnfit, "weekly_minutes"),
        (Unit.MINUTES, replace(FLAT, weekly_minutes=100), RulesUnfit, "weekly_minutes"),  # no whole number of steps
        (Unit.VISITS, ProgrammeRules(FIRST_DAY, weekly_minutes=60), RulesUnfit, "weekly_minutes"),
        (Unit.MINUTES, replace(FLAT, task_types=("Lasten hoito",)), SlugMalformed, "task_types"),
        (Unit.MINUTES, replace(FLAT, task_types=("siivous", "siivous")), RulesUnfit, "task_types"),
        (Unit.MINUTES, replace(FLAT, hold_lapse_hours=0), RulesUnfit, "hold_lapse_hours"),
        (Unit.MINUTES, replace(FLAT, late_entry_days=-1), RulesUnfit, "late_entry_days"),
        (Unit.MINUTES, replace(FLAT, late_entry_days=367), RulesUnfit, "late_entry_days"),
    ],
)
def test_rules_that_make_no_sense_are_refused_by_name(
    unit: Unit, rules: ProgrammeRules, error: type[Invalid], field: str | None
) -> None:
    with pytest.raises(error) as raised:
        check_rules(rules, unit)
    assert raised.value.details.get("field") == field


@pytest.mark.parametrize(
    ("before", "change", "values"),
    [
        (ProgrammeRules(FIRST_DAY), {"weekday_cents": 3350}, (3350, 3350, 3350, 3350)),
        (ProgrammeRules(FIRST_DAY), {"weekday_cents": 3350, "sunday_cents": 5580}, (3350, 3350, 3350, 5580)),
        (FLAT, {"weekday_cents": 3400}, (3400, 3400, 3350, 3350)),  # an evening that there is not is a weekday
        (FLAT, {"sunday_cents": 5580}, (3350, 3350, 3350, 5580)),
        (WITH_EVENING, {"weekday_cents": 3400}, (3400, 4020, 3350, 3350)),
        (WITH_EVENING, {"evening_from": None, "evening_to": None}, (3350, 3350, 3350, 3350)),
        (WITH_EVENING, {"weekday_cents": None}, (None, None, None, None)),
    ],
)
def test_what_is_not_said_stays_as_it_was(
    before: ProgrammeRules, change: RulesChange, values: tuple[int | None, ...]
) -> None:
    after = changed_rules(before, change, starts_on=MONDAY)
    assert (after.weekday_cents, after.evening_cents, after.saturday_cents, after.sunday_cents) == values
    assert after.starts_on == MONDAY
    assert (after.step, after.rounding) == (before.step, before.rounding)


def test_a_change_is_told_in_words() -> None:
    after = replace(
        WITH_EVENING, evening_cents=None, free_by_law=True, task_types=("siivous",), evening_to=time(21, 30)
    )
    assert what_changed(WITH_EVENING, replace(after, starts_on=MONDAY)) == {
        "evening_cents": ("4020", "none"),
        "evening_to": ("22:00", "21:30"),
        "free_by_law": ("false", "true"),
        "task_types": ("none", "siivous"),
    }


async def today_in(db: Connection) -> date:
    return await queries.select_today(db)


async def change_rules(db: Connection, change: RulesChange, *, in_days: int) -> ProgrammeRules:
    return await operations.set_rules(
        db,
        organiser_slug="jarvenranta",
        programme=HOME_HELP.programme,
        starts_on=await today_in(db) + timedelta(days=in_days),
        change=change,
        actor="command line:aino",
    )


@pytest.fixture
async def home_help(db: Connection) -> Programme:
    return await add_home_help(db, await add_lakeshore(db))


async def test_a_programme_begins_with_rules_as_old_as_any_visit(db: Connection, home_help: Programme) -> None:
    _, versions, _ = await operations.list_rules(db, organiser_slug="jarvenranta", programme="kotipalvelu")
    values = dict.fromkeys(("weekday_cents", "evening_cents", "saturday_cents", "sunday_cents"), 3550)
    assert versions == [ProgrammeRules(date(2000, 1, 1), step=15, **values)]
    assert (home_help.step, home_help.unit_value_cents) == (15, 3550)


async def test_a_new_version_has_what_is_not_said_from_the_one_before(db: Connection, home_help: Programme) -> None:
    change: RulesChange = {
        "sunday_cents": 5580,
        "evening_cents": 4020,
        "evening_from": time(18),
        "evening_to": time(22),
        "task_types": ("lastenhoito", "siivous"),
        "rounding": Rounding.NEAREST,
        "eves_are_holidays": True,
        "weekly_minutes": 240,
        "no_show_allowed": True,
    }
    stored = await change_rules(db, change, in_days=1)
    assert (stored.step, stored.weekday_cents, stored.saturday_cents) == (15, 3550, 3550)
    tomorrow = await today_in(db) + timedelta(days=1)
    where = {"organiser_id": home_help.organiser_id, "programme": "kotipalvelu"}
    assert await operations.rules_of(db, **where, day=tomorrow) == stored
    assert (await operations.rules_of(db, **where, day=await today_in(db))).starts_on == FIRST_DAY
    assert (await operations.rules_of(db, **where, day=tomorrow + timedelta(days=400))) == stored
    audited = await db.fetchrow("SELECT actor, action, reason FROM audit")
    assert audited["actor"] == "command line:aino"
    assert audited["action"] == "programme.set_rules"
    assert "sunday_cents 3550 → 5580" in audited["reason"]


async def test_a_version_that_has_not_begun_is_withdrawn_and_those_around_it_stay(
    db: Connection, home_help: Programme
) -> None:
    first = await change_rules(db, {"weekly_visits": 2}, in_days=3)
    wrong = await change_rules(db, {"weekly_visits": 3}, in_days=5)
    later = await change_rules(db, {"late_entry_days": 14}, in_days=9)

    async def withdraw(starts_on: date) -> ProgrammeRules:
        return await operations.withdraw_rules(
            db, organiser_slug="jarvenranta", programme="kotipalvelu", starts_on=starts_on, actor="command line:aino"
        )

    assert await withdraw(wrong.starts_on) == first
    _, versions, today = await operations.list_rules(db, organiser_slug="jarvenranta", programme="kotipalvelu")
    assert versions[1:] == [first, later]
    audited = await db.fetchval("SELECT reason FROM audit WHERE action = 'programme.withdraw_rules'")
    assert audited == f"kotipalvelu from {wrong.starts_on}: weekly_visits 3 → 2"
    with pytest.raises(RulesVersionUnknown):
        await withdraw(wrong.starts_on)
    await db.execute("UPDATE programme_rules SET starts_on = $1 WHERE starts_on = $2", today, first.starts_on)
    for begun in (FIRST_DAY, today):
        with pytest.raises(StartsTooEarly):
            await withdraw(begun)


async def test_the_same_again_changes_nothing_and_another_that_is_not_in_force_is_replaced(
    db: Connection, home_help: Programme
) -> None:
    first = await change_rules(db, {"weekly_visits": 2}, in_days=3)
    assert await change_rules(db, {"weekly_visits": 2}, in_days=3) == first
    assert await db.fetchval("SELECT count(*) FROM audit") == 1
    second = await change_rules(db, {"weekly_visits": 3}, in_days=3)
    _, versions, _ = await operations.list_rules(db, organiser_slug="jarvenranta", programme="kotipalvelu")
    assert versions[1:] == [second]
    assert second == replace(first, weekly_visits=3)


async def test_a_later_version_stays_as_it_is(db: Connection, home_help: Programme) -> None:
    later = await change_rules(db, {"step": 30}, in_days=10)
    sooner = await change_rules(db, {"step": 60}, in_days=5)
    _, versions, _ = await operations.list_rules(db, organiser_slug="jarvenranta", programme="kotipalvelu")
    assert [version.step for version in versions] == [15, 60, 30]
    assert (sooner.step, later.step) == (60, 30)


@pytest.mark.parametrize("in_days", [0, -1, -400])
async def test_what_has_begun_never_changes(db: Connection, home_help: Programme, in_days: int) -> None:
    with pytest.raises(StartsTooEarly) as raised:
        await change_rules(db, {"step": 30}, in_days=in_days)
    assert raised.value.details == {"earliest": str(await today_in(db) + timedelta(days=1))}


async def test_a_version_that_has_begun_since_takes_the_same_again_and_nothing_else(
    db: Connection, home_help: Programme
) -> None:
    await change_rules(db, {"step": 30}, in_days=1)
    await db.execute("UPDATE programme_rules SET starts_on = helsinki_today() WHERE step = 30")
    assert (await change_rules(db, {"step": 30}, in_days=0)).step == 30
    with pytest.raises(StartsTooEarly):
        await change_rules(db, {"step": 60}, in_days=0)
    # Nor by the statement itself, whatever the caller thinks the day is.
    begun = await operations.rules_of(
        db, organiser_id=home_help.organiser_id, programme="kotipalvelu", day=await today_in(db)
    )
    await queries.upsert_rules(
        db,
        organiser_id=home_help.organiser_id,
        programme="kotipalvelu",
        rules=replace(begun, step=60),
        created_by="test",
    )
    assert await db.fetchval("SELECT count(*) FROM programme_rules WHERE step = 60") == 0


async def test_a_programme_shows_the_rules_of_today_and_is_added_again_all_the_same(
    db: Connection, home_help: Programme
) -> None:
    await change_rules(db, {"step": 30, "weekday_cents": 3600, "weekly_visits": 2}, in_days=1)
    assert await operations.find_programme(db, home_help.organiser_id, "kotipalvelu") == home_help
    await db.execute("UPDATE programme_rules SET starts_on = helsinki_today() WHERE step = 30")
    shown = await operations.find_programme(db, home_help.organiser_id, "kotipalvelu")
    assert (shown.step, shown.unit_value_cents, shown.weekly_visits, shown.weekly_minutes) == (30, 3600, 2, None)
    assert await add_home_help(db, await add_lakeshore(db)) == shown
    changed = await operations.change_programme(
        db, organiser_slug="jarvenranta", programme="kotipalvelu", neutral_texts=True
    )
    assert changed == replace(shown, neutral_texts=True)


async def test_a_programme_that_comes_with_other_rules_is_another(db: Connection) -> None:
    await add_lakeshore(db)

    async def add(rules: RulesChange) -> Programme:
        return await operations.add_programme(
            db, organiser_slug="jarvenranta", programme="x", names=HOME_HELP.names, unit=Unit.MINUTES, rules=rules
        )

    assert (await add({"weekly_visits": 2})).weekly_visits == 2
    await add({"weekly_visits": 2})
    with pytest.raises(ProgrammeDiffers):
        await add({"weekly_visits": 3})


async def test_rules_that_make_no_sense_are_not_kept(db: Connection, home_help: Programme) -> None:
    with pytest.raises(EveningIncomplete):
        await change_rules(db, {"evening_from": time(18)}, in_days=1)
    with pytest.raises(ProgrammeUnknown):
        await operations.set_rules(
            db, organiser_slug="jarvenranta", programme="nothing", starts_on=MONDAY, change={"step": 30}, actor="test"
        )
    assert await db.fetchval("SELECT count(*) FROM programme_rules") == 1
