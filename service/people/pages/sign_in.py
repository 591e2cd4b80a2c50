"""Signing in: the password, then the second step; setting that up the first time; and the way back in."""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import replace
from typing import Protocol, cast
from urllib.parse import urlencode

from service.channels.rendering import qr_png
from service.db import transaction
from service.people.authenticator import app_address
from service.people.model import SignInUnfinished
from service.people.openid import OpenIdProvider
from service.people.operations import links, passkeys, second_factors, sessions
from service.people.operations.accounts import find_person
from service.people.operations.sessions import Session
from service.people.operations.signing_in import Client, finish_sign_in, sign_in
from service.web.pages import PageCall, PageReply, PageRoute, home_address, redirect, render, safe_next

SECOND_STEP, SET_UP = "/sign-in/second-step", "/sign-in/set-up"
FORGOTTEN_TAKES_S = 0.5


class PeopleResources(Protocol):
    @property
    def openid(self) -> OpenIdProvider | None: ...


def client_of(call: PageCall) -> Client:
    return Client(user_agent=call.browser, prefix=call.client_prefix)


def openid_of(call: PageCall) -> OpenIdProvider | None:
    return cast(PeopleResources, call.resources).openid


def with_next(call: PageCall, path: str) -> str:
    """The path, keeping where somebody wanted to go."""
    there = safe_next(call.value("next") or call.query.get("next"))
    return f"{path}?{urlencode({'next': there})}" if there else path


def onward(call: PageCall, role: str) -> str:
    """Where somebody goes who has just signed in."""
    return safe_next(call.value("next") or call.query.get("next")) or home_address(call, role)


def qr_picture(text: str) -> str:
    """A QR code as an address that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(qr_png(text)).decode()


async def unfinished(call: PageCall) -> Session:
    """The session of somebody who has proved a password and no more. Raises SignInUnfinished."""
    async with transaction(call.resources.pool) as conn:
        session = await sessions.find_session(conn, call.session_token)
    if session is None or session.stage == "full":
        raise SignInUnfinished
    return session


async def show_sign_in(call: PageCall) -> PageReply:
    """E-mail address and password, or the organisation's own account."""
    if call.known_visitor is not None:
        return await redirect(call, onward(call, call.visitor.role))
    said = "out" if "out" in call.query else "ended" if "ended" in call.query else None
    said = "kept" if call.query.get("ended") == "kept" else said
    said = "changed" if "changed" in call.query else said
    return await render(
        call,
        "people/sign_in.html",
        said=said if call.problem is None else None,
        next=with_next(call, ""),
        organisation=with_next(call, "/sign-in/organisation") if openid_of(call) else None,
    )


async def do_sign_in(call: PageCall) -> PageReply:
    """The first step."""
    token = await sign_in(
        call.resources.pool,
        call.resources.keys,
        email=call.value("email"),
        password=call.secret("password"),
        client=client_of(call),
    )
    async with transaction(call.resources.pool) as conn:
        session = await sessions.find_session(conn, token)
    path = SET_UP if session is not None and session.stage == "enrol" else SECOND_STEP
    return await redirect(call, with_next(call, path), session=token)


async def show_second_step(call: PageCall) -> PageReply:
    """A one-time code, a passkey, or a recovery code."""
    session = await unfinished(call)
    if session.stage == "enrol":
        return await redirect(call, with_next(call, SET_UP))
    site = passkeys.site_of(call.resources.settings.public_url)
    async with transaction(call.resources.pool) as conn:
        person = await find_person(conn, session.person_id)
        options = await passkeys.ask_for_passkey(conn, session, site=site) if site else None
    return await render(call, "people/second_step.html", person=person, options=options, next=with_next(call, ""))


async def take_code(call: PageCall) -> PageReply:
    """The second step with the app."""
    session = await unfinished(call)
    token = await second_factors.sign_in_with_code(
        call.resources.pool, call.resources.keys, session, call.value("code"), prefix=call.client_prefix
    )
    return await redirect(call, onward(call, session.role), session=token)


async def take_passkey(call: PageCall) -> PageReply:
    """The second step with a passkey."""
    session = await unfinished(call)
    token = await passkeys.sign_in_with_passkey(
        call.resources.pool,
        session,
        answer=call.value("credential", limit=passkeys.ANSWER_MAX),
        public_url=call.resources.settings.public_url,
    )
    return await redirect(call, onward(call, session.role), session=token)


async def take_recovery_code(call: PageCall) -> PageReply:
    """The second step with a code on paper; the account page then shows how many are left."""
    session = await unfinished(call)
    token = await second_factors.sign_in_with_recovery_code(
        call.resources.pool, call.resources.keys, session, call.value("recovery_code"), prefix=call.client_prefix
    )
    return await redirect(call, "/account", session=token)


async def show_set_up(call: PageCall) -> PageReply:
    """The second step is set up before anything else is shown."""
    session = await unfinished(call)
    if session.stage != "enrol":
        return await redirect(call, with_next(call, SECOND_STEP))
    site = passkeys.site_of(call.resources.settings.public_url)
    async with transaction(call.resources.pool) as conn:
        secret = await second_factors.offer_app(conn, call.resources.keys, session)
        options = await passkeys.offer_passkey(conn, session, site=site) if site else None
    return await render(
        call,
        "people/set_up.html",
        secret=secret,
        picture=qr_picture(app_address(secret, session.name)),
        options=options,
        next=with_next(call, ""),
    )


