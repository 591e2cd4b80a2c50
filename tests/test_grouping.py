from __future__ import annotations

import asyncio

import pytest

from service.grouping import FlushCountError, Grouper


class Ledger:
    """A flush that can be held, and remembers the groups it was given."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.at_once = 0
        self.most_at_once = 0

    async def flush(self, items: list[int]) -> list[int]:
        self.groups.append(items)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        await self.open.wait()
        self.at_once -= 1
        return [item * 10 for item in items]


async def test_concurrent_calls_leave_as_one_group_and_each_gets_its_own_result() -> None:
    ledger = Ledger()
    grouper = Grouper(ledger.flush)
    assert await asyncio.gather(*(grouper.submit(n) for n in range(5))) == [0, 10, 20, 30, 40]
    assert ledger.groups == [[0, 1, 2, 3, 4]]


async def test_what_arrives_during_a_flight_goes_with_the_next_one() -> None:
    ledger = Ledger()
    grouper = Grouper(ledger.flush)
    ledger.open.clear()
    first = asyncio.create_task(grouper.submit(1))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(grouper.submit(n)) for n in (2, 3)]
    await asyncio.sleep(0.01)
    assert ledger.groups == [[1]]
    ledger.open.set()
    assert await asyncio.gather(first, *others) == [10, 20, 30]
    assert ledger.groups == [[1], [2, 3]]


async def test_groups_and_flights_stay_within_their_limits() -> None:
    ledger = Ledger()
    grouper = Grouper(ledger.flush, max_items=3, max_in_flight=2)
    assert await asyncio.gather(*(grouper.submit(n) for n in range(20))) == [n * 10 for n in range(20)]
    assert max(len(group) for group in ledger.groups) == 3
    assert ledger.most_at_once == 2


async def test_a_cancelled_submitter_neither_stops_the_flush_nor_the_others() -> None:
    ledger = Ledger()
    grouper = Grouper(ledger.flush)
    ledger.open.clear()
    leaver = asyncio.create_task(grouper.submit(1))
    stayer = asyncio.create_task(grouper.submit(2))
    await asyncio.sleep(0.01)
    leaver.cancel()
    ledger.open.set()
    assert await stayer == 20
    with pytest.raises(asyncio.CancelledError):
        await leaver
    assert ledger.groups == [[1, 2]]


async def test_an_item_submitted_before_its_caller_was_cancelled_is_still_flushed() -> None:
    ledger = Ledger()
    grouper = Grouper(ledger.flush)
    ledger.open.clear()
    first = asyncio.create_task(grouper.submit(1))
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(grouper.submit(2))
    await asyncio.sleep(0.01)
    waiting.cancel()
    ledger.open.set()
    await first
    await grouper.drain()
    assert ledger.groups == [[1], [2]]


async def test_a_failed_flush_reaches_all_its_submitters_and_only_those() -> None:
    async def flush(items: list[int]) -> list[int]:
        await asyncio.sleep(0)
        if 13 in items:
            raise ValueError("unlucky")
        return items

    grouper = Grouper(flush, max_items=2)
    outcomes = await asyncio.gather(*(grouper.submit(n) for n in (13, 14, 15, 16)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ValueError, ValueError, int, int]
    assert await grouper.submit(17) == 17


async def test_a_flush_that_loses_count_fails_its_group_rather_than_mixing_up_answers() -> None:
    async def flush(items: list[int]) -> list[int]:
        return items[1:]

    with pytest.raises(FlushCountError):
        await Grouper(flush).submit(1)


async def test_drain_waits_for_what_is_in_flight_and_what_waits_behind_it() -> None:
    ledger = Ledger()
    grouper = Grouper(ledger.flush, max_items=1)
    futures = [grouper.enqueue(n) for n in range(4)]
    await grouper.drain()
    assert [future.result() for future in futures] == [0, 10, 20, 30]
