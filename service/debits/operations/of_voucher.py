"""What was charged to one voucher and what this week has room for, for its organiser and its family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.debits.queries import of_voucher as queries


@dataclass(frozen=True, slots=True)
class WeekUse:
    """What is used of the present ISO week, bookings included."""

    visits: int
    minutes: int
    next_allowed_date: date | None
    """When there is room again; None while there is room, or none before the voucher ends."""


async def visits_of_voucher(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Sequence[Record]:
    """Every charge and reversal of a voucher, oldest entry first."""
    return await queries.select_visits(conn, organiser_id=organiser_id, voucher_id=voucher_id)


async def week_of_voucher(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> WeekUse:
    """For a voucher that is there."""
    row = await queries.select_week(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    assert row is not None, "the caller has found the voucher"
    return WeekUse(**row)
