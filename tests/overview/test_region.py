"""A region of three and a fourth one: told when all of it is counted, of families, and the same for ever after."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from service.db import Connection
from service.organisers import operations as organisers
from service.overview import queries
from service.overview.disclosure import RegionLine
from service.overview.operations import RegionOverview, region_overview
from tests.overview.towns import Town, make_town

AFTER = datetime(2026, 11, 25, 12, tzinfo=UTC)
IN_THE_BLOCK = "2026-08-12 10:00:00"  # weeks 27-39 are from 29 June to 27 September, known by 25 October
BLOCK = "2026-3"


async def make_region(conn: Connection, towns: int = 4, *, families: int = 8) -> list[Town]:
    await organisers.add_region(conn, slug="saaristo", name="Saaristo")
    found = [await make_town(conn, f"kunta-{number}", region="saaristo") for number in range(towns)]
    for town in found:
        for number in range(families):
            voucher = await town.decide(IN_THE_BLOCK, family=f"f-{number}")
            await town.send(voucher, IN_THE_BLOCK, arrived="2026-08-12 10:00:09")
            await town.charge(voucher, date(2026, 8, 13), entered="2026-08-13 12:00:00")
    return found


async def look(conn: Connection, town: Town) -> RegionOverview:
    found = await region_overview(conn, organiser_id=town.organiser_id, language="fi", today=AFTER.date())
    assert found is not None
    return found


def of_all(region: RegionOverview) -> RegionLine | None:
    return next((lines[0] for period, lines in region.blocks if period.name == BLOCK), None)


async def test_a_region_is_told_what_its_organisers_come_to(db: Connection) -> None:
    towns = await make_region(db)
    for town in towns:
        await town.count(now=AFTER)
    region = await look(db, towns[0])
    assert region.is_whole
    line = of_all(region)
    assert line is not None
    assert (line.decisions, line.visits, line.median_s, line.arrived_percent) == (32, 32, 9, 100)


async def test_three_of_four_that_are_counted_are_not_told_the_fourth_would_be_the_difference(db: Connection) -> None:
    towns = await make_region(db)
    await queries.add_weeks(db, now=AFTER)
    for town in towns[:3]:
        await town.count(now=AFTER)
    region = await look(db, towns[0])
    assert not region.is_whole
    assert of_all(region) is None
    await towns[3].count(now=AFTER)
    line = of_all(await look(db, towns[0]))
    assert line is not None
    assert line.decisions == 32


@pytest.mark.parametrize("how", ["emptied", "before its end", "one week missing", "to be counted again"])
async def test_a_block_is_not_told_while_a_week_of_anybody_is_not_counted_to_its_end(db: Connection, how: str) -> None:
    towns = await make_region(db)
    for town in towns:
        await town.count(now=AFTER)
    last, week = towns[3], date(2026, 10, 19)  # until it is known, four weeks after the block
    match how:
        case "emptied":
            await db.execute("DELETE FROM overview_cells WHERE organiser_id = $1", last.organiser_id)
            await db.execute("DELETE FROM overview_weeks WHERE organiser_id = $1", last.organiser_id)
        case "before its end":
            at = datetime(2026, 10, 25, 21, 59, tzinfo=UTC)  # a minute to midnight in Helsinki
            await db.execute("UPDATE overview_weeks SET counted_at = $1 WHERE week = $2", at, week)
        case "one week missing":
            await db.execute("DELETE FROM overview_cells WHERE week = $1", week)
            await db.execute("DELETE FROM overview_weeks WHERE week = $1", week)
        case _:
            await db.execute("UPDATE overview_weeks SET counted_at = NULL WHERE week = '2026-08-10'")
    assert of_all(await look(db, towns[0])) is None
    for town in towns:
        await town.count(now=AFTER)
    assert of_all(await look(db, towns[0])) is not None


async def test_what_is_not_yet_over_for_four_weeks_needs_no_count(db: Connection) -> None:
    towns = await make_region(db)
    for town in towns:
        await town.count(now=AFTER)
    await db.execute("UPDATE overview_weeks SET counted_at = NULL WHERE week > '2026-10-19'")
    assert of_all(await look(db, towns[0])) is not None


async def test_a_family_of_three_decisions_is_one_family_of_its_organiser(db: Connection) -> None:
    await organisers.add_region(db, slug="saaristo", name="Saaristo")
    towns = [await make_town(db, f"kunta-{number}", region="saaristo") for number in range(3)]
    for town in towns:
        for family in ("a", "a", "a", "b", "b"):
            await town.decide(IN_THE_BLOCK, family=family)
        await town.count(now=AFTER)
    line = of_all(await look(db, towns[0]))
    assert line is not None
    assert line.decisions is None  # without one's own two there are four
    for town in towns:
        await town.decide(IN_THE_BLOCK, family="c")
        await town.count(now=AFTER)
    line = of_all(await look(db, towns[0]))
    assert line is not None
    assert line.decisions == 18


async def test_visits_that_were_taken_back_in_time_are_of_nobody(db: Connection) -> None:
    towns = await make_region(db, 3, families=3)
    for town in towns:
        await town.count(now=AFTER)
    before = of_all(await look(db, towns[0]))
    assert before is not None
    assert before.visits == 9
    (entry,) = await db.fetch(
        "SELECT entry_id, voucher_id FROM entries WHERE organiser_id = $1 LIMIT 1", towns[1].organiser_id
    )
    await towns[1].charge(
        entry["voucher_id"],
        date(2026, 8, 13),
        entered="2026-10-06 12:00:00",
        amount=-60,
        reverses=entry["entry_id"],
    )
    for town in towns:
        await town.count(now=AFTER)
    after = of_all(await look(db, towns[2]))
    assert after is not None
    assert after.visits == 8
