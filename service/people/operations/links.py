"""Links by mail: the invitation, and the way back in. A link works once, for a while, and a newer one replaces it.

The mail is queued in the transaction that makes the link; the token is opened only when the mail is rendered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from service.channels.contacts import EmailInvalid, hint_email, parse_email
from service.channels.model import Contacts, NewMessage
from service.channels.operations import queue_message, timeline
from service.crypto import Keys, SealBroken
from service.db import Connection, Pool, transaction
from service.people import passwords
from service.people.addresses import open_email, plain_email, seal_email
from service.people.model import (
    LINK_LIVES,
    EmailTaken,
    LinkKind,
    LinkUnknown,
    Owner,
    Person,
    PersonUnknown,
    Stage,
    check_name,
    check_role,
)
from service.people.operations import sessions
from service.people.operations.accounts import record_event
from service.people.operations.signing_in import Client, find_by_email
from service.people.queries import accounts as queries
from service.people.queries import proofs
from service.people.tokens import hash_token, looks_like_token, make_token
from service.problems import format_time

RECOVERIES_AN_HOUR = 3
PATHS: Mapping[LinkKind, str] = {"invitation": "/invitation/", "recovery": "/sign-in/new-password/"}
MAIL_PRIORITY = 1  # somebody sits and waits for it


@dataclass(frozen=True, slots=True)
class Invited:
    person_id: UUID
    message_id: UUID
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LinkedPerson:
    """Whom a live link is for."""

    person_id: UUID
    name: str
    role: str
    language: str
    owner_name: str
    email: str = field(repr=False)


async def invite(
    conn: Connection,
    keys: Keys,
    *,
    owner: Owner,
    owner_id: UUID,
    role: str,
    name: str,
    email: str,
    language: str,
    inviter: str,
    actor: str,
) -> Invited:
    """Add a person and mail them the link, in the caller's transaction. `inviter` is the name in the mail.

    Raises PersonNameUnfit, RoleUnfit, EmailInvalid, EmailTaken.
    """
    check_name(name)
    check_role(owner, role)
    email, person_id = parse_email(email), uuid7()
    sealed, index = seal_email(keys, person_id, email)
    if await find_by_email(conn, keys, email) is not None:
        raise EmailTaken
    is_new = await queries.insert_person(
        conn,
        person_id=person_id,
        organiser_id=owner_id if owner == "organiser" else None,
        provider_id=owner_id if owner == "provider" else None,
        role=role,
        name=name,
        language=language,
        email_sealed=sealed,
        email_index=index,
        email_hint=hint_email(email),
        created_by=actor,
    )
    if not is_new:
        raise EmailTaken
    return await invite_again(conn, keys, person_id=person_id, inviter=inviter, actor=actor)


async def invite_again(conn: Connection, keys: Keys, *, person_id: UUID, inviter: str, actor: str) -> Invited:
    """Mail a new link; the earlier one stops working. Raises PersonUnknown."""
    token, message_id = await _mail_link(conn, keys, "invitation", person_id=person_id, inviter=inviter, actor=actor)
    await record_event(conn, person_id=person_id, actor=actor, action="invited")
    return Invited(person_id, message_id, token)


async def invitation_state(conn: Connection, person: Person) -> str | None:
    """How far the latest invitation's mail has come: `waiting`, `sent`, `failed`; None once it was accepted."""
    if person.has_password:
        return None
    sent = [
        message for message in await timeline(conn, person.owner_id, person.person_id) if message.kind == "invitation"
    ]
    if not sent:
        return None
    state = sent[-1].state
    if state in ("undelivered", "failed", "escalated", "suppressed"):
        return "failed"
    return "sent" if state in ("sent", "delivered") else "waiting"


async def ask_for_new_password(conn: Connection, keys: Keys, *, email: str) -> UUID | None:
    """Mail the way back in to whoever signs in with this address; tells nothing about whether there is anybody.

    Returns the message to wake a worker for, if there is one: at most three an hour go to one person.
    """
    try:
        person = await find_by_email(conn, keys, plain_email(email))
    except EmailInvalid:
        return None
    if person is None or not person.has_password:
        return None
    made = await proofs.count_links(conn, person_id=person.person_id, kind="recovery", within=timedelta(hours=1))
    if made >= RECOVERIES_AN_HOUR:
        return None
    _, message_id = await _mail_link(conn, keys, "recovery", person_id=person.person_id, inviter="", actor="nobody")
    await record_event(conn, person_id=person.person_id, actor="nobody", action="recovery_asked")
    return message_id


