"""Hand-made facts for the overview: rows with the times that a test needs, whole enough for every constraint."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from uuid_utils.compat import uuid7

from service.db import Connection, transaction
from service.money import Unit
from service.organisers import operations as organisers
from service.overview import queries
from service.overview.model import Figures, Period, cells_of, monday
from service.overview.operations import count_due_weeks
from service.vouchers.decisions import helsinki_day
from tests.installations import Installation

HELSINKI = ZoneInfo("Europe/Helsinki")
NAMES = {"fi": "Kotipalvelu", "sv": "Hemservice", "en": "Home help"}
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday, 14 o'clock in Helsinki


def clock(text: str) -> datetime:
    """A time of the clock in Helsinki."""
    return datetime.fromisoformat(text).replace(tzinfo=HELSINKI)


@dataclass
class Town:
    """One organiser. `units` of its programmes."""

    conn: Connection
    organiser_id: UUID
    units: dict[str, Unit] = field(default_factory=dict)

    async def decide(
        self,
        at: str | datetime,
        *,
        programme: str = "kotipalvelu",
        granted: int = 600,
        valid_to: date = date(2027, 6, 30),
        times: int = 1,
        family: str | None = None,
    ) -> UUID:
        """So many decisions with their vouchers, each of a family of its own unless told; the id of the last one's."""
        made = clock(at) if isinstance(at, str) else at
        for _ in range(times):
            decision_id, voucher_id = uuid7(), uuid7()
            await self._insert(
                "decisions",
                decision_id=decision_id,
                decision_ref=f"D-{decision_id}",
                programme=programme,
                status="confirmed",
                client_ref=family or f"c-{decision_id}",
                granted=granted,
                valid_from=made.date(),
                valid_to=valid_to,
                fingerprint=b"f",
                created_by="test",
                created_at=made,
            )
            await self._insert(
                "vouchers",
                voucher_id=voucher_id,
                decision_id=decision_id,
                programme=programme,
                unit=self.units[programme].value,
                code_id=uuid7(),
                granted=granted,
                available=granted,
                valid_from=made.date(),
                valid_to=valid_to,
                created_at=made,
            )
        return voucher_id

    async def send(
        self,
        voucher_id: UUID,
        at: str,
        state: str = "delivered",
        *,
        channel: str = "sms",
        arrived: str | None = None,
        after: UUID | None = None,
        kind: str = "voucher",
        **values: Any,
    ) -> UUID:
        message_id, is_open = uuid7(), state in ("pending", "sending", "unknown")
        await self._insert(
            "messages",
            message_id=message_id,
            kind=kind,
            subject_id=voucher_id,
            fields={},
            channel=channel,
            language="fi",
            recipient_sealed=b"s",
            recipient_index=b"i",
            recipient_hint="…",
            fallback_of=after,
            state=state,
            due_at=NOW if is_open else None,
            deadline_at=NOW,
            requested_by="test",
            created_at=clock(at),
            accepted_at=clock(arrived) if arrived else None,
            delivered_at=clock(arrived) if arrived and state == "delivered" else None,
            **values,
        )
        return message_id

    async def charge(
        self, voucher_id: UUID, on: date, *, entered: str, amount: int = 60, reverses: UUID | None = None, **values: Any
    ) -> UUID:
        """A visit, or taking one back; what is added up is in the entry alone."""
        at = clock(entered)
        entry_id = UUID(int=(int(at.timestamp() * 1000) << 80) | (uuid7().int & ((1 << 80) - 1)))
        programme = await self.conn.fetchval("SELECT programme FROM vouchers WHERE voucher_id = $1", voucher_id)
        left = await self.conn.fetchval(
            "SELECT sum(amount)::bigint + $2 FROM entries WHERE $1 IN (entry_id, reverses)", reverses, amount
        )
        known = {"visits": 1 if amount > 0 else -1, "pays_cents": amount * 50, "own_cents": 0, **values}
        await self._insert(
            "entries",
            entry_id=entry_id,
            voucher_id=voucher_id,
            programme=programme,
            code_id=uuid7(),
            provider_id=uuid7(),
            credential_id=uuid7(),
            kind="debit" if reverses is None else "reversal",
            amount=amount,
            service_date=on,
            reverses=reverses,
            leaves=left,
            entered_at=at,
            **known,
        )
        return entry_id

    async def change(self, voucher_id: UUID, kind: str, amount: int, *, at: str) -> None:
        await self._insert(
            "value_changes",
            change_id=uuid7(),
            voucher_id=voucher_id,
            kind=kind,
            amount=amount,
            effective_on=clock(at).date(),
            actor="test",
            recorded_at=clock(at),
        )

    async def renew(self, voucher_id: UUID, *, at: str) -> None:
        version_id = uuid7()
        await self._insert(
            "decision_versions",
            version_id=version_id,
            voucher_id=voucher_id,
            decision_ref=f"V-{version_id}",
            starts_on=clock(at).date(),
            sets_visits=False,
            sets_minutes=False,
            valid_to=date(2027, 12, 31),
            reason="still needed",
            created_by="test",
            created_at=clock(at),
        )

    async def _insert(self, table: str, **values: Any) -> None:
        values = {"organiser_id": self.organiser_id, **values}
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self.conn.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", *values.values())

    async def count(self, *, now: datetime = NOW) -> None:
        """Every week that has something in it."""
        await queries.add_weeks(self.conn, now=now)
        rows = await self.conn.fetch("SELECT week FROM overview_weeks WHERE organiser_id = $1", self.organiser_id)
        for row in rows:
            await queries.count_week(self.conn, organiser_id=self.organiser_id, week=row["week"], now=now)

    async def figures(self, first: str, last: str | None = None, *, programme: str | None = None) -> Figures:
        """Of the weeks that the two days are in."""
        period = Period("test", monday(date.fromisoformat(first)), monday(date.fromisoformat(last or first)))
        rows = await queries.select_cells(
            self.conn, organiser_id=self.organiser_id, first=period.first, last=period.last, programme=programme
        )
        return Figures(cells_of(rows), period)


