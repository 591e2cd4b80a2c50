"""Counting the weeks, and reading what they come to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property, partial
from uuid import UUID

import structlog
from asyncpg import Record

from service.db import Connection, Pool, transaction
from service.errors import RequestInFlight
from service.organisers.operations import list_programmes, organiser_by_id
from service.overview import queries
from service.overview.disclosure import (
    KNOWN_AFTER_WEEKS,
    LATEST_S,
    BlockFacts,
    Concerned,
    Contribution,
    RegionLine,
    blocks,
    region_lines,
)
from service.overview.model import WEEK, Figures, Period, cells_of
from service.vouchers.decisions import helsinki_day

WEEKS_A_ROUND = 20
"""Then others have their turn with the connection; the round comes again at once while there is more."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OpenItems:
    """What needs a person now, for one reason."""

    reason: str
    items: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class ProgrammeName:
    name: str
    unit: str


@dataclass(frozen=True)
class Overview:
    """An organiser's figures. `counted_at`: until when; None: no week of the period is counted yet."""

    rows: Sequence[Record]
    period: Period
    programmes: Mapping[str, ProgrammeName]
    expiring: Mapping[str, tuple[int, int]]
    attention: Sequence[OpenItems]
    counted_at: datetime | None
    is_whole: bool

    @cached_property
    def figures(self) -> Figures:
        """Made when first asked for. A year has 17 000 cells: in a thread, and not while a connection waits."""
        return Figures(cells_of(self.rows), self.period)


@dataclass(frozen=True)
class RegionOverview:
    """A region by block, the newest first. `own`: the units of the programmes of the organiser that looks.

    `is_whole`: no block is left out for not being counted yet.
    """

    name: str
    organisers: int
    own: Mapping[str, str]
    facts: Sequence[tuple[Period, Sequence[Record], Sequence[Record]]]
    is_whole: bool

    @cached_property
    def blocks(self) -> Sequence[tuple[Period, Sequence[RegionLine]]]:
        """What may be told, made when it is first asked for: in a thread, too."""
        return [
            (
                block,
                region_lines(
                    BlockFacts(
                        [Contribution(**dict(row)) for row in contributions],
                        [Concerned(**{**row, "whom": frozenset(row["whom"])}) for row in concerned],
                    ),
                    self.own,
                ),
            )
            for block, contributions, concerned in self.facts
        ]


def schedules(pool: Pool) -> Sequence[Callable[[], Awaitable[int]]]:
    """What the workers run every minute, again while it returns more than 0. Idempotent."""
    return (partial(count_due_weeks, pool),)


async def count_due_weeks(pool: Pool, *, now: datetime | None = None) -> int:
    """Count the weeks whose time it is, each in a transaction; returns how many were tried.

    The two newest weeks after two minutes, two months' after an hour, two years' after a day, older ones after a month:
    so late facts are in, and so is what was missed while no worker ran. Any number of workers may do this at once. A
    week that takes too long is tried again in its turn, as is one whose error ends the round: neither is first again.
    """
    at = now or datetime.now(UTC)
    async with transaction(pool) as conn:
        await queries.add_weeks(conn, now=at)
    for tried in range(WEEKS_A_ROUND):
        async with transaction(pool) as conn:
            week = await queries.take_due_week(conn, now=at, today=helsinki_day(at))
        if week is None:
            return tried
        try:
            async with transaction(pool) as conn:
                await queries.count_week(conn, organiser_id=week[0], week=week[1], now=at)
        except RequestInFlight:
            log.warning("overview_week_took_too_long", what=str(week[1]))
    return WEEKS_A_ROUND


async def organiser_overview(
    conn: Connection, *, organiser_id: UUID, period: Period, programme: str | None, language: str, today: date
) -> Overview:
    """An organiser's figures of a period, of one of its programmes or of all; a programme that is none has nothing."""
    rows = await queries.select_cells(
        conn, organiser_id=organiser_id, first=period.first, last=period.last, programme=programme
    )
    counted = await queries.select_counted(conn, organiser_id=organiser_id, first=period.first, last=period.last)
    expiring = await queries.select_expiring(conn, organiser_id=organiser_id, today=today, programme=programme)
    attention = await queries.select_attention(conn, organiser_id=organiser_id, programme=programme)
    return Overview(
        rows=rows,
        period=period,
        programmes=await programme_names(conn, organiser_id=organiser_id, language=language),
        expiring={row["programme"]: (row["families"], row["amount"]) for row in expiring},
        attention=[OpenItems(**dict(row)) for row in attention],
        counted_at=counted["newest"],
        is_whole=not counted["missing"],
    )


async def region_overview(conn: Connection, *, organiser_id: UUID, language: str, today: date) -> RegionOverview | None:
    """What the organiser's region may be told of its organisers together; None without a region."""
    region = await queries.select_region(conn, organiser_id=organiser_id)
    if region is None:
        return None
    own = {
        slug: each.unit
        for slug, each in (await programme_names(conn, organiser_id=organiser_id, language=language)).items()
    }
    facts, is_whole = [], True
    for block in blocks(today):
        first, last, known_by = block.first, block.last, block.last + WEEK * KNOWN_AFTER_WEEKS
        # Three of four organisers would be told, and then all of them: the difference is the fourth.
        if not await queries.select_is_counted(conn, organiser_id=organiser_id, first=first, known_by=known_by):
            is_whole = False
            continue
        contributions = await queries.select_contributions(
            conn, organiser_id=organiser_id, first=first, last=last, known_by=known_by
        )
        concerned = await queries.select_families(
            conn, organiser_id=organiser_id, first=first, last=last, known_by=known_by, latest_s=LATEST_S
        )
        facts.append((block, contributions, concerned))
    return RegionOverview(region["name"], region["organisers"], own, facts, is_whole)


async def programme_names(conn: Connection, *, organiser_id: UUID, language: str) -> Mapping[str, ProgrammeName]:
    """The organiser's programmes by their short names."""
    organiser = await organiser_by_id(conn, organiser_id)
    return {
        each.programme: ProgrammeName(each.name_in(language, organiser.default_language), each.unit.value)
        for each in await list_programmes(conn, organiser_slug=organiser.slug)
    }
