"""Many concurrent calls made as few: what waits is collected and flushed as one.

A group is never waited for: the first call leaves at once, and what arrives while all flights are out goes with the
next one. So a quiet system pays no delay, and a busy one pays for one round trip in place of a hundred.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class FlushCountError(Exception):
    """A flush returned another number of results than it was given items: nobody can tell whose is whose."""


class Grouper(Generic[Item, Result]):
    """Collects concurrent `submit` calls and hands them to `flush` as one list.

    `flush` returns one result for each item, in the same order. At most `max_items` go together and at most
    `max_in_flight` flushes are out at a time. An item that was submitted is flushed, also when its submitter was
    cancelled in between: it may already be on its way, and only the flush knows.
    """

    def __init__(
        self,
        flush: Callable[[list[Item]], Awaitable[list[Result]]],
        max_items: int = 128,
        max_in_flight: int = 1,
    ) -> None:
        self._flush = flush
        self._max_items = max_items
        self._max_in_flight = max_in_flight
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._flights: set[asyncio.Task[list[Result]]] = set()
        self._departure: asyncio.Handle | None = None

    async def submit(self, item: Item) -> Result:
        """The result of this item's part of a flush. Raises what the flush raised."""
        return await self.enqueue(item)

    def enqueue(self, item: Item) -> asyncio.Future[Result]:
        """Hand the item over now and await its result later."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._schedule()
        return future

    async def drain(self) -> None:
        """Return when everything submitted so far has been flushed, well or badly."""
        while self._waiting or self._flights:
            if self._flights:
                await asyncio.wait(self._flights)
            await asyncio.sleep(0)

    def _schedule(self) -> None:
        # One turn of the loop later, so that calls which became ready in the same turn leave together.
        if self._departure is None and self._waiting and len(self._flights) < self._max_in_flight:
            self._departure = asyncio.get_running_loop().call_soon(self._depart)

    def _depart(self) -> None:
        self._departure = None
        while self._waiting and len(self._flights) < self._max_in_flight:
            group = [self._waiting.popleft() for _ in range(min(self._max_items, len(self._waiting)))]
            flight = asyncio.get_running_loop().create_task(self._fly([item for item, _ in group]))
            self._flights.add(flight)
            flight.add_done_callback(partial(self._land, [future for _, future in group]))

    async def _fly(self, items: list[Item]) -> list[Result]:
        results = await self._flush(items)
        if len(results) != len(items):
            raise FlushCountError(f"{len(items)} items, {len(results)} results")
        return results

    def _land(self, futures: list[asyncio.Future[Result]], flight: asyncio.Task[list[Result]]) -> None:
        self._flights.discard(flight)
        error = None if flight.cancelled() else flight.exception()
        for index, future in enumerate(futures):
            if future.done():  # its submitter was cancelled and waits no more
                continue
            if flight.cancelled():
                future.cancel()
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(flight.result()[index])
        self._schedule()
