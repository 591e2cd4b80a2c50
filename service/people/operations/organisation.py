"""Signing in with an organisation's own account: caseworkers who were invited, and nobody else.

How strongly people prove themselves there is the organisation's policy; the session here is a full one.
"""

from __future__ import annotations

from uuid import UUID

from service.channels.contacts import EmailInvalid
from service.crypto import Keys
from service.db import Connection, Pool, transaction
from service.people.model import ORGANISER_ROLES, OidcRefused
from service.people.operations import sessions
from service.people.operations.accounts import find_person, record_event
from service.people.operations.signing_in import Client, find_by_email
from service.people.queries import proofs


async def sign_in_as_identity(
    pool: Pool, keys: Keys, *, issuer: str, subject: str, email: str | None, client: Client
) -> tuple[str, str]:
    """The new session's token, and the person's role.

    Found by a subject that was linked before; else by an address that the other service has verified, and then linked:
    whoever gets that address later is somebody else. Raises OidcRefused.
    """
    async with transaction(pool) as conn:
        person_id = await proofs.select_identity(conn, issuer=issuer, subject=subject)
        if person_id is None:
            person_id = await _link(conn, keys, issuer=issuer, subject=subject, email=email)
        person = await find_person(conn, person_id)
        if person.role not in ORGANISER_ROLES or person.disabled_at is not None:
            raise OidcRefused
        token = await sessions.begin_session(conn, person_id=person_id, stage="full", user_agent=client.user_agent)
        await record_event(conn, person_id=person_id, actor=f"person:{person_id}", action="signed_in_with_organisation")
    return token, person.role


async def _link(conn: Connection, keys: Keys, *, issuer: str, subject: str, email: str | None) -> UUID:
    try:
        person = await find_by_email(conn, keys, email) if email else None
    except EmailInvalid:
        person = None
    if person is None or person.role not in ORGANISER_ROLES:
        raise OidcRefused
    is_linked = await proofs.insert_identity(conn, issuer=issuer, subject=subject, person_id=person.person_id)
    if not is_linked:
        raise OidcRefused
    await record_event(
        conn, person_id=person.person_id, actor=f"person:{person.person_id}", action="organisation_linked"
    )
    return person.person_id
