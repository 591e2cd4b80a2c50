"""Passkeys (WebAuthn): made, used as the second factor, removed. The library checks what the browser answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

from uuid_utils.compat import uuid7
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from service.db import Connection, Pool, transaction
from service.people.model import (
    PASSKEYS_MAX,
    LastSecondFactor,
    PasskeyRefused,
    PasskeyUnknown,
    SignInUnfinished,
    TooManyPasskeys,
)
from service.people.operations.accounts import record_event
from service.people.operations.sessions import Session
from service.people.operations.signing_in import finish_sign_in
from service.people.queries import accounts as queries
from service.people.queries import proofs, sessions

SITE_NAME = "Seteli"
ANSWER_MAX = 16_000
TIMEOUT_MS = 120_000


@dataclass(frozen=True, slots=True)
class Passkey:
    passkey_id: UUID
    name: str
    created_at: datetime
    last_used_at: datetime | None


def site_of(public_url: str) -> str | None:
    """The domain that passkeys are bound to; None where there can be none: an IP address is no domain."""
    host = urlsplit(public_url).hostname or ""
    return None if host.replace(".", "").isdigit() or ":" in host else host


async def list_passkeys(conn: Connection, *, person_id: UUID) -> Sequence[Passkey]:
    rows = await proofs.select_passkeys(conn, person_id=person_id)
    return [Passkey(row["passkey_id"], row["name"], row["created_at"], row["last_used_at"]) for row in rows]


async def offer_passkey(conn: Connection, session: Session, *, site: str) -> str:
    """What the browser needs to make a passkey, as JSON; its challenge waits in the session."""
    known = await proofs.select_passkeys(conn, person_id=session.person_id)
    options = generate_registration_options(
        rp_id=site,
        rp_name=SITE_NAME,
        user_id=session.person_id.bytes,
        user_name=session.name,
        user_display_name=session.name,
        timeout=TIMEOUT_MS,
        exclude_credentials=[PublicKeyCredentialDescriptor(id=row["credential_id"]) for row in known],
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.DISCOURAGED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
    )
    await sessions.update_challenge(conn, session_id=session.session_id, challenge=options.challenge)
    return options_to_json(options)


async def add_passkey(conn: Connection, session: Session, *, answer: str, name: str, public_url: str) -> None:
    """Keep what the browser made. Raises PasskeyRefused, SignInUnfinished, TooManyPasskeys."""
    if await queries.lock_person(conn, person_id=session.person_id) is None:
        raise SignInUnfinished
    challenge, site = await sessions.take_challenge(conn, session_id=session.session_id), site_of(public_url)
    if challenge is None or site is None:
        raise SignInUnfinished
    if len(await proofs.select_passkeys(conn, person_id=session.person_id)) >= PASSKEYS_MAX:
        raise TooManyPasskeys(max=PASSKEYS_MAX)
    try:
        made = verify_registration_response(
            credential=_parse(answer), expected_challenge=challenge, expected_rp_id=site, expected_origin=public_url
        )
    except (WebAuthnException, ValueError, KeyError, TypeError):
        raise PasskeyRefused from None
    is_new = await proofs.insert_passkey(
        conn,
        passkey_id=uuid7(),
        person_id=session.person_id,
        credential_id=made.credential_id,
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
        name=name,
    )
    if not is_new:
        raise PasskeyRefused
    await record_event(conn, person_id=session.person_id, actor=session.actor, action="passkey_added")


async def ask_for_passkey(conn: Connection, session: Session, *, site: str) -> str | None:
    """What the browser needs to use a passkey, as JSON; None when the person has none."""
    known = await proofs.select_passkeys(conn, person_id=session.person_id)
    if not known:
        return None
    options = generate_authentication_options(
        rp_id=site,
        timeout=TIMEOUT_MS,
        allow_credentials=[PublicKeyCredentialDescriptor(id=row["credential_id"]) for row in known],
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    await sessions.update_challenge(conn, session_id=session.session_id, challenge=options.challenge)
    return options_to_json(options)


async def sign_in_with_passkey(pool: Pool, session: Session, *, answer: str, public_url: str) -> str:
    """The second step with a passkey; returns the new session's token.

    A challenge is gone once an answer to it was looked at, right or wrong. Raises PasskeyRefused, SignInUnfinished.
    """
    site = site_of(public_url)
    async with transaction(pool) as conn:
        challenge = await sessions.take_challenge(conn, session_id=session.session_id)
    if session.stage != "second_factor" or challenge is None or site is None:
        raise SignInUnfinished
    async with transaction(pool) as conn:
        if await queries.lock_person(conn, person_id=session.person_id) is None:
            raise SignInUnfinished
        known = await proofs.select_passkeys(conn, person_id=session.person_id)
        try:
            given = _parse(answer)
            raw_id = given["rawId"]
            row = next(row for row in known if _is_id(row["credential_id"], raw_id))
            proved = verify_authentication_response(
                credential=given,
                expected_challenge=challenge,
                expected_rp_id=site,
                expected_origin=public_url,
                credential_public_key=row["public_key"],
                credential_current_sign_count=row["sign_count"],
            )
        except (WebAuthnException, ValueError, KeyError, TypeError, StopIteration):
            raise PasskeyRefused from None
        await proofs.update_passkey_used(conn, passkey_id=row["passkey_id"], sign_count=proved.new_sign_count)
        return await finish_sign_in(conn, session, how="with_passkey")


async def remove_passkey(conn: Connection, *, person_id: UUID, passkey_id: UUID, actor: str) -> None:
    """Raises PasskeyUnknown, LastSecondFactor."""
    locked = await queries.lock_person(conn, person_id=person_id)
    known = await proofs.select_passkeys(conn, person_id=person_id)
    if locked is None or passkey_id not in [row["passkey_id"] for row in known]:
        raise PasskeyUnknown
    if len(known) == 1 and locked["totp_sealed"] is None:
        raise LastSecondFactor
    await proofs.delete_passkey(conn, person_id=person_id, passkey_id=passkey_id)
    await record_event(conn, person_id=person_id, actor=actor, action="passkey_removed")


def _parse(answer: str) -> dict[str, object]:
    """Raises ValueError."""
    parsed = json.loads(answer[:ANSWER_MAX])
    if not isinstance(parsed, dict):
        raise ValueError("the browser's answer is an object")
    return parsed


def _is_id(credential_id: bytes, raw_id: object) -> bool:
    return isinstance(raw_id, str) and base64url_to_bytes(raw_id) == credential_id
