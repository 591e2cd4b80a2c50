"""What an owner's admins do to their people, and what is swept away by the clock."""

from __future__ import annotations

from uuid import UUID

from service.db import Connection, Pool, transaction
from service.people.model import FORGOTTEN_AFTER, OwnAccount, Owner, Person, PersonUnknown, check_role
from service.people.operations import second_factors, sessions
from service.people.operations.accounts import find_person, record_event
from service.people.queries import accounts as queries
from service.people.queries import proofs


async def find_own(conn: Connection, *, owner: Owner, owner_id: UUID, person_id: UUID) -> Person:
    """One of an owner's people; another owner's are as unknown as nobody. Raises PersonUnknown."""
    person = await find_person(conn, person_id)
    if (person.owner, person.owner_id) != (owner, owner_id) or person.disabled_at is not None:
        raise PersonUnknown
    return person


async def remove_person(conn: Connection, person: Person, *, actor: str) -> None:
    """They sign in no more, from this moment on; their address and secrets are forgotten, their name is kept.

    Raises OwnAccount: who removes themselves may leave nobody who can put it right.
    """
    _refuse_oneself(person, actor)
    await record_event(conn, person_id=person.person_id, actor=actor, action="removed")
    await sessions.end_other_sessions(conn, person_id=person.person_id, kept=None)
    await proofs.expire_links(conn, person_id=person.person_id, kind=None)
    await proofs.delete_passkeys(conn, person_id=person.person_id)
    await proofs.delete_recovery_codes(conn, person_id=person.person_id)
    await proofs.delete_identities(conn, person_id=person.person_id)
    await queries.disable_person(conn, person_id=person.person_id)


async def reset_person(conn: Connection, person: Person, *, actor: str) -> None:
    """Forget their second factors and end their sessions: for a lost phone. Raises OwnAccount."""
    _refuse_oneself(person, actor)
    await second_factors.reset_second_factors(conn, person_id=person.person_id, actor=actor)
    await sessions.end_other_sessions(conn, person_id=person.person_id, kept=None)


async def change_role(conn: Connection, person: Person, *, role: str, actor: str) -> None:
    """Another role from the next request on. Raises RoleUnfit, OwnAccount."""
    _refuse_oneself(person, actor)
    check_role(person.owner, role)
    if role != person.role:
        await queries.update_role(conn, person_id=person.person_id, role=role)
        await record_event(conn, person_id=person.person_id, actor=actor, action=f"role_{role}")


async def sweep(pool: Pool) -> int:
    """Forget sessions and links that are over, and tries of yesterday; returns how many. Idempotent."""
    async with transaction(pool) as conn:
        return (
            await sessions.sweep_sessions(conn)
            + await proofs.forget_links(conn)
            + await proofs.forget_failures(conn, forgotten_after=FORGOTTEN_AFTER)
        )


def _refuse_oneself(person: Person, actor: str) -> None:
    if actor == f"person:{person.person_id}":
        raise OwnAccount
