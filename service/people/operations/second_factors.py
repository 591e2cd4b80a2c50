"""The second factor: one-time codes of an app, passkeys, recovery codes. Set up, used, and reset."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import pyotp
from pyotp.utils import strings_equal

from service.crypto import Keys
from service.db import Connection, Pool, transaction
from service.people.authenticator import STEP_S
from service.people.model import (
    RECOVERY_CODES,
    LastSecondFactor,
    RecoveryCodeWrong,
    SecondFactorWrong,
    SignInUnfinished,
)
from service.people.operations.accounts import record_event
from service.people.operations.sessions import Session
from service.people.operations.signing_in import finish_sign_in
from service.people.operations.tries import begin_try, forgive_try, try_of_person
from service.people.queries import accounts as queries
from service.people.queries import proofs
from service.people.queries.sessions import update_secret
from service.people.tokens import make_recovery_code, plain_recovery_code

# One step early or late: clocks of phones drift (RFC 6238 §5.2).
STEPS_AROUND = (0, -1, 1)


def totp_context(person_id: UUID) -> bytes:
    return b"person totp" + person_id.bytes


def secret_context(session_id: UUID) -> bytes:
    return b"session secret" + session_id.bytes


def matching_step(secret: str, code: str, now: datetime) -> int | None:
    """The time step that a code is of, if it is of the present one or a neighbour."""
    digits = "".join(code.split())
    if not (len(digits) == 6 and digits.isascii() and digits.isdigit()):
        return None
    totp, present, found = pyotp.TOTP(secret), int(now.timestamp()) // STEP_S, None
    for offset in STEPS_AROUND:
        if strings_equal(totp.generate_otp(present + offset), digits):
            found = present + offset
    return found


async def offer_app(conn: Connection, keys: Keys, session: Session) -> str:
    """The secret of the app that this session is setting up: the same until it is confirmed."""
    if session.secret_sealed is not None:
        return keys.sealer.open(session.secret_sealed, secret_context(session.session_id))
    secret = pyotp.random_base32()
    sealed = keys.sealer.seal(secret, secret_context(session.session_id))
    await update_secret(conn, session_id=session.session_id, secret_sealed=sealed)
    return secret


async def confirm_app(conn: Connection, keys: Keys, session: Session, code: str) -> None:
    """Take the offered app into use, in place of an earlier one, when it shows the right code; the code is used then.

    Raises SecondFactorWrong, SignInUnfinished.
    """
    if session.secret_sealed is None:
        raise SignInUnfinished
    secret = keys.sealer.open(session.secret_sealed, secret_context(session.session_id))
    if await queries.lock_person(conn, person_id=session.person_id) is None:
        raise SignInUnfinished
    step = matching_step(secret, code, await queries.select_clock(conn))
    if step is None:
        raise SecondFactorWrong
    sealed = keys.sealer.seal(secret, totp_context(session.person_id))
    await queries.update_totp(conn, person_id=session.person_id, totp_sealed=sealed, totp_step=step)
    await update_secret(conn, session_id=session.session_id, secret_sealed=None)
    await record_event(conn, person_id=session.person_id, actor=session.actor, action="app_added")


async def sign_in_with_code(pool: Pool, keys: Keys, session: Session, code: str, *, prefix: str) -> str:
    """The second step with a one-time code, which works once; returns the new session's token.

    Raises SecondFactorWrong, SignInBlocked, SignInUnfinished.
    """
    attempt = try_of_person(keys, session.person_id, prefix)
    await begin_try(pool, attempt)
    async with transaction(pool) as conn:
        row = await queries.lock_person(conn, person_id=session.person_id)
        if session.stage != "second_factor" or row is None:
            raise SignInUnfinished
        step = None
        if row["totp_sealed"] is not None:
            secret = keys.sealer.open(row["totp_sealed"], totp_context(session.person_id))
            step = matching_step(secret, code, await queries.select_clock(conn))
        if step is None or not await queries.use_totp_step(conn, person_id=session.person_id, step=step):
            raise SecondFactorWrong
        token = await finish_sign_in(conn, session, how="with_app")
    await forgive_try(pool, attempt)
    return token


async def sign_in_with_recovery_code(pool: Pool, keys: Keys, session: Session, code: str, *, prefix: str) -> str:
    """The second step with one of the codes on paper, which works once; returns the new session's token.

    Raises RecoveryCodeWrong, SignInBlocked, SignInUnfinished.
    """
    attempt = try_of_person(keys, session.person_id, prefix)
    await begin_try(pool, attempt)
    async with transaction(pool) as conn:
        if session.stage != "second_factor":
            raise SignInUnfinished
        used = await proofs.use_recovery_code(
            conn, person_id=session.person_id, code_hash=hash_recovery_code(session.person_id, code)
        )
        if not used:
            raise RecoveryCodeWrong
        token = await finish_sign_in(conn, session, how="with_recovery_code")
    await forgive_try(pool, attempt)
    return token


async def new_recovery_codes(conn: Connection, *, person_id: UUID, actor: str) -> Sequence[str]:
    """Ten codes in place of all earlier ones; they are in the answer and nowhere else."""
    codes = [make_recovery_code() for _ in range(RECOVERY_CODES)]
    await proofs.delete_recovery_codes(conn, person_id=person_id)
    await proofs.insert_recovery_codes(
        conn, person_id=person_id, code_hashes=[hash_recovery_code(person_id, code) for code in codes]
    )
    await record_event(conn, person_id=person_id, actor=actor, action="recovery_codes_made")
    return codes


async def recovery_codes_left(conn: Connection, *, person_id: UUID) -> int:
    return await proofs.count_recovery_codes(conn, person_id=person_id)


async def remove_app(conn: Connection, *, person_id: UUID, actor: str) -> None:
    """Raises LastSecondFactor when there is no passkey either."""
    if not await proofs.select_passkeys(conn, person_id=person_id):
        raise LastSecondFactor
    await queries.update_totp(conn, person_id=person_id, totp_sealed=None, totp_step=None)
    await record_event(conn, person_id=person_id, actor=actor, action="app_removed")


async def reset_second_factors(conn: Connection, *, person_id: UUID, actor: str) -> None:
    """Forget app, passkeys and recovery codes: the next sign-in with the password sets up a new one."""
    await queries.lock_person(conn, person_id=person_id)
    await queries.update_totp(conn, person_id=person_id, totp_sealed=None, totp_step=None)
    await proofs.delete_passkeys(conn, person_id=person_id)
    await proofs.delete_recovery_codes(conn, person_id=person_id)
    await record_event(conn, person_id=person_id, actor=actor, action="second_factors_reset")


def hash_recovery_code(person_id: UUID, code: str) -> bytes:
    """79 random bits need no slow hash; the person is part of it, so equal codes of two people look different."""
    return hashlib.sha256(person_id.bytes + plain_recovery_code(code).encode()).digest()
