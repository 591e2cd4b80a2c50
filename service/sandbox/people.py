"""The people who sign in to the demo, made as real ones are: invited, a password chosen, an app set up.

Their passwords and the secrets of their apps are drawn anew for each installation and kept beside the sandbox's own
data, readable by the owner of the data alone. No such person exists, and nobody reads mail at `.example`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import pyotp

from service.crypto import Keys
from service.db import Connection, Pool, transaction
from service.organisers.operations import find_organiser
from service.people.authenticator import STEP_S
from service.people.model import Owner, SecondFactorWrong, SignInBlocked, SignInFailed
from service.people.operations import links, second_factors, sessions
from service.people.operations.signing_in import Client, find_by_email, sign_in
from service.providers.operations import find_provider
from service.sandbox.logins import DemoLogin
from service.sandbox.sample import COUNTY, FAMILY_SERVICES, LOADED_BY

_CLIENT = Client(user_agent="Demo", prefix="demo")


@dataclass(frozen=True, slots=True)
class DemoPerson:
    owner: Owner
    role: str
    name: str
    email: str
    language: str


# The admins are whom `demo.json` names: they may do what the others may, so no page is closed to them.
PROVIDER_ADMIN = DemoPerson("provider", "provider_admin", "Pirkko Niemi", "pirkko.niemi@pihlajanmarja.example", "en")
ORGANISER_ADMIN = DemoPerson("organiser", "organiser_admin", "Hanna Harju", "hanna.harju@kuusiranta.example", "en")
CASEWORKER = DemoPerson("organiser", "caseworker", "Katri Kallio", "katri.kallio@kuusiranta.example", "fi")
PEOPLE = (
    DemoPerson("provider", "worker", "Leena Lehto", "leena.lehto@pihlajanmarja.example", "fi"),
    DemoPerson("provider", "office", "Outi Oksa", "outi.oksa@pihlajanmarja.example", "sv"),
    PROVIDER_ADMIN,
    CASEWORKER,
    DemoPerson("organiser", "supervisor", "Stina Sjöberg", "stina.sjoberg@kuusiranta.example", "sv"),
    ORGANISER_ADMIN,
)


async def actor_of(conn: Connection, keys: Keys, person: DemoPerson) -> str:
    """As what this person does is noted. For one that is loaded."""
    there = await find_by_email(conn, keys, person.email)
    assert there is not None, person.name
    return f"person:{there.person_id}"


async def load_people(pool: Pool, keys: Keys, known: Sequence[DemoLogin]) -> Sequence[DemoLogin]:
    """The known log-ins where they still work, new ones where not; idempotent.

    Whoever is there already without a password that is known gets another one by a new invitation, as a colleague who
    forgot everything would.
    """
    passwords = {each.email: each for each in known}
    return await asyncio.gather(*(_load_person(pool, keys, person, passwords.get(person.email)) for person in PEOPLE))


async def _load_person(pool: Pool, keys: Keys, person: DemoPerson, known: DemoLogin | None) -> DemoLogin:
    if known is not None and await _still_works(pool, keys, known):
        return known
    password = secrets.token_urlsafe(12)
    token = await _invite(pool, keys, person)
    session_token = await links.accept_invitation(
        pool, keys, token, name=person.name, password=password, language=person.language, client=_CLIENT
    )
    return DemoLogin(
        owner=person.owner,
        role=person.role,
        name=person.name,
        email=person.email,
        password=password,
        totp_secret=await _set_up_app(pool, keys, session_token),
    )


async def _still_works(pool: Pool, keys: Keys, login: DemoLogin) -> bool:
    """Whether the password is right and a second factor is set up; the code itself works once and is not tried."""
    try:
        token = await sign_in(pool, keys, email=login.email, password=login.password, client=_CLIENT)
    except (SignInFailed, SignInBlocked):
        return False
    async with transaction(pool) as conn:
        session = await sessions.find_session(conn, token)
        if session is None:
            return False
        await sessions.end_session(conn, person_id=session.person_id, session_id=session.session_id)
    return session.stage == "second_factor"


async def _invite(pool: Pool, keys: Keys, person: DemoPerson) -> str:
    """The token of the link. Its mail is never sent: the link is used before a worker comes to it."""
    async with transaction(pool) as conn:
        owner_id, owner_name = await _find_owner(conn, person.owner)
        there = await find_by_email(conn, keys, person.email)
        if there is None:
            invited = await links.invite(
                conn,
                keys,
                owner=person.owner,
                owner_id=owner_id,
                role=person.role,
                name=person.name,
                email=person.email,
                language=person.language,
                inviter=owner_name,
                actor=LOADED_BY,
            )
        else:
            await second_factors.reset_second_factors(conn, person_id=there.person_id, actor=LOADED_BY)
            invited = await links.invite_again(
                conn, keys, person_id=there.person_id, inviter=owner_name, actor=LOADED_BY
            )
        return invited.token


async def _find_owner(conn: Connection, owner: Owner) -> tuple[UUID, str]:
    if owner == "organiser":
        county = await find_organiser(conn, COUNTY)
        return county.organiser_id, county.name
    company = await find_provider(conn, FAMILY_SERVICES.business_id)
    return company.provider_id, company.name


async def _set_up_app(pool: Pool, keys: Keys, session_token: str) -> str:
    """Confirm the app with the code before the present one, which is left for whoever signs in at once."""
    async with transaction(pool) as conn:
        session = await sessions.find_session(conn, session_token)
        assert session is not None, "it began a moment ago"
        secret = await second_factors.offer_app(conn, keys, session)
    try:
        await _confirm_app(pool, keys, session_token, secret)
    except SecondFactorWrong:  # half a minute ended between making the code and looking at it
        await _confirm_app(pool, keys, session_token, secret)
    return secret


async def _confirm_app(pool: Pool, keys: Keys, session_token: str, secret: str) -> None:
    async with transaction(pool) as conn:
        session = await sessions.find_session(conn, session_token)
        assert session is not None, "it began a moment ago"
        await second_factors.confirm_app(conn, keys, session, pyotp.TOTP(secret).at(int(time.time()) - STEP_S))
        await sessions.end_session(conn, person_id=session.person_id, session_id=session.session_id)
