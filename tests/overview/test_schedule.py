"""The workers count by themselves: what is due, the newest first, what was missed, and each week by one of them."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta

from service.db import Pool, transaction
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
