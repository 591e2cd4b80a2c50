"""Two organisers with a programme each, and decisions for their families."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from service.crypto import Keys
from service.db import Connection, Pool, transaction
from service.money import Unit
from service.organisers import operations as organisers
from service.organisers.model import Organiser, Programme
from service.quiet_hours import QuietHours
from service.settings import Keyring
from service.vouchers import operations
from service.vouchers.decisions import NewDecision, PostedDecision, read_decision
from service.vouchers.model import Issued

TODAY = date(2026, 11, 23)  # a Monday
OLD: Keyring = (("k1", b"1" * 32),)
NEW: Keyring = (("k2", b"2" * 32), ("k1", b"1" * 32))
NEW_ONLY: Keyring = NEW[:1]
KEYS = Keys.from_keyrings(encryption=OLD, index=OLD)
ROTATING = Keys.from_keyrings(encryption=NEW, index=NEW)
ROTATED = Keys.from_keyrings(encryption=NEW_ONLY, index=NEW_ONLY)

PROGRAMME_NAMES = {"fi": "Kotipalvelu", "sv": "Hemservice", "en": "Home help"}


@dataclass(frozen=True)
class World:
    organiser: Organiser
    stranger: Organiser
    programme: Programme


async def make_world(conn: Connection) -> World:
    organiser, stranger = [
        await organisers.add_organiser(
            conn, slug=slug, name=slug.title(), help_phone="014 555 0101", directory_address="x.example/ps"
        )
        for slug in ("jarvenranta", "naapuri")
    ]
    programmes = [
        await organisers.add_programme(
            conn, organiser_slug=slug, programme="kotipalvelu", names=PROGRAMME_NAMES, unit=Unit.MINUTES, step=15
        )
        for slug in ("jarvenranta", "naapuri")
    ]
    return World(organiser, stranger, programmes[0])


def posted(**changes: Any) -> PostedDecision:
    """Twelve hours of home help, twice a week."""
    known = PostedDecision(
        decision_ref="KH-1",
        programme="kotipalvelu",
        status="provisional",
        client_ref="perhe-1",
        phone="040 123 4567",
        email=None,
        language="fi",
        initials="M.V.",
        municipality="Järvenranta",
        granted=720,
        weekly_visits=2,
        weekly_minutes=None,
        valid_from=TODAY,
        valid_to=TODAY + timedelta(days=120),
    )
    return known._replace(**changes)


def decision(world: World, **changes: Any) -> NewDecision:
    return read_decision(posted(**changes), world.programme, default_language="fi", countries=("FI",))


async def issue(conn: Connection, world: World, *, keys: Keys = KEYS, today: date = TODAY, **changes: Any) -> Issued:
    return await operations.issue_voucher(
        conn, keys, decision(world, **changes), organiser=world.organiser, created_by="test", today=today
    )


async def live_code(conn: Connection, voucher_id: UUID, *, keys: Keys = KEYS) -> str:
    """The digits that the family would read now."""
    row = await conn.fetchrow("SELECT organiser_id, code_id FROM vouchers WHERE voucher_id = $1", voucher_id)
    found = await operations.secret_fields(conn, keys, [tuple(row)])
    return found[row["code_id"]]["code_digits"]


async def looked_up(conn: Connection, code: str, *, keys: Keys = KEYS) -> UUID | None:
    """The voucher that a typed code leads to, under the new key or the one before it."""
    for index in (keys.index.current("code", code), keys.index.previous("code", code)):
        found = await conn.fetchval("SELECT voucher_id FROM voucher_codes WHERE code_index = $1", index)
        if found is not None:
            return found
    return None


async def messages_of(conn: Connection, voucher_id: UUID) -> list[tuple[str, str | None]]:
    rows = await conn.fetch(
        "SELECT state, reason FROM messages WHERE subject_id = $1 ORDER BY created_at, message_id", voucher_id
    )
    return [tuple(row) for row in rows]


@dataclass
class Bell:
    """Stands in for Redis: remembers who was woken."""

    rung: list[UUID] = field(default_factory=list)

    def wake(self, message_id: UUID) -> None:
        self.rung.append(message_id)


@dataclass
class Site:
    """What an import needs of a process."""

    pool: Pool
    keys: Keys = KEYS
    wakeups: Bell = field(default_factory=Bell)
    settings: Any = field(
        default_factory=lambda: SimpleNamespace(sms_countries=("FI",), code_digits=12, quiet_hours=QuietHours(0, 0))
    )


@asynccontextmanager
async def committed_world(pool: Pool) -> AsyncIterator[tuple[Site, World]]:
    async with transaction(pool) as conn:
        world = await make_world(conn)
    yield Site(pool), world
