"""Every SQL statement on people and what they went through."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from asyncpg import Record

from service.db import Connection

# Not now(): that stands still at the beginning of the transaction.
SELECT_CLOCK = "SELECT clock_timestamp()"


async def select_clock(conn: Connection) -> datetime:
    now: datetime = await conn.fetchval(SELECT_CLOCK)
    return now


INSERT_PERSON = """
INSERT INTO people (person_id, organiser_id, provider_id, role, name, language, email_sealed, email_index, email_hint,
                    created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT ON CONSTRAINT people_email_once DO NOTHING
RETURNING person_id
"""


async def insert_person(
    conn: Connection,
    *,
    person_id: UUID,
    organiser_id: UUID | None,
    provider_id: UUID | None,
    role: str,
    name: str,
    language: str,
    email_sealed: bytes,
    email_index: bytes,
    email_hint: str,
    created_by: str,
) -> bool:
    """False: somebody has the address already."""
    made = await conn.fetchval(
        INSERT_PERSON,
        person_id,
        organiser_id,
        provider_id,
        role,
        name,
        language,
        email_sealed,
        email_index,
        email_hint,
        created_by,
    )
    return made is not None


_PERSON = """
p.person_id, p.organiser_id, p.provider_id, p.role, p.name, p.language, p.email_hint, p.created_at, p.disabled_at,
p.password_sealed IS NOT NULL AS has_password, p.totp_sealed IS NOT NULL AS has_totp,
(SELECT count(*) FROM passkeys k WHERE k.person_id = p.person_id) AS passkeys,
(SELECT max(last_seen_at) FROM sessions s WHERE s.person_id = p.person_id AND stage = 'full') AS last_seen_at
"""

SELECT_PERSON = f"SELECT {_PERSON} FROM people p WHERE p.person_id = $1"


async def select_person(conn: Connection, *, person_id: UUID) -> Record | None:
    return await conn.fetchrow(SELECT_PERSON, person_id)


SELECT_BY_EMAIL = f"SELECT {_PERSON} FROM people p WHERE p.email_index = ANY ($1::bytea[]) AND p.disabled_at IS NULL"


async def select_by_email(conn: Connection, *, email_indexes: Sequence[bytes]) -> Record | None:
    return await conn.fetchrow(SELECT_BY_EMAIL, email_indexes)


SELECT_PEOPLE = f"""
SELECT {_PERSON} FROM people p
 WHERE ($1::uuid IS NOT NULL AND p.organiser_id = $1 OR $2::uuid IS NOT NULL AND p.provider_id = $2)
 ORDER BY p.disabled_at IS NOT NULL, p.name, p.person_id
"""


async def select_people(conn: Connection, *, organiser_id: UUID | None, provider_id: UUID | None) -> Sequence[Record]:
    """Of one owner: those who may sign in first."""
    return await conn.fetch(SELECT_PEOPLE, organiser_id, provider_id)


# Every change of what a person proves themselves with is made under this lock.
LOCK_PERSON = """
SELECT password_sealed, totp_sealed, totp_step, email_sealed FROM people WHERE person_id = $1 AND disabled_at IS NULL
   FOR NO KEY UPDATE
"""


async def lock_person(conn: Connection, *, person_id: UUID) -> Record | None:
    return await conn.fetchrow(LOCK_PERSON, person_id)


UPDATE_PASSWORD = "UPDATE people SET password_sealed = $2, password_at = now() WHERE person_id = $1"  # noqa: S105


async def update_password(conn: Connection, *, person_id: UUID, password_sealed: bytes | None) -> None:
    await conn.execute(UPDATE_PASSWORD, person_id, password_sealed)


UPDATE_PROFILE = "UPDATE people SET name = $2, language = $3 WHERE person_id = $1"


async def update_profile(conn: Connection, *, person_id: UUID, name: str, language: str) -> None:
    await conn.execute(UPDATE_PROFILE, person_id, name, language)


UPDATE_LANGUAGE = "UPDATE people SET language = $2 WHERE person_id = $1"


async def update_language(conn: Connection, *, person_id: UUID, language: str) -> None:
    await conn.execute(UPDATE_LANGUAGE, person_id, language)


UPDATE_ROLE = "UPDATE people SET role = $2 WHERE person_id = $1"


async def update_role(conn: Connection, *, person_id: UUID, role: str) -> None:
    await conn.execute(UPDATE_ROLE, person_id, role)


UPDATE_TOTP = "UPDATE people SET totp_sealed = $2, totp_step = $3 WHERE person_id = $1"


async def update_totp(conn: Connection, *, person_id: UUID, totp_sealed: bytes | None, totp_step: int | None) -> None:
    await conn.execute(UPDATE_TOTP, person_id, totp_sealed, totp_step)


# A one-time code works once: only a later step than the last one is taken.
USE_TOTP_STEP = """
UPDATE people SET totp_step = $2
 WHERE person_id = $1 AND totp_sealed IS NOT NULL AND (totp_step IS NULL OR totp_step < $2)
RETURNING person_id
"""


async def use_totp_step(conn: Connection, *, person_id: UUID, step: int) -> bool:
    return await conn.fetchval(USE_TOTP_STEP, person_id, step) is not None


DISABLE_PERSON = """
UPDATE people
   SET disabled_at = coalesce(disabled_at, now()), email_sealed = NULL, email_index = NULL, email_hint = NULL,
       password_sealed = NULL, totp_sealed = NULL, totp_step = NULL
 WHERE person_id = $1
"""


async def disable_person(conn: Connection, *, person_id: UUID) -> None:
    await conn.execute(DISABLE_PERSON, person_id)


INSERT_EVENT = """
INSERT INTO people_events (event_id, organiser_id, provider_id, person_id, actor, action)
SELECT $1, organiser_id, provider_id, person_id, $3, $4 FROM people WHERE person_id = $2
"""


async def insert_event(conn: Connection, *, event_id: UUID, person_id: UUID, actor: str, action: str) -> None:
    await conn.execute(INSERT_EVENT, event_id, person_id, actor, action)


SELECT_EVENTS = """
SELECT action, actor, recorded_at FROM people_events WHERE person_id = $1 ORDER BY event_id DESC LIMIT $2
"""


async def select_events(conn: Connection, *, person_id: UUID, limit: int) -> Sequence[Record]:
    """The latest first."""
    return await conn.fetch(SELECT_EVENTS, person_id, limit)


SELECT_OWNER_OF = """
SELECT p.name, p.language, coalesce(p.organiser_id, p.provider_id) AS owner_id, coalesce(o.name, c.name) AS owner_name
  FROM people p LEFT JOIN organisers o USING (organiser_id) LEFT JOIN providers c USING (provider_id)
 WHERE p.person_id = $1
"""


async def select_owner_of(conn: Connection, *, person_id: UUID) -> Record | None:
    return await conn.fetchrow(SELECT_OWNER_OF, person_id)


LOCK_SEALED = """
SELECT person_id, email_sealed, email_index, password_sealed, totp_sealed FROM people
 WHERE person_id > $1 AND disabled_at IS NULL ORDER BY person_id LIMIT $2 FOR NO KEY UPDATE
"""


async def lock_sealed(conn: Connection, *, after: UUID, limit: int) -> Sequence[Record]:
    return await conn.fetch(LOCK_SEALED, after, limit)


UPDATE_SEALED = """
UPDATE people p SET email_sealed = n.email_sealed, email_index = n.email_index, password_sealed = n.password_sealed,
       totp_sealed = n.totp_sealed
  FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[])
       AS n (person_id, email_sealed, email_index, password_sealed, totp_sealed)
 WHERE p.person_id = n.person_id
"""


async def update_sealed(conn: Connection, *, rows: Sequence[tuple[object, ...]]) -> None:
    await conn.execute(UPDATE_SEALED, *(list(column) for column in zip(*rows, strict=True)))
