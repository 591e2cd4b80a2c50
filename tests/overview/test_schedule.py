"""The workers count by themselves: what is due, the newest first, what was missed, and each week by one of them."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta
from uuid import UUID

import pytest

from service.db import Connection, Pool, transaction
from service.overview import queries
from service.overview.operations import count_due_weeks
from tests.overview.towns import NOW, Town, make_town


async def committed_town(pool: Pool) -> None:
    async with transaction(pool) as conn:
        town: Town = await make_town(conn)
        await town.decide("2026-06-01 10:00:00", times=5)
        await town.decide("2026-11-24 10:00:00", times=6)


async def test_everything_is_counted_once_and_again_when_its_time_has_come(pool: Pool) -> None:
    await committed_town(pool)
    weeks = 0
    while counted := await count_due_weeks(pool, now=NOW):
        weeks += counted
    assert weeks == 26
    assert await count_due_weeks(pool, now=NOW + timedelta(minutes=1)) == 0
    assert await count_due_weeks(pool, now=NOW + timedelta(minutes=3)) == 2
    assert await count_due_weeks(pool, now=NOW + timedelta(minutes=70)) == 8
    # A worker that was away for three weeks: the weeks in between are there, and all are counted.
    after, counted_after = NOW + timedelta(weeks=3), 0
    while counted := await count_due_weeks(pool, now=after):
        counted_after += counted
    assert counted_after == 29


async def test_the_newest_week_is_the_first(pool: Pool) -> None:
    await committed_town(pool)
    async with transaction(pool) as conn:
        await queries.add_weeks(conn, now=NOW)
        taken = await queries.take_due_week(conn, now=NOW, today=NOW.date())
        assert taken is not None
        assert taken[1] == date(2026, 11, 23)


async def test_two_workers_at_once_count_each_week_once(pool: Pool) -> None:
    await committed_town(pool)
    found = await asyncio.gather(*(count_due_weeks(pool, now=NOW) for _ in range(4)))
    assert sum(found) == 26
    async with transaction(pool) as conn:
        assert await conn.fetchval("SELECT sum(families) FROM overview_cells WHERE figure = 'decisions'") == 11
        assert await conn.fetchval("SELECT count(*) FROM overview_weeks WHERE counted_at IS NULL") == 0


async def test_a_week_that_cannot_be_counted_stops_no_other_and_comes_again(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await committed_town(pool)
    real, broken = queries.count_week, date(2026, 11, 23)

    async def count(conn: Connection, *, organiser_id: UUID, week: date, now: datetime) -> None:
        if week == broken:
            raise RuntimeError("this week cannot be counted")
        await real(conn, organiser_id=organiser_id, week=week, now=now)

    monkeypatch.setattr(queries, "count_week", count)
    with pytest.raises(RuntimeError):  # the newest: its turn is the first
        await count_due_weeks(pool, now=NOW)
    while await count_due_weeks(pool, now=NOW + timedelta(seconds=1)):
        pass
    async with transaction(pool) as conn:
        left = await conn.fetch("SELECT week FROM overview_weeks WHERE counted_at IS NULL")
    assert [row["week"] for row in left] == [broken]
    monkeypatch.setattr(queries, "count_week", real)
    assert await count_due_weeks(pool, now=NOW + timedelta(minutes=3)) == 2


async def test_a_week_that_takes_too_long_lets_the_others_pass_in_the_same_round(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await committed_town(pool)
    real, slow = queries.count_week, date(2026, 11, 23)

    async def count(conn: Connection, *, organiser_id: UUID, week: date, now: datetime) -> None:
        await conn.execute("SET LOCAL statement_timeout = 20" if week == slow else "SELECT 1")
        await conn.execute("SELECT pg_sleep(0.2)" if week == slow else "SELECT 1")
        await real(conn, organiser_id=organiser_id, week=week, now=now)

    monkeypatch.setattr(queries, "count_week", count)
    while await count_due_weeks(pool, now=NOW):
        pass
    async with transaction(pool) as conn:
        left = await conn.fetch("SELECT week FROM overview_weeks WHERE counted_at IS NULL")
    assert [row["week"] for row in left] == [slow]


async def test_who_has_waited_longest_for_its_measure_is_next(pool: Pool) -> None:
    """Two minutes are the measure of the newest weeks, an hour that of the third, a day of the tenth."""
    await committed_town(pool)
    while await count_due_weeks(pool, now=NOW):
        pass
    newest, third, tenth = (date(2026, 11, 23) - timedelta(weeks=weeks) for weeks in (0, 2, 9))
    ages = {newest: timedelta(minutes=5), third: timedelta(hours=4), tenth: timedelta(days=3)}
    async with transaction(pool) as conn:
        await conn.execute("UPDATE overview_weeks SET counted_at = $1, tried_at = NULL", NOW)
        for week, age in ages.items():
            await conn.execute("UPDATE overview_weeks SET counted_at = $1 WHERE week = $2", NOW - age, week)
        taken = [await queries.take_due_week(conn, now=NOW, today=NOW.date()) for _ in range(4)]
    assert [each and each[1] for each in taken] == [third, tenth, newest, None]
