"""What a provider has charged, as it looks it up: a page, sums, or all of it.

Sums and exports may read a lot: only a few of them at a time, so that there are always connections for debits. An
export may last for minutes: one of each provider, and never in all places, so that nobody waits for them to be summed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from uuid import UUID
from weakref import WeakValueDictionary

from asyncpg import QueryCanceledError, Record

from service.db import Connection, Pool, autocommit, snapshot
from service.debits.history import (
    HistoryBusy,
    HistoryFilter,
    HistoryLine,
    HistoryPlace,
    HistorySum,
    HistoryTooWide,
    csv_header,
    csv_lines,
)
from service.debits.model import DebitNotFound
from service.debits.queries import history as queries
from service.money import Unit

PAGE_TIMEOUT_MS = 10_000
LONG_READS_AT_ONCE = 3
EXPORTS_AT_ONCE = 2
LONG_READ_WAIT_S = 5.0
EXPORT_BATCH = 1_000
EXPORT_MAX_S = 900.0


@dataclass(frozen=True, slots=True)
class Names:
    """By their short names."""

    organisers: Mapping[str, str]
    programmes: Mapping[tuple[str, str], str]


class LongReads:
    """A process's sums and exports: at most LONG_READS_AT_ONCE use a connection at one time, EXPORTS_AT_ONCE of them
    for exports, of different providers."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(LONG_READS_AT_ONCE)
        self._free_for_exports = asyncio.Semaphore(EXPORTS_AT_ONCE)
        self._exporting: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    def sums(self) -> AbstractAsyncContextManager[None]:
        """Wait a while for a turn. Raises HistoryBusy."""
        return _turn(self._free)

    def export(self, provider_id: UUID) -> AbstractAsyncContextManager[None]:
        """The same for what may last. Raises HistoryBusy, also while the provider's last one is under way."""
        of_provider = self._exporting.setdefault(provider_id, asyncio.Lock())
        return _turn(of_provider, self._free_for_exports, self._free)


@asynccontextmanager
async def _turn(*gates: asyncio.Lock | asyncio.Semaphore) -> AsyncIterator[None]:
    async with AsyncExitStack() as passed:
        try:
            async with asyncio.timeout(LONG_READ_WAIT_S):
                for gate in gates:
                    await passed.enter_async_context(gate)
        except TimeoutError:
            raise HistoryBusy from None
        yield


async def history(
    pool: Pool, *, provider_id: UUID, asked: HistoryFilter, after: HistoryPlace | None, limit: int
) -> list[HistoryLine]:
    """A page of the provider's debits, newest first, from behind `after` on. Raises HistoryTooWide."""
    async with _reading(pool) as conn:
        return await _page(conn, provider_id, asked, after, limit)


async def find_debit(
    pool: Pool, *, provider_id: UUID, debit_id: UUID, asked: HistoryFilter | None = None
) -> HistoryLine:
    """One debit, if the filter has it, too. Raises DebitNotFound."""
    only = replace(asked or HistoryFilter(), debit_id=debit_id)
    for line in await history(pool, provider_id=provider_id, asked=only, after=None, limit=1):
        return line
    raise DebitNotFound


async def names(pool: Pool, organisers: Collection[str], language: str) -> Names:
    """What organisers and their programmes are called in a language; in Finnish where it has no name for one."""
    if not organisers:
        return Names({}, {})
    async with autocommit(pool) as conn:
        rows = await queries.select_names(conn, organisers=sorted(organisers))
    return Names(
        organisers={row["organiser"]: row["organiser_name"] for row in rows},
        programmes={
            (row["organiser"], row["programme"]): row["names"].get(language, row["names"]["fi"]) for row in rows
        },
    )


async def history_sums(
    pool: Pool, long_reads: LongReads, *, provider_id: UUID, asked: HistoryFilter
) -> Sequence[HistorySum]:
    """What all debits that the filter finds come to, by unit and by programme. Raises HistoryTooWide, HistoryBusy."""
    async with long_reads.sums(), _reading(pool) as conn:
        with _too_wide():
            rows = await queries.sums(conn, provider_id=provider_id, asked=asked)
    return [HistorySum(**dict(row) | {"unit": Unit(row["unit"])}) for row in rows]


async def export_history(
    pool: Pool, long_reads: LongReads, *, provider_id: UUID, asked: HistoryFilter
) -> AsyncGenerator[bytes, None]:
    """All debits that the filter finds as CSV, as they were in one moment; no more than a batch in memory.

    Batch by batch from where the last one ended, all on one snapshot: a cursor over the whole would be planned for the
    whole, and sort millions before the first line. Close the generator to end it. Raises HistoryTooWide, HistoryBusy,
    DatabaseUnavailable, at whatever line it happens; after EXPORT_MAX_S the connection is taken away from it.
    """
    async with long_reads.export(provider_id), _reading(pool, max_s=EXPORT_MAX_S) as conn:
        lines = await _page(conn, provider_id, asked, None, EXPORT_BATCH)
        yield csv_header() + csv_lines(lines)
        while len(lines) == EXPORT_BATCH:
            lines = await _page(conn, provider_id, asked, lines[-1].place_in(asked.order), EXPORT_BATCH)
            if lines:
                yield csv_lines(lines)


@asynccontextmanager
async def _reading(pool: Pool, **limits: float) -> AsyncIterator[Connection]:
    async with snapshot(pool, **limits) as conn:
        await queries.settle_for_reading(conn, timeout_ms=PAGE_TIMEOUT_MS)
        yield conn


async def _page(
    conn: Connection, provider_id: UUID, asked: HistoryFilter, after: HistoryPlace | None, limit: int
) -> list[HistoryLine]:
    with _too_wide():
        rows = await queries.page(conn, provider_id=provider_id, asked=asked, after=after, limit=limit)
    return [_line(row) for row in rows]


def _line(row: Record) -> HistoryLine:
    return HistoryLine(**dict(row) | {"unit": Unit(row["unit"])})


@contextmanager
def _too_wide() -> Iterator[None]:
    try:
        yield
    except QueryCanceledError as error:
        raise HistoryTooWide from error