async def make_town(conn: Connection, slug: str = "jarvenranta", *, region: str | None = None, **units: Unit) -> Town:
    organiser = await organisers.add_organiser(
        conn,
        slug=slug,
        name=slug.title(),
        help_phone="014 555 0101",
        directory_address="x.example/ps",
        **({"region_slug": region} if region else {}),
    )
    known = units or {"kotipalvelu": Unit.MINUTES}
    for programme, unit in known.items():
        await organisers.add_programme(
            conn,
            organiser_slug=slug,
            programme=programme,
            names=NAMES,
            unit=unit,
            step=15 if unit is Unit.MINUTES else 1,
        )
    return Town(conn, organiser.organiser_id, known)


def days_after(day: str, days: int) -> date:
    return date.fromisoformat(day) + timedelta(days=days)


async def town_of(conn: Connection, slug: str) -> Town:
    """One that is there already."""
    organiser_id = await conn.fetchval("SELECT organiser_id FROM organisers WHERE slug = $1", slug)
    rows = await conn.fetch("SELECT programme, unit FROM programmes WHERE organiser_id = $1", organiser_id)
    return Town(conn, organiser_id, {row["programme"]: Unit(row["unit"]) for row in rows})


async def fill(here: Installation, slug: str = "kuusirannan-hva", *, decisions: int = 7) -> None:
    """Decisions of now with a visit each, counted."""
    now = datetime.now(UTC)
    local, today = now.astimezone(HELSINKI).strftime("%Y-%m-%d %H:%M:%S"), helsinki_day(now)
    async with transaction(here.resources.pool) as conn:
        town = await town_of(conn, slug)
        for _ in range(decisions):
            voucher = await town.decide(now, valid_to=today + timedelta(days=20))
            await town.send(voucher, local, arrived=local)
            await town.charge(voucher, today, entered=local)
    assert await count_due_weeks(here.resources.pool) >= 1


async def fill_weeks(here: Installation, slug: str = "kuusirannan-hva", *, weeks: int = 12) -> None:
    """Some months with something in every picture: three programmes, both channels, late visits, renewals."""
    now = datetime.now(UTC)
    async with transaction(here.resources.pool) as conn:
        town = await town_of(conn, slug)
        for number, programme in enumerate(sorted(town.units)):
            for week in range(weeks):
                for turn in range(6 + (week * 7 + number * 3) % 9):
                    await _family(town, programme, now - timedelta(weeks=week, minutes=turn), turn)
    while await count_due_weeks(here.resources.pool):
        pass


async def _family(town: Town, programme: str, at: datetime, turn: int) -> None:
    def local(moment: datetime) -> str:
        return moment.astimezone(HELSINKI).strftime("%Y-%m-%d %H:%M:%S")

    voucher = await town.decide(at, programme=programme, valid_to=helsinki_day(at) + timedelta(days=100))
    if turn % 7 == 6:
        lost = await town.send(voucher, local(at), "undelivered")
        later = local(at + timedelta(minutes=12))
        await town.send(voucher, later, "sent", channel="email", arrived=later, after=lost)
    else:
        await town.send(voucher, local(at), arrived=local(at + timedelta(seconds=4 + turn * 5)))
    for visit in range(turn % 4):
        on = min(at + timedelta(days=1 + 5 * visit), datetime.now(UTC))
        await town.charge(voucher, helsinki_day(on), entered=local(on), amount=60)
    if turn == 3:
        await town.renew(voucher, at=local(at))
