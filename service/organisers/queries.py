"""Every SQL statement on regions, organisers and programmes. asyncpg counts arguments, so each has its own function."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.money import Unit
from service.organisers.model import Organiser, Programme, Receipts, Region
from service.organisers.rules import ProgrammeRules, Rounding

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


LOCK_ORGANISER = SELECT_ORGANISER + " FOR NO KEY UPDATE"


async def lock_organiser(conn: Connection, *, slug: str) -> Organiser | None:
    row = await conn.fetchrow(LOCK_ORGANISER, slug)
    return None if row is None else _organiser(row)


UPDATE_ORGANISER = "UPDATE organisers SET help_phone = $2, directory_address = $3 WHERE organiser_id = $1"


async def update_organiser(conn: Connection, *, organiser: Organiser) -> None:
    """Store what families are told of it."""
    await conn.execute(UPDATE_ORGANISER, organiser.organiser_id, organiser.help_phone, organiser.directory_address)


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


INSERT_PROGRAMME = """
INSERT INTO programmes (organiser_id, programme, names, unit, neutral_texts, receipts)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (organiser_id, programme) DO NOTHING RETURNING programme
"""


async def insert_programme(conn: Connection, *, programme: Programme) -> bool:
    """False when it is there already. Its first rules have to come in the same transaction."""
    return (
        await conn.fetchval(
            INSERT_PROGRAMME,
            programme.organiser_id,
            programme.programme,
            dict(programme.names),
            programme.unit.value,
            programme.neutral_texts,
            programme.receipts.value,
        )
        is not None
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
SELECT p.organiser_id, p.programme, p.names, p.unit, r.step, r.weekday_cents, p.neutral_texts, p.receipts,
       r.weekly_visits, r.weekly_minutes
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


_RULES = """
step, rounding, weekday_cents, evening_cents, saturday_cents, sunday_cents, evening_from, evening_to,
       eves_are_holidays, weekly_visits, weekly_minutes, free_by_law, task_types, no_show_allowed, hold_lapse_hours,
       late_entry_days"""

# A version that has begun is not touched, whoever asks: what is charged now is charged under it.
UPSERT_RULES = f"""
INSERT INTO programme_rules (organiser_id, programme, starts_on, created_by, {_RULES})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
ON CONFLICT (organiser_id, programme, starts_on) DO UPDATE
SET ({_RULES}, created_by, created_at) = ROW ($5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
    $4, now())
WHERE programme_rules.starts_on > helsinki_today()
"""


async def upsert_rules(
    conn: Connection, *, organiser_id: UUID, programme: str, rules: ProgrammeRules, created_by: str
) -> None:
    """Store a version; one that begins on the same day and has not begun is replaced."""
    await conn.execute(
        UPSERT_RULES,
        organiser_id,
        programme,
        rules.starts_on,
        created_by,
        rules.step,
        rules.rounding.value,
        rules.weekday_cents,
        rules.evening_cents,
        rules.saturday_cents,
        rules.sunday_cents,
        rules.evening_from,
        rules.evening_to,
        rules.eves_are_holidays,
        rules.weekly_visits,
        rules.weekly_minutes,
        rules.free_by_law,
        rules.task_types,
        rules.no_show_allowed,
        rules.hold_lapse_hours,
        rules.late_entry_days,
    )


# One that has begun stays, whoever asks.
DELETE_RULES = """
DELETE FROM programme_rules
WHERE organiser_id = $1 AND programme = $2 AND starts_on = $3 AND starts_on > helsinki_today()
RETURNING true
"""


async def delete_rules(conn: Connection, *, organiser_id: UUID, programme: str, starts_on: date) -> bool:
    """Take back a version that has not begun. False: it has, or there is none."""
    return bool(await conn.fetchval(DELETE_RULES, organiser_id, programme, starts_on))


SELECT_RULES_ON = f"SELECT starts_on, {_RULES} FROM rules_on($1, $2, $3) WHERE starts_on IS NOT NULL"


async def select_rules_on(conn: Connection, *, organiser_id: UUID, programme: str, day: date) -> ProgrammeRules | None:
    row = await conn.fetchrow(SELECT_RULES_ON, organiser_id, programme, day)
    return None if row is None else _rules(row)


SELECT_RULES = f"""
SELECT starts_on, {_RULES} FROM programme_rules WHERE organiser_id = $1 AND programme = $2 ORDER BY starts_on
"""


async def select_rules(conn: Connection, *, organiser_id: UUID, programme: str) -> Sequence[ProgrammeRules]:
    """Every version, the first one first."""
    return [_rules(row) for row in await conn.fetch(SELECT_RULES, organiser_id, programme)]


SELECT_TODAY = "SELECT helsinki_today()"


async def select_today(conn: Connection) -> date:
    """The day in Finland, by the database's clock."""
    today: date = await conn.fetchval(SELECT_TODAY)
    return today


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
        weekly_visits=row["weekly_visits"],
        weekly_minutes=row["weekly_minutes"],
    )


def _rules(row: Record) -> ProgrammeRules:
    values = dict(row)
    values["rounding"] = Rounding(values["rounding"])
    values["task_types"] = tuple(values["task_types"])
    return ProgrammeRules(**values)
