"""Every SQL statement on sessions. How long one lives is asked of `model`; what has ended is swept away later."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from asyncpg import Record

from service.db import Connection

INSERT_SESSION = """
INSERT INTO sessions (session_id, token_hash, person_id, stage, user_agent) VALUES ($1, $2, $3, $4, $5)
"""


async def insert_session(
    conn: Connection, *, session_id: UUID, token_hash: bytes, person_id: UUID, stage: str, user_agent: str
) -> None:
    await conn.execute(INSERT_SESSION, session_id, token_hash, person_id, stage, user_agent)


SELECT_SESSION = """
SELECT session_id, s.person_id, stage, user_agent, s.created_at, last_seen_at, challenge, secret_sealed,
       notes <> '[]' AS has_notes, p.name, role, language, organiser_id, provider_id, clock_timestamp() AS now,
       coalesce(o.name, c.name) AS owner_name
  FROM sessions s
  JOIN people p USING (person_id)
  LEFT JOIN organisers o USING (organiser_id)
  LEFT JOIN providers c USING (provider_id)
 WHERE token_hash = $1 AND p.disabled_at IS NULL AND c.suspended_at IS NULL
"""


async def select_session(conn: Connection, *, token_hash: bytes) -> Record | None:
    """With whose it is, and the database's clock; nobody's when the person or their provider is stopped."""
    return await conn.fetchrow(SELECT_SESSION, token_hash)


UPDATE_SEEN = "UPDATE sessions SET last_seen_at = now() WHERE session_id = $1"


async def update_seen(conn: Connection, *, session_id: UUID) -> None:
    await conn.execute(UPDATE_SEEN, session_id)


UPDATE_CHALLENGE = "UPDATE sessions SET challenge = $2 WHERE session_id = $1"


async def update_challenge(conn: Connection, *, session_id: UUID, challenge: bytes | None) -> None:
    await conn.execute(UPDATE_CHALLENGE, session_id, challenge)


# A challenge is answered once: whoever takes it empties it.
TAKE_CHALLENGE = """
WITH taken AS (SELECT session_id, challenge FROM sessions WHERE session_id = $1 FOR UPDATE)
UPDATE sessions s SET challenge = NULL FROM taken WHERE s.session_id = taken.session_id RETURNING taken.challenge
"""


async def take_challenge(conn: Connection, *, session_id: UUID) -> bytes | None:
    challenge: bytes | None = await conn.fetchval(TAKE_CHALLENGE, session_id)
    return challenge


UPDATE_SECRET = "UPDATE sessions SET secret_sealed = $2 WHERE session_id = $1"  # noqa: S105 - a column's name


async def update_secret(conn: Connection, *, session_id: UUID, secret_sealed: bytes | None) -> None:
    await conn.execute(UPDATE_SECRET, session_id, secret_sealed)


UPDATE_NOTES = """
UPDATE sessions SET notes = notes || $2::jsonb WHERE session_id = $1 AND jsonb_array_length(notes) < 10
"""


async def append_note(conn: Connection, *, session_id: UUID, note: dict[str, str]) -> None:
    await conn.execute(UPDATE_NOTES, session_id, [note])


TAKE_NOTES = """
WITH taken AS (SELECT session_id, notes FROM sessions WHERE session_id = $1 FOR UPDATE)
UPDATE sessions s SET notes = '[]' FROM taken WHERE s.session_id = taken.session_id RETURNING taken.notes
"""


async def take_notes(conn: Connection, *, session_id: UUID) -> list[dict[str, str]]:
    notes: list[dict[str, str]] | None = await conn.fetchval(TAKE_NOTES, session_id)
    return notes or []


SELECT_SESSIONS = """
SELECT session_id, user_agent, created_at, last_seen_at FROM sessions
 WHERE person_id = $1 AND stage = 'full' AND created_at > $2 AND last_seen_at > $3
 ORDER BY last_seen_at DESC, session_id
"""


async def select_sessions(
    conn: Connection, *, person_id: UUID, made_after: datetime, seen_after: datetime
) -> Sequence[Record]:
    return await conn.fetch(SELECT_SESSIONS, person_id, made_after, seen_after)


DELETE_SESSION = "DELETE FROM sessions WHERE session_id = $1 AND person_id = $2 RETURNING session_id"


async def delete_session(conn: Connection, *, session_id: UUID, person_id: UUID) -> bool:
    """Whether there was one."""
    return await conn.fetchval(DELETE_SESSION, session_id, person_id) is not None


DELETE_OTHER_SESSIONS = """
WITH ended AS (DELETE FROM sessions WHERE person_id = $1 AND session_id IS DISTINCT FROM $2 RETURNING stage)
SELECT count(*) FILTER (WHERE stage = 'full') FROM ended
"""


async def delete_other_sessions(conn: Connection, *, person_id: UUID, kept: UUID | None) -> int:
    """All but one, or all; how many of them were signed in."""
    ended: int = await conn.fetchval(DELETE_OTHER_SESSIONS, person_id, kept)
    return ended


DELETE_OLD_SESSIONS = """
WITH ended AS (DELETE FROM sessions WHERE created_at < $1 OR (stage <> 'full' AND created_at < $2) RETURNING 1)
SELECT count(*) FROM ended
"""


async def delete_old_sessions(conn: Connection, *, made_before: datetime, unfinished_before: datetime) -> int:
    ended: int = await conn.fetchval(DELETE_OLD_SESSIONS, made_before, unfinished_before)
    return ended
