"""Every SQL statement on regions, organisers and programmes. asyncpg counts arguments, so each has its own function."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.money import Unit
from service.organisers.model import Organiser, Programme, Receipts, Region

INSERT_REGION = """
INSERT INTO regions (region_id, slug, name) VALUES ($1, $2, $3) ON CONFLICT (slug) DO NOTHING
"""


async def insert_region(conn: Connection, *, region: Region) -> None:
    await conn.execute(INSERT_REGION, region.region_id, region.slug, region.name)


SELECT_REGION = "SELECT region_id, slug, name FROM regions WHERE slug = $1"


async def select_region(conn: Connection, *, slug: str) -> Region | None:
    row = await conn.fetchrow(SELECT_REGION, slug)
    return None if row is None else Region(row["region_id"], row["slug"], row["name"])


INSERT_ORGANISER = """
INSERT INTO organisers (organiser_id, slug, name, region_id, default_language, help_phone, directory_address)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (slug) DO NOTHING
"""


async def insert_organiser(conn: Connection, *, organiser: Organiser) -> None:
    await conn.execute(
        INSERT_ORGANISER,
        organiser.organiser_id,
        organiser.slug,
        organiser.name,
        organiser.region_id,
        organiser.default_language,
        organiser.help_phone,
        organiser.directory_address,
    )


_ORGANISER = "organiser_id, slug, name, region_id, default_language, help_phone, directory_address"

SELECT_ORGANISER = f"SELECT {_ORGANISER} FROM organisers WHERE slug = $1"


async def select_organiser(conn: Connection, *, slug: str) -> Organiser | None:
    row = await conn.fetchrow(SELECT_ORGANISER, slug)
    return None if row is None else _organiser(row)


SELECT_ORGANISER_BY_ID = f"SELECT {_ORGANISER} FROM organisers WHERE organiser_id = $1"


async def select_organiser_by_id(conn: Connection, *, organiser_id: UUID) -> Organiser | None:
    row = await conn.fetchrow(SELECT_ORGANISER_BY_ID, organiser_id)
    return None if row is None else _organiser(row)


SELECT_ORGANISERS = """
SELECT organiser_id, o.slug, o.name, region_id, default_language, help_phone, directory_address, r.name AS region
  FROM organisers o LEFT JOIN regions r USING (region_id)
 ORDER BY o.name, o.slug
"""


async def select_organisers(conn: Connection) -> Sequence[tuple[Organiser, str | None]]:
    """Every organiser with its region's name."""
    return [(_organiser(row), row["region"]) for row in await conn.fetch(SELECT_ORGANISERS)]


# With the first version of its rules, which is as old as any visit can be.
INSERT_PROGRAMME = """
WITH added AS (
    INSERT INTO programmes (organiser_id, programme, names, unit, neutral_texts, receipts)
    VALUES ($1, $2, $3, $4, $7, $8) ON CONFLICT (organiser_id, programme) DO NOTHING
    RETURNING organiser_id, programme
)
INSERT INTO programme_rules (organiser_id, programme, starts_on, step, weekday_cents, evening_cents, saturday_cents,
    sunday_cents, created_by)
SELECT organiser_id, programme, '2000-01-01', $5, $6, $6, $6, $6, 'programme' FROM added
"""


async def insert_programme(conn: Connection, *, programme: Programme) -> None:
    """Keep what is there already."""
    await conn.execute(
        INSERT_PROGRAMME,
        programme.organiser_id,
        programme.programme,
        dict(programme.names),
        programme.unit.value,
        programme.step,
        programme.unit_value_cents,
        programme.neutral_texts,
        programme.receipts.value,
    )


UPDATE_PROGRAMME = """
UPDATE programmes SET names = $3, neutral_texts = $4, receipts = $5 WHERE organiser_id = $1 AND programme = $2
"""


async def update_programme(conn: Connection, *, programme: Programme) -> None:
    """Store how families are written to. What is granted and charged never changes."""
    await conn.execute(
        UPDATE_PROGRAMME,
        programme.organiser_id,
        programme.programme,
        dict(programme.names),
        programme.neutral_texts,
        programme.receipts.value,
    )


_PROGRAMME = """
SELECT p.organiser_id, p.programme, p.names, p.unit, r.step, r.weekday_cents, p.neutral_texts, p.receipts
  FROM programmes p, LATERAL rules_on(p.organiser_id, p.programme, helsinki_today()) r
 WHERE p.organiser_id = $1
"""

SELECT_PROGRAMME = _PROGRAMME + " AND p.programme = $2"


async def select_programme(conn: Connection, *, organiser_id: UUID, programme: str) -> Programme | None:
    row = await conn.fetchrow(SELECT_PROGRAMME, organiser_id, programme)
    return None if row is None else _programme(row)


LOCK_PROGRAMME = SELECT_PROGRAMME + " FOR UPDATE OF p"


async def lock_programme(conn: Connection, *, organiser_id: UUID, programme: str) -> Programme | None:
    row = await conn.fetchrow(LOCK_PROGRAMME, organiser_id, programme)
    return None if row is None else _programme(row)


SELECT_PROGRAMMES = _PROGRAMME + " ORDER BY p.programme"


async def select_programmes(conn: Connection, *, organiser_id: UUID) -> Sequence[Programme]:
    return [_programme(row) for row in await conn.fetch(SELECT_PROGRAMMES, organiser_id)]


SELECT_REGION_HAS_PROGRAMME = """
SELECT EXISTS (SELECT FROM programmes JOIN organisers USING (organiser_id) WHERE region_id = $1 AND programme = $2)
"""


async def select_region_has_programme(conn: Connection, *, region_id: UUID, programme: str) -> bool:
    return bool(await conn.fetchval(SELECT_REGION_HAS_PROGRAMME, region_id, programme))


def _organiser(row: Record) -> Organiser:
    return Organiser(
        organiser_id=row["organiser_id"],
        slug=row["slug"],
        name=row["name"],
        region_id=row["region_id"],
        default_language=row["default_language"],
        help_phone=row["help_phone"],
        directory_address=row["directory_address"],
    )


def _programme(row: Record) -> Programme:
    return Programme(
        organiser_id=row["organiser_id"],
        programme=row["programme"],
        names=row["names"],
        unit=Unit(row["unit"]),
        step=row["step"],
        unit_value_cents=row["weekday_cents"],
        neutral_texts=row["neutral_texts"],
        receipts=Receipts(row["receipts"]),
    )