async def set_up_app(call: PageCall) -> PageReply:
    """The app shows the right code: signed in, with recovery codes to keep."""
    session = await _enrolling(call)
    async with transaction(call.resources.pool) as conn:
        await second_factors.confirm_app(conn, call.resources.keys, session, call.value("code"))
        codes = await second_factors.new_recovery_codes(conn, person_id=session.person_id, actor=session.actor)
        token = await finish_sign_in(conn, session, how="with_app")
    return await _show_codes(call, session, codes, token)


async def set_up_passkey(call: PageCall) -> PageReply:
    """The browser made a passkey: signed in, with recovery codes to keep."""
    session = await _enrolling(call)
    async with transaction(call.resources.pool) as conn:
        await passkeys.add_passkey(
            conn,
            session,
            answer=call.value("credential", limit=passkeys.ANSWER_MAX),
            name=call.browser,
            public_url=call.resources.settings.public_url,
        )
        codes = await second_factors.new_recovery_codes(conn, person_id=session.person_id, actor=session.actor)
        token = await finish_sign_in(conn, session, how="with_passkey")
    return await _show_codes(call, session, codes, token)


async def _enrolling(call: PageCall) -> Session:
    session = await unfinished(call)
    if session.stage != "enrol":
        raise SignInUnfinished
    return session


async def _show_codes(call: PageCall, session: Session, codes: object, token: str) -> PageReply:
    shown = await render(call, "people/recovery_codes.html", codes=codes, onward=onward(call, session.role))
    return replace(shown, session=token)


async def show_forgotten(call: PageCall) -> PageReply:
    """Ask for a link to choose a new password by."""
    return await render(call, "people/forgotten.html", asked="sent" in call.query)


async def ask_for_link(call: PageCall) -> PageReply:
    """The same answer after the same time, whoever has the address or nobody."""
    started = time.monotonic()
    async with transaction(call.resources.pool) as conn:
        message_id = await links.ask_for_new_password(conn, call.resources.keys, email=call.value("email"))
    if message_id is not None:
        call.resources.wakeups.wake(message_id)
    await asyncio.sleep(max(0.0, started + FORGOTTEN_TAKES_S - time.monotonic()))
    return await redirect(call, "/sign-in/forgotten?sent=1")


async def show_new_password(call: PageCall) -> PageReply:
    """Choose a new password by a mailed link."""
    async with transaction(call.resources.pool) as conn:
        person = await links.find_linked(conn, call.resources.keys, "recovery", call.raw.match_info["token"])
    return await render(call, "people/new_password.html", person=person)


async def take_new_password(call: PageCall) -> PageReply:
    """Keep the new password; one signs in with it and the second step then."""
    await links.choose_new_password(
        call.resources.pool,
        call.resources.keys,
        call.raw.match_info["token"],
        password=call.secret("password"),
    )
    return await redirect(call, "/sign-in?changed=1")


async def show_invitation(call: PageCall) -> PageReply:
    """Who is invited by whom, and the form for a name and a password."""
    async with transaction(call.resources.pool) as conn:
        person = await links.find_linked(conn, call.resources.keys, "invitation", call.raw.match_info["token"])
    return await render(call, "people/invitation.html", person=person)


async def take_invitation(call: PageCall) -> PageReply:
    """Keep name and password, and go on to the second step."""
    token = await links.accept_invitation(
        call.resources.pool,
        call.resources.keys,
        call.raw.match_info["token"],
        name=call.value("name"),
        password=call.secret("password"),
        language=call.language,
        client=client_of(call),
    )
    return await redirect(call, SET_UP, session=token)


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", "/sign-in", show_sign_in, roles=None, summary="Sign in"),
    PageRoute("POST", "/sign-in", do_sign_in, roles=None, summary="Sign in: the password", form=show_sign_in),
    PageRoute("GET", SECOND_STEP, show_second_step, roles=None, summary="Sign in: the second step"),
    PageRoute("POST", SECOND_STEP, take_code, roles=None, summary="Sign in with the app", form=show_second_step),
    PageRoute(
        "POST", "/sign-in/passkey", take_passkey, roles=None, summary="Sign in with a passkey", form=show_second_step
    ),
    PageRoute(
        "POST",
        "/sign-in/recovery-code",
        take_recovery_code,
        roles=None,
        summary="Sign in with a recovery code",
        form=show_second_step,
    ),
    PageRoute("GET", SET_UP, show_set_up, roles=None, summary="Set up the second step"),
    PageRoute("POST", SET_UP, set_up_app, roles=None, summary="Set up an authenticator app", form=show_set_up),
    PageRoute(
        "POST", "/sign-in/set-up/passkey", set_up_passkey, roles=None, summary="Set up a passkey", form=show_set_up
    ),
    PageRoute("GET", "/sign-in/forgotten", show_forgotten, roles=None, summary="Forgotten password"),
    PageRoute("POST", "/sign-in/forgotten", ask_for_link, roles=None, summary="Ask for a link"),
    PageRoute("GET", "/sign-in/new-password/{token}", show_new_password, roles=None, summary="A new password"),
    PageRoute(
        "POST",
        "/sign-in/new-password/{token}",
        take_new_password,
        roles=None,
        summary="Keep the new password",
        form=show_new_password,
    ),
    PageRoute("GET", "/invitation/{token}", show_invitation, roles=None, summary="An invitation"),
    PageRoute("POST", "/invitation/{token}", take_invitation, roles=None, summary="Accept it", form=show_invitation),
)
