"""What was charged to one voucher and what this week has room for, for its organiser and its family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.debits.history import HistoryPlace
from service.debits.queries import of_voucher as queries


@dataclass(frozen=True, slots=True)
class WeekUse:
    """What is used of the present ISO week, bookings included."""

    visits: int
    minutes: int
    next_allowed_date: date | None
    """When there is room again; None while there is room, or none before the voucher ends."""


@dataclass(frozen=True, slots=True)
class VisitsPage:
    """Some of a voucher's visits, the newest day first: each charge, and right after it what was taken back of it."""

    entries: Sequence[Record]
    earlier: HistoryPlace | None
    """Where those behind it begin; None when there are none."""


async def visits_of_voucher(
    conn: Connection, *, organiser_id: UUID, voucher_id: UUID, after: HistoryPlace | None, limit: int
) -> VisitsPage:
    """So many visits of a voucher behind a place, or the newest; also for a place in another order."""
    begins = None if after is None or after.service_date is None else (after.service_date, after.entry_id)
    found = await queries.select_visits(
        conn, organiser_id=organiser_id, voucher_id=voucher_id, after=begins, limit=limit + 1
    )
    charges = [index for index, entry in enumerate(found) if entry["kind"] == "debit"]
    if len(charges) <= limit:
        return VisitsPage(found, None)
    last = found[charges[limit - 1]]
    return VisitsPage(found[: charges[limit]], HistoryPlace(last["entry_id"], last["service_date"]))


async def visit_of_voucher(
    conn: Connection, *, organiser_id: UUID, voucher_id: UUID, debit_id: UUID
) -> Sequence[Record]:
    """One charge and what was taken back of it; nothing for what was never charged to this voucher."""
    return await queries.select_visit(conn, organiser_id=organiser_id, voucher_id=voucher_id, debit_id=debit_id)


async def disputed_visits(conn: Connection, *, organiser_id: UUID, voucher_id: UUID, limit: int) -> Sequence[Record]:
    """So many of a voucher's visits whose dispute is open, the longest open first."""
    return await queries.select_disputed(conn, organiser_id=organiser_id, voucher_id=voucher_id, limit=limit)


async def movements_of_voucher(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Sequence[Record]:
    """All that was charged and taken back, in short, oldest entry first."""
    return await queries.select_movements(conn, organiser_id=organiser_id, voucher_id=voucher_id)


async def week_of_voucher(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> WeekUse:
    """For a voucher that is there."""
    row = await queries.select_week(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    assert row is not None, "the caller has found the voucher"
    return WeekUse(**row)
