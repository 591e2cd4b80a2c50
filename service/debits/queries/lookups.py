"""Every SQL statement on codes that were typed on a page."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from asyncpg import Record

from service.db import Connection

INSERT_LOOKUP = "INSERT INTO code_lookups (lookup_id, person_id, code_sealed) VALUES ($1, $2, $3)"


async def insert_lookup(conn: Connection, *, lookup_id: UUID, person_id: UUID, code_sealed: bytes) -> None:
    await conn.execute(INSERT_LOOKUP, lookup_id, person_id, code_sealed)


DELETE_OLD = "DELETE FROM code_lookups WHERE looked_up_at < now() - $1::interval"


async def delete_old(conn: Connection, *, older_than: timedelta) -> None:
    await conn.execute(DELETE_OLD, older_than)


SELECT_LOOKUP = """
SELECT lookup_id, code_sealed, tries, made, answer FROM code_lookups
WHERE lookup_id = $1 AND person_id = $2 AND looked_up_at >= now() - $3::interval
"""


async def select_lookup(conn: Connection, *, lookup_id: UUID, person_id: UUID, newer_than: timedelta) -> Record | None:
    """None for one that another person made, too."""
    return await conn.fetchrow(SELECT_LOOKUP, lookup_id, person_id, newer_than)


COUNT_REFUSED = "UPDATE code_lookups SET tries = tries + 1 WHERE lookup_id = $1 AND tries = $2 AND made IS NULL"


async def count_refused(conn: Connection, *, lookup_id: UUID, tries: int) -> None:
    """Once for each refusal, however often it is told."""
    await conn.execute(COUNT_REFUSED, lookup_id, tries)


UPDATE_MADE = "UPDATE code_lookups SET made = $2, answer = $3 WHERE lookup_id = $1 AND made IS NULL"


async def update_made(conn: Connection, *, lookup_id: UUID, made: str, answer: str) -> None:
    """The first answer stays."""
    await conn.execute(UPDATE_MADE, lookup_id, made, answer)