async def _mail_link(
    conn: Connection, keys: Keys, kind: LinkKind, *, person_id: UUID, inviter: str, actor: str
) -> tuple[str, UUID]:
    locked = await queries.lock_person(conn, person_id=person_id)
    person = await queries.select_owner_of(conn, person_id=person_id)
    if locked is None or person is None:
        raise PersonUnknown
    token, link_id = make_token(), uuid7()
    expires_at = await queries.select_clock(conn) + LINK_LIVES[kind]
    await proofs.expire_links(conn, person_id=person_id, kind=kind)
    await proofs.insert_link(
        conn,
        link_id=link_id,
        kind=kind,
        person_id=person_id,
        token_hash=hash_token(token),
        token_sealed=keys.sealer.seal(token, link_context(link_id)),
        expires_at=expires_at,
    )
    fields = {"owner": person["owner_name"], "valid_to": format_time(expires_at, person["language"])}
    message = NewMessage(
        # Whose message it is: organisers and providers have ids of one kind.
        organiser_id=person["owner_id"],
        kind=kind,
        subject_id=person_id,
        secret_id=link_id,
        fields=fields | ({"inviter": inviter} if kind == "invitation" else {}),
        language=person["language"],
        contacts=Contacts(email=open_email(keys, person_id, locked["email_sealed"]), preferred="email"),
        requested_by=actor,
        priority=MAIL_PRIORITY,
    )
    return token, await queue_message(conn, keys, message)


def link_context(link_id: UUID) -> bytes:
    return b"mailed link" + link_id.bytes


async def link_fields(
    keys: Keys, public_url: str, conn: Connection, wanted: Sequence[tuple[UUID, UUID]]
) -> Mapping[UUID, Mapping[str, str]]:
    """The link of each mail, for (owner, link); one that was used or replaced is missing, and its mail is not sent."""
    found: dict[UUID, Mapping[str, str]] = {}
    for row in await proofs.select_sealed_links(conn, link_ids=[link_id for _, link_id in wanted]):
        try:
            token = keys.sealer.open(row["token_sealed"], link_context(row["link_id"]))
        except SealBroken:
            continue
        found[row["link_id"]] = {"link": f"{public_url}{PATHS[row['kind']]}{token}"}
    return found


async def find_linked(conn: Connection, keys: Keys, kind: LinkKind, token: str) -> LinkedPerson:
    """Whom a link is for. Looking uses nothing up: mail programs look, too. Raises LinkUnknown."""
    row = await proofs.select_link(conn, token_hash=hash_token(token), kind=kind) if looks_like_token(token) else None
    if row is None:
        raise LinkUnknown
    email = open_email(keys, row["person_id"], row["email_sealed"])
    return LinkedPerson(row["person_id"], row["name"], row["role"], row["language"], row["owner_name"], email)


async def accept_invitation(
    pool: Pool, keys: Keys, token: str, *, name: str, password: str, language: str, client: Client
) -> str:
    """Choose a name and a password; returns the token of a session in which the second factor is set up.

    Raises LinkUnknown, PersonNameUnfit, PasswordTooShort, PasswordTooLong, PasswordCommon.
    """
    check_name(name)
    async with transaction(pool) as conn:
        person = await find_linked(conn, keys, "invitation", token)
    passwords.check_password(password, about=(name, person.email))
    sealed = await passwords.seal_password(keys, person.person_id, password)
    async with transaction(pool) as conn:
        locked = await queries.lock_person(conn, person_id=person.person_id)
        if locked is None or not await proofs.use_link(conn, token_hash=hash_token(token), kind="invitation"):
            raise LinkUnknown
        await queries.update_profile(conn, person_id=person.person_id, name=name, language=language)
        await queries.update_password(conn, person_id=person.person_id, password_sealed=sealed)
        await sessions.end_other_sessions(conn, person_id=person.person_id, kept=None)
        await record_event(
            conn, person_id=person.person_id, actor=f"person:{person.person_id}", action="invitation_accepted"
        )
        known = await queries.select_person(conn, person_id=person.person_id)
        has_factor = known is not None and (known["has_totp"] or known["passkeys"] > 0)
        stage: Stage = "second_factor" if has_factor else "enrol"
        return await sessions.begin_session(conn, person_id=person.person_id, stage=stage, user_agent=client.user_agent)


async def choose_new_password(pool: Pool, keys: Keys, token: str, *, password: str) -> None:
    """Another password by a mailed link; ends all sessions. The second factor stays as it is, and is asked for.

    Raises LinkUnknown, PasswordTooShort, PasswordTooLong, PasswordCommon.
    """
    async with transaction(pool) as conn:
        person = await find_linked(conn, keys, "recovery", token)
    passwords.check_password(password, about=(person.name, person.email))
    sealed = await passwords.seal_password(keys, person.person_id, password)
    async with transaction(pool) as conn:
        locked = await queries.lock_person(conn, person_id=person.person_id)
        if locked is None or not await proofs.use_link(conn, token_hash=hash_token(token), kind="recovery"):
            raise LinkUnknown
        await queries.update_password(conn, person_id=person.person_id, password_sealed=sealed)
        await sessions.end_other_sessions(conn, person_id=person.person_id, kept=None)
        await record_event(
            conn, person_id=person.person_id, actor=f"person:{person.person_id}", action="password_recovered"
        )
