"""Weeks counted from hand-made facts, against answers that were worked out by hand."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from service.db import Connection
from service.money import Unit
from service.overview import queries
from service.overview.model import FEW, week_name
from tests.overview.towns import NOW, make_town


async def test_a_decision_belongs_to_the_week_that_it_is_in_helsinki(db: Connection) -> None:
    town = await make_town(db)
    await town.decide("2026-11-15 23:59:59", times=6)  # Sunday; 21:59 in UTC
    await town.decide("2026-11-16 00:00:00", times=7)  # Monday; still Sunday in UTC
    await town.decide("2026-11-22 23:59:59", times=8)
    await town.decide("2026-11-23 00:00:00", times=9)
    await town.count()
    weeks = (await town.figures("2026-11-09", "2026-11-23")).decisions()
    assert [week.new for week in weeks] == [6, 15, 9]


async def test_the_weeks_of_the_two_nights_when_clocks_change_are_whole(db: Connection) -> None:
    town = await make_town(db)
    await town.decide("2026-03-29 23:30:00", times=5)  # the day of 23 hours is a Sunday
    await town.decide("2026-03-30 00:10:00", times=6)
    await town.decide("2026-10-25 23:30:00", times=7)  # and that of 25 hours
    await town.decide("2026-10-26 00:10:00", times=8)
    await town.count()
    assert (await town.figures("2026-03-29")).decisions()[0].new == 5
    assert (await town.figures("2026-03-30")).decisions()[0].new == 6
    assert (await town.figures("2026-10-25")).decisions()[0].new == 7
    assert (await town.figures("2026-10-26")).decisions()[0].new == 8


async def test_the_week_over_new_year_is_one_week(db: Connection) -> None:
    town = await make_town(db)
    await town.decide("2025-12-31 15:00:00", times=5)
    await town.decide("2026-01-01 09:00:00", times=6)
    await town.count()
    weeks = (await town.figures("2025-12-29", "2026-01-05")).decisions()
    assert [(week_name(week.week), week.new) for week in weeks] == [("2026-W01", 11), ("2026-W02", 0)]


async def test_renewals_are_counted_beside_new_decisions_by_the_day_they_were_entered(db: Connection) -> None:
    town = await make_town(db)
    for _ in range(6):
        await town.renew(await town.decide("2026-09-01 12:00:00"), at="2026-11-10 10:00:00")
    await town.count()
    weeks = (await town.figures("2026-11-09", "2026-11-16")).decisions()
    assert [(week.new, week.later) for week in weeks] == [(0, 6), (0, 0)]


async def test_the_time_to_the_code_is_that_of_its_first_arrival_by_whichever_channel(db: Connection) -> None:
    town = await make_town(db)
    for seconds in (10, 20, 30, 40, 50):
        voucher = await town.decide("2026-11-10 10:00:00")
        await town.send(voucher, "2026-11-10 10:00:00", arrived=f"2026-11-10 10:00:{seconds}")
        await town.send(voucher, "2026-11-12 10:00:00", arrived="2026-11-12 10:00:01")  # sent again
        await town.send(voucher, "2026-11-10 10:00:00", arrived="2026-11-10 10:00:01", kind="debit_receipt")
    fell_back = await town.decide("2026-11-10 10:00:00")
    first = await town.send(fell_back, "2026-11-10 10:00:00", "undelivered")
    await town.send(
        fell_back, "2026-11-10 10:30:00", "sent", channel="email", arrived="2026-11-10 11:00:00", after=first
    )
    bounced = await town.decide("2026-11-10 10:00:00")
    await town.send(bounced, "2026-11-10 10:00:00", "escalated", channel="email", arrived="2026-11-10 10:00:05")
    await town.count()
    figures = await town.figures("2026-11-09")
    # 10 20 30 40 50 3600: the third of six is the median.
    assert figures.minutes()[0].median_s == 30
    assert figures.minutes()[0].slowest_s is FEW
    assert figures.waiting() is FEW  # the one whose mail came back
    text, mail = figures.channels()
    assert (text.arrived, text.failed) == (63, None)  # of eleven, 7 are the least that eleven less 1 to 4 can be
    assert mail.arrived is None
    assert text.as_other == 0


async def test_the_slowest_twentieth_is_told_of_twenty(db: Connection) -> None:
    town = await make_town(db)
    for second in range(20):
        voucher = await town.decide("2026-11-10 10:00:00")
        await town.send(voucher, "2026-11-10 10:00:00", arrived=f"2026-11-10 10:00:{second:02}")
    await town.count()
    minutes = (await town.figures("2026-11-09")).minutes()[0]
    assert (minutes.median_s, minutes.slowest_s) == (9, 18)  # the 10th and the 19th of twenty


async def test_shares_by_channel_add_up_and_tell_what_came_as_the_other_one(db: Connection) -> None:
    town = await make_town(db)
    for number in range(30):
        voucher = await town.decide("2026-11-10 10:00:00")
        if number < 20:
            await town.send(voucher, "2026-11-10 10:00:00", arrived="2026-11-10 10:00:09")
        elif number < 25:
            await town.send(voucher, "2026-11-10 10:00:00", "accepted")
        else:
            lost = await town.send(voucher, "2026-11-10 10:00:00", "undelivered")
            await town.send(
                voucher, "2026-11-10 10:01:00", "sent", channel="email", arrived="2026-11-10 10:01:00", after=lost
            )
    for _ in range(5):
        voucher = await town.decide("2026-11-10 10:00:00")
        await town.send(voucher, "2026-11-10 10:00:00", "sent", channel="email", arrived="2026-11-10 10:00:02")
    await town.count()
    text, mail = (await town.figures("2026-11-09")).channels()
    assert (text.arrived, text.under_way, text.failed) == (66, 16, 16)
    assert (mail.arrived, mail.under_way, mail.failed, mail.as_other) == (100, 0, 0, 50)


async def test_a_visit_counts_in_the_week_it_was_made_however_late_it_was_entered(db: Connection) -> None:
    town = await make_town(db)
    for _ in range(5):
        voucher = await town.decide("2026-10-01 10:00:00")
        await town.charge(voucher, date(2026, 11, 8), entered="2026-11-08 23:59:59")
        await town.charge(voucher, date(2026, 11, 8), entered="2026-11-20 08:00:00")
        await town.charge(voucher, date(2026, 11, 9), entered="2026-11-09 00:00:00", visit_type="no_show")
    await town.count()
    figures = await town.figures("2026-11-02", "2026-11-16")
    assert figures.visits() == {"kotipalvelu": [10, 0, 0]}
    value = figures.value({})[0]
    assert (value.used, value.paid_cents) == (15 * 60, 15 * 60 * 50)  # whoever was not at home is paid for


async def test_what_is_taken_back_is_gone_from_the_week_of_the_visit(db: Connection) -> None:
    town = await make_town(db)
    vouchers = [await town.decide("2026-10-01 10:00:00") for _ in range(7)]
    debits = [await town.charge(each, date(2026, 11, 3), entered="2026-11-03 12:00:00") for each in vouchers]
    on = date(2026, 11, 3)
    await town.charge(vouchers[0], on, entered="2026-11-24 09:00:00", amount=-60, reverses=debits[0])
    await town.charge(vouchers[1], on, entered="2026-11-24 09:00:00", amount=-15, reverses=debits[1], visits=0)
    await town.count()
    figures = await town.figures("2026-11-02", "2026-11-23")
    assert figures.visits()["kotipalvelu"] == [6, 0, 0, 0]
    assert figures.value({})[0].used == 7 * 60 - 60 - 15


async def test_days_to_the_first_visit_leave_out_visits_that_were_taken_back(db: Connection) -> None:
    town = await make_town(db)
    for number in range(20):
        voucher = await town.decide("2026-11-02 22:30:00")
        if number < 5:
            await town.charge(voucher, date(2026, 11, 2), entered="2026-11-03 12:00:00")
        elif number < 10:
            gone = await town.charge(voucher, date(2026, 11, 3), entered="2026-11-03 12:00:00")
            await town.charge(voucher, date(2026, 11, 3), entered="2026-11-04 08:00:00", amount=-60, reverses=gone)
            await town.charge(voucher, date(2026, 11, 12), entered="2026-11-12 12:00:00")
        elif number < 15:
            await town.charge(voucher, date(2026, 11, 20), entered="2026-11-20 12:00:00", visit_type="no_show")
    await town.count()
    figures = await town.figures("2026-11-02")
    assert [(band.first_day, band.percent) for band in figures.first_use() if band.percent] == [
        (0, 25),
        (8, 25),
        (None, 50),
    ]
    assert figures.median_days() == 0


async def test_value_is_what_decisions_granted_and_changes_made_of_it(db: Connection) -> None:
    town = await make_town(db)
    voucher = await town.decide("2026-11-10 10:00:00", granted=600, times=5)
    await town.change(voucher, "raised", 120, at="2026-11-11 10:00:00")
    await town.change(voucher, "lowered", 45, at="2026-11-12 10:00:00")
    for _ in range(5):
        await town.change(await town.decide("2026-06-10 10:00:00"), "expired", 30, at="2026-11-15 23:30:00")
    await town.count()
    value = (await town.figures("2026-11-09")).value({"kotipalvelu": (5, 900)})[0]
    assert (value.granted, value.returned, value.expiring, value.used) == (5 * 600 + 75, 150, 900, 0)


async def test_a_programme_has_its_own_figures_and_an_organiser_only_its_own(db: Connection) -> None:
    town, other = await make_town(db), await make_town(db, "naapuri")
    await other.decide("2026-11-10 10:00:00", times=40)
    await town.decide("2026-11-10 10:00:00", times=6)
    await town.count()
    await other.count()
    assert (await town.figures("2026-11-09")).decisions()[0].new == 6
    assert (await town.figures("2026-11-09", programme="kotipalvelu")).decisions()[0].new == 6
    assert (await town.figures("2026-11-09", programme="none")).decisions()[0].new == 0


async def test_counting_again_changes_nothing_and_takes_in_what_was_late(db: Connection) -> None:
    town = await make_town(db)
    vouchers = [await town.decide("2026-10-06 10:00:00") for _ in range(6)]
    await town.count()
    before = await db.fetch("SELECT * FROM overview_cells ORDER BY 1, 2, 3, 4, 5, 6, 7")
    await town.count()
    assert await db.fetch("SELECT * FROM overview_cells ORDER BY 1, 2, 3, 4, 5, 6, 7") == before
    for voucher in vouchers:
        await town.send(voucher, "2026-10-06 10:00:00", arrived="2026-11-24 10:00:00")
        await town.charge(voucher, date(2026, 10, 9), entered="2026-11-24 10:00:00")
    await town.count()
    figures = await town.figures("2026-10-05")
    assert figures.minutes()[0].median_s == 49 * 24 * 3600 + 3600  # the clocks were put back in between
    assert figures.visits()["kotipalvelu"] == [6]
    assert figures.waiting() == 0


async def test_families_of_a_week_are_not_counted_twice_when_some_of_it_was_entered_later(db: Connection) -> None:
    town = await make_town(db)
    vouchers = [await town.decide("2026-10-06 10:00:00") for _ in range(4)]
    for voucher in vouchers:
        for entered in ("2026-11-03 10:00:00", "2026-11-10 10:00:00"):
            await town.charge(voucher, date(2026, 11, 3), entered=entered)
    await town.count()
    assert (await town.figures("2026-11-02")).visits()["kotipalvelu"] == [FEW]


async def test_weeks_without_a_tick_are_there_from_the_first_decision_to_today(db: Connection) -> None:
    town = await make_town(db)
    await town.decide("2026-10-01 10:00:00")
    await town.count()
    weeks = [row["week"] for row in await db.fetch("SELECT week FROM overview_weeks ORDER BY week")]
    assert weeks == [date(2026, 9, 28) + timedelta(days=7 * number) for number in range(9)]
    assert weeks[-1] <= NOW.date() < weeks[-1] + timedelta(days=7)


async def test_families_are_counted_and_not_their_vouchers(db: Connection) -> None:
    """Two families with three and two programmes each are two, in a week, over weeks, and whatever is asked of them."""
    programmes = {"kotipalvelu": Unit.MINUTES, "siivous": Unit.MINUTES, "terapia": Unit.MINUTES}
    town = await make_town(db, **programmes)
    for family in ("a", "b"):
        for programme in programmes:
            for day in ("2026-11-03", "2026-11-10"):
                voucher = await town.decide(f"{day} 10:00:00", programme=programme, family=family)
                await town.send(voucher, f"{day} 10:00:00", arrived=f"{day} 10:00:09")
                await town.charge(voucher, date.fromisoformat(day), entered=f"{day} 12:00:00")
                await town.renew(voucher, at=f"{day} 12:00:00")
    await town.count()
    figures = await town.figures("2026-11-02", "2026-11-09")
    assert [(week.new, week.later) for week in figures.decisions()] == [(FEW, FEW), (FEW, FEW)]
    assert figures.minutes_of_all().median_s is FEW
    assert figures.channels()[0].arrived is None
    assert figures.first_use() == []
    assert figures.median_days() is FEW
    assert {(value.granted, value.used) for value in figures.value({})} == {(FEW, FEW)}
    for family in ("c", "d", "e"):
        await town.decide("2026-11-10 10:00:00", family=family)
    await town.count()
    assert [week.new for week in (await town.figures("2026-11-02", "2026-11-09")).decisions()] == [FEW, 9]


async def test_what_ends_soon_is_told_of_families_too(db: Connection) -> None:
    town = await make_town(db)
    for family in ("a", "a", "a", "b", "c", "c"):
        await town.decide("2026-11-03 10:00:00", valid_to=date(2026, 12, 1), family=family)
    (row,) = await queries.select_expiring(db, organiser_id=town.organiser_id, today=date(2026, 11, 25), programme=None)
    assert (row["families"], row["amount"]) == (3, 3600)


async def test_a_visit_and_a_no_show_of_one_family_are_of_one_family(db: Connection) -> None:
    town = await make_town(db)
    for _ in range(3):
        voucher = await town.decide("2026-10-01 10:00:00")
        await town.charge(voucher, date(2026, 11, 3), entered="2026-11-03 12:00:00")
        await town.charge(voucher, date(2026, 11, 4), entered="2026-11-04 12:00:00", visit_type="no_show")
    await town.count()
    assert (await town.figures("2026-11-02")).value({})[0].used is FEW


@pytest.mark.parametrize("taken_back", ["2026-11-05 12:00:00", "2026-11-24 12:00:00"])
async def test_who_has_no_visit_left_is_nobody_behind_a_figure(db: Connection, taken_back: str) -> None:
    """Five families are charged and four of them get it back, in the same week or later: one visit is left."""
    town, on = await make_town(db), date(2026, 11, 3)
    for number in range(5):
        voucher = await town.decide("2026-10-01 10:00:00")
        debit = await town.charge(voucher, on, entered="2026-11-03 12:00:00")
        if number:
            await town.charge(voucher, on, entered=taken_back, amount=-60, reverses=debit)
    await town.count()
    figures = await town.figures("2026-11-02", "2026-11-23")
    assert figures.visits()["kotipalvelu"][0] is FEW
    assert (figures.value({})[0].used, figures.value({})[0].paid_cents) == (FEW, FEW)


async def test_a_visit_that_is_charged_again_after_it_was_taken_back_is_there(db: Connection) -> None:
    town, on = await make_town(db), date(2026, 11, 3)
    for _ in range(5):
        voucher = await town.decide("2026-10-01 10:00:00")
        debit = await town.charge(voucher, on, entered="2026-11-03 12:00:00")
        await town.charge(voucher, on, entered="2026-11-10 12:00:00", amount=-60, reverses=debit)
        await town.charge(voucher, on, entered="2026-11-17 12:00:00")
    await town.count()
    assert (await town.figures("2026-11-02")).visits()["kotipalvelu"] == [5]


async def test_of_very_many_families_enough_are_named_in_a_cell(db: Connection) -> None:
    town = await make_town(db)
    await town.decide("2026-11-10 10:00:00", times=30)
    await town.count()
    rows = await db.fetch("SELECT figure, families, whom FROM overview_cells WHERE families > 0")
    assert {(row["figure"], row["families"], len(row["whom"])) for row in rows} == {
        ("decisions", 30, 20),
        ("waiting", 30, 20),
        ("unused", 30, 20),
    }
