"""Sessions: begun, recognised, listed and ended; and the notes that wait in them for the next page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from asyncpg import Record
from uuid_utils.compat import uuid7

from service.db import Connection
from service.people.model import (
    ABSOLUTE,
    IDLE,
    IDLE_OF_ROLE,
    PERMISSIONS,
    UNFINISHED,
    LiveSession,
    Owner,
    SessionUnknown,
    Stage,
    session_ends_at,
)
from service.people.queries import sessions as queries
from service.people.queries.accounts import select_clock
from service.people.tokens import hash_token, looks_like_token, make_token

SEEN_EVERY = timedelta(minutes=1)  # a page with ten pictures is one visit, not eleven writes


@dataclass(frozen=True, slots=True)
class Session:
    """A session that lives, whoever it belongs to and however far signing in has come."""

    session_id: UUID
    person_id: UUID
    stage: Stage
    owner: Owner
    owner_id: UUID
    owner_name: str
    role: str
    name: str
    language: str
    has_notes: bool
    user_agent: str
    secret_sealed: bytes | None = field(repr=False)

    @property
    def actor(self) -> str:
        return f"person:{self.person_id}"

    @property
    def permissions(self) -> frozenset[str]:
        return PERMISSIONS[self.role]


async def begin_session(conn: Connection, *, person_id: UUID, stage: Stage, user_agent: str) -> str:
    """A new session; returns its token, which is in the answer and nowhere else."""
    token = make_token()
    await queries.insert_session(
        conn,
        session_id=uuid7(),
        token_hash=hash_token(token),
        person_id=person_id,
        stage=stage,
        user_agent=user_agent,
    )
    return token


async def find_session(conn: Connection, token: str | None) -> Session | None:
    """Whose session it is, or None: unknown, ended, timed out, or its person or provider is stopped. Seen by this."""
    if token is None or not looks_like_token(token):
        return None
    row = await queries.select_session(conn, token_hash=hash_token(token))
    if row is None or _is_over(row):
        return None
    if row["now"] - row["last_seen_at"] > SEEN_EVERY:
        await queries.update_seen(conn, session_id=row["session_id"])
    owner: Owner = "provider" if row["organiser_id"] is None else "organiser"
    return Session(
        session_id=row["session_id"],
        person_id=row["person_id"],
        stage=row["stage"],
        owner=owner,
        owner_id=row["organiser_id"] or row["provider_id"],
        owner_name=row["owner_name"],
        role=row["role"],
        name=row["name"],
        language=row["language"],
        has_notes=row["has_notes"],
        user_agent=row["user_agent"],
        secret_sealed=row["secret_sealed"],
    )


async def find_timed_out(conn: Connection, token: str) -> UUID | None:
    """Who was signed in with a session that has ended by itself. None: it lives, was ended, or has been forgotten."""
    if not looks_like_token(token):
        return None
    row = await queries.select_session(conn, token_hash=hash_token(token))
    if row is None or row["stage"] != "full" or not _is_over(row):
        return None
    person_id: UUID = row["person_id"]
    return person_id


def _is_over(row: Record) -> bool:
    ends_at = session_ends_at(
        stage=row["stage"], role=row["role"], created_at=row["created_at"], last_seen_at=row["last_seen_at"]
    )
    return bool(ends_at <= row["now"])


async def list_sessions(conn: Connection, *, person_id: UUID, role: str) -> Sequence[LiveSession]:
    """Those that a person is signed in with now, the latest seen first."""
    now = await select_clock(conn)
    rows = await queries.select_sessions(
        conn, person_id=person_id, made_after=now - ABSOLUTE, seen_after=now - IDLE_OF_ROLE.get(role, IDLE)
    )
    return [LiveSession(**dict(row)) for row in rows]


async def end_session(conn: Connection, *, person_id: UUID, session_id: UUID) -> None:
    """End one of a person's own sessions. Raises SessionUnknown."""
    if not await queries.delete_session(conn, session_id=session_id, person_id=person_id):
        raise SessionUnknown


async def end_other_sessions(conn: Connection, *, person_id: UUID, kept: UUID | None) -> int:
    """End all of a person's sessions but one; returns how many were signed in. Idempotent."""
    return await queries.delete_other_sessions(conn, person_id=person_id, kept=kept)


async def leave_note(conn: Connection, *, session_id: UUID, kind: str, text: str) -> None:
    """A sentence for the next page of this session; beyond ten, new ones are dropped."""
    await queries.append_note(conn, session_id=session_id, note={"kind": kind, "text": text})


async def take_notes(conn: Connection, *, session_id: UUID) -> list[dict[str, str]]:
    """What waits for the next page; it is gone then."""
    return await queries.take_notes(conn, session_id=session_id)


async def sweep_sessions(conn: Connection) -> int:
    """Forget sessions that ended by themselves; returns how many. Idempotent."""
    now = await select_clock(conn)
    return await queries.delete_old_sessions(conn, made_before=now - ABSOLUTE, unfinished_before=now - UNFINISHED)
