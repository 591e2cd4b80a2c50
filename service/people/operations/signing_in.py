"""Signing in: e-mail address and password, then a second factor, and only then a session that pages know."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from service.channels.contacts import EmailInvalid
from service.crypto import Keys
from service.db import Connection, Pool, transaction
from service.people import passwords
from service.people.addresses import PURPOSE, open_email, plain_email
from service.people.model import Person, SignInFailed, Stage
from service.people.operations import sessions
from service.people.operations.accounts import person_of, record_event
from service.people.operations.sessions import Session
from service.people.operations.tries import begin_try, forgive_try, try_of
from service.people.queries import accounts as queries


@dataclass(frozen=True, slots=True)
class Client:
    """Where a try comes from: the family of its browser, and the prefix of its network address."""

    user_agent: str
    prefix: str


async def find_by_email(conn: Connection, keys: Keys, email: str) -> Person | None:
    """Whoever may sign in with this address."""
    row = await queries.select_by_email(conn, email_indexes=keys.index.all(PURPOSE, plain_email(email)))
    return None if row is None else person_of(row)


async def sign_in(pool: Pool, keys: Keys, *, email: str, password: str, client: Client) -> str:
    """The first step; returns the token of a session that is good for the second step alone.

    The same answer, and the same work, whether there is no such person, none with a password, or another password.
    Raises SignInFailed, SignInBlocked.
    """
    try:
        who = plain_email(email)
    except EmailInvalid:
        who = email.strip().casefold()
    attempt = try_of(keys, who=who, prefix=client.prefix)
    await begin_try(pool, attempt)
    async with transaction(pool) as conn:
        row = await queries.select_by_email(conn, email_indexes=keys.index.all(PURPOSE, who))
        locked = None if row is None else await queries.lock_person(conn, person_id=row["person_id"])
    person_id = row["person_id"] if row is not None and locked is not None else None
    sealed = locked["password_sealed"] if locked is not None else None
    if not await passwords.is_password(keys, person_id, sealed, password) or row is None or person_id is None:
        if person_id is not None:
            async with transaction(pool) as conn:
                await record_event(conn, person_id=person_id, actor="nobody", action="password_refused")
        raise SignInFailed
    await forgive_try(pool, attempt)
    person = person_of(row)
    stage: Stage = "second_factor" if person.has_second_factor else "enrol"
    async with transaction(pool) as conn:
        return await sessions.begin_session(conn, person_id=person_id, stage=stage, user_agent=client.user_agent)


async def finish_sign_in(conn: Connection, session: Session, *, how: str) -> str:
    """Both factors are proved: the session ends, and another begins; returns its token. In the caller's transaction."""
    await sessions.end_session(conn, person_id=session.person_id, session_id=session.session_id)
    agent = session.user_agent
    token = await sessions.begin_session(conn, person_id=session.person_id, stage="full", user_agent=agent)
    await record_event(conn, person_id=session.person_id, actor=session.actor, action=f"signed_in_{how}")
    return token


async def change_password(
    pool: Pool, keys: Keys, session_id: UUID, person_id: UUID, *, old: str, new: str, prefix: str
) -> int:
    """Another password for whoever knows the present one; ends all other sessions, and returns how many.

    Raises SignInFailed, SignInBlocked, PasswordTooShort, PasswordTooLong, PasswordCommon.
    """
    await prove_password(pool, keys, person_id, password=old, prefix=prefix)
    async with transaction(pool) as conn:
        row = await queries.lock_person(conn, person_id=person_id)
        person = await queries.select_person(conn, person_id=person_id)
        if row is None or person is None:
            raise SignInFailed
        email = open_email(keys, person_id, row["email_sealed"])
        passwords.check_password(new, about=(person["name"], email))
        await queries.update_password(
            conn, person_id=person_id, password_sealed=await passwords.seal_password(keys, person_id, new)
        )
        await record_event(conn, person_id=person_id, actor=f"person:{person_id}", action="password_changed")
        return await sessions.end_other_sessions(conn, person_id=person_id, kept=session_id)


async def prove_password(pool: Pool, keys: Keys, person_id: UUID, *, password: str, prefix: str) -> None:
    """Ask for the password again before something that cannot be taken back. Raises SignInFailed, SignInBlocked."""
    attempt = try_of(keys, who=f"again:{person_id}", prefix=prefix)
    await begin_try(pool, attempt)
    async with transaction(pool) as conn:
        row = await queries.lock_person(conn, person_id=person_id)
    sealed = row["password_sealed"] if row is not None else None
    if not await passwords.is_password(keys, person_id, sealed, password):
        raise SignInFailed
    await forgive_try(pool, attempt)
