"""People as their admins and they themselves keep them: who there is, what they went through, their language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from asyncpg import Record
from uuid_utils.compat import uuid7

from service.db import Connection
from service.people.model import Owner, Person, PersonUnknown
from service.people.queries import accounts as queries

EVENTS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Event:
    action: str
    actor: str
    recorded_at: datetime


async def find_person(conn: Connection, person_id: UUID) -> Person:
    """Raises PersonUnknown."""
    row = await queries.select_person(conn, person_id=person_id)
    if row is None:
        raise PersonUnknown
    return person_of(row)


async def list_people(conn: Connection, *, owner: Owner, owner_id: UUID) -> Sequence[Person]:
    """Everybody of one owner, also those who were removed; those who may sign in first."""
    organiser_id, provider_id = (owner_id, None) if owner == "organiser" else (None, owner_id)
    rows = await queries.select_people(conn, organiser_id=organiser_id, provider_id=provider_id)
    return [person_of(row) for row in rows]


async def choose_language(conn: Connection, *, person_id: UUID, language: str) -> None:
    """The language that a person reads from now on."""
    await queries.update_language(conn, person_id=person_id, language=language)


async def record_event(conn: Connection, *, person_id: UUID, actor: str, action: str) -> None:
    """One line of what a person's log-in went through, in the caller's transaction."""
    await queries.insert_event(conn, event_id=uuid7(), person_id=person_id, actor=actor, action=action)


async def list_events(conn: Connection, *, person_id: UUID) -> Sequence[Event]:
    """What a person's log-in went through, the latest first."""
    return [Event(**dict(row)) for row in await queries.select_events(conn, person_id=person_id, limit=EVENTS_SHOWN)]


def person_of(row: Record) -> Person:
    owner: Owner = "provider" if row["organiser_id"] is None else "organiser"
    return Person(
        person_id=row["person_id"],
        owner=owner,
        owner_id=row["organiser_id"] or row["provider_id"],
        role=row["role"],
        name=row["name"],
        language=row["language"],
        email_hint=row["email_hint"],
        has_password=row["has_password"],
        has_totp=row["has_totp"],
        passkeys=row["passkeys"],
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
        last_seen_at=row["last_seen_at"],
    )
