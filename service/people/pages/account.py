"""One's own account: what one signs in with, where one is signed in, one's language; and signing out."""

from __future__ import annotations

from typing import Literal

from service.db import transaction
from service.errors import InvalidRequest
from service.people.authenticator import app_address
from service.people.model import ALL_ROLES, PasskeyUnknown, SessionUnknown, SignInFailed, SignInUnfinished
from service.people.operations import accounts, passkeys, second_factors, sessions
from service.people.operations.sessions import Session
from service.people.operations.signing_in import change_password, prove_password
from service.people.pages.sign_in import qr_picture
from service.people.pages.words import event_name, role_name
from service.web.pages import PAGE_LANGUAGES, PageCall, PageHandler, PageReply, PageRoute, redirect, render, safe_next

ACCOUNT = "/account"


async def own_session(call: PageCall) -> Session:
    """The session that this page is looked at with. Raises SignInUnfinished when it has just ended."""
    async with transaction(call.resources.pool) as conn:
        session = await sessions.find_session(conn, call.session_token)
    if session is None:
        raise SignInUnfinished
    return session


async def show_account(call: PageCall) -> PageReply:
    """What one signs in with, and where one is signed in."""
    visitor = call.visitor
    async with transaction(call.resources.pool) as conn:
        person = await accounts.find_person(conn, visitor.person_id)
        mine = await sessions.list_sessions(conn, person_id=visitor.person_id, role=visitor.role)
        keys = await passkeys.list_passkeys(conn, person_id=visitor.person_id)
        codes_left = await second_factors.recovery_codes_left(conn, person_id=visitor.person_id)
        events = await accounts.list_events(conn, person_id=visitor.person_id)
    return await render(
        call,
        "people/account.html",
        person=person,
        role=role_name(call, visitor.role),
        sessions=mine,
        passkeys=keys,
        codes_left=codes_left,
        has_passkeys=passkeys.site_of(call.resources.settings.public_url) is not None,
        events=[(event_name(call, event.action), event.recorded_at) for event in events],
    )


async def show_password(call: PageCall) -> PageReply:
    """The form for another password."""
    return await render(call, "people/change_password.html")


async def take_password(call: PageCall) -> PageReply:
    """Keep another password; everywhere else one is signed out."""
    visitor = call.visitor
    try:
        await change_password(
            call.resources.pool,
            call.resources.keys,
            visitor.session_id,
            visitor.person_id,
            old=call.secret("old"),
            new=call.secret("password"),
            prefix=call.client_prefix,
        )
    except SignInFailed:  # whose sentence speaks of signing in
        reason = call.gettext("This is not your present password.")
        raise InvalidRequest(fields=[{"field": "old", "reason": reason}]) from None
    return await redirect(
        call, ACCOUNT, note=call.gettext("Your password is changed. You are signed out everywhere else.")
    )


async def show_app(call: PageCall) -> PageReply:
    """The QR code of an authenticator app, in place of an earlier one."""
    session = await own_session(call)
    async with transaction(call.resources.pool) as conn:
        secret = await second_factors.offer_app(conn, call.resources.keys, session)
        person = await accounts.find_person(conn, session.person_id)
    picture = qr_picture(app_address(secret, session.name))
    return await render(call, "people/app.html", secret=secret, picture=picture, person=person)


async def take_app(call: PageCall) -> PageReply:
    """Keep the app once it shows the right code."""
    session = await own_session(call)
    await _prove(call)
    async with transaction(call.resources.pool) as conn:
        await second_factors.confirm_app(conn, call.resources.keys, session, call.value("code"))
    return await redirect(call, ACCOUNT, note=call.gettext("The authenticator app is in use."))


async def remove_app(call: PageCall) -> PageReply:
    """Sign in with passkeys alone from now on."""
    async with transaction(call.resources.pool) as conn:
        await second_factors.remove_app(conn, person_id=call.visitor.person_id, actor=call.visitor.actor)
    return await redirect(call, ACCOUNT, note=call.gettext("The authenticator app is removed."))


async def show_passkey(call: PageCall) -> PageReply:
    """Make a passkey."""
    session, site = await own_session(call), passkeys.site_of(call.resources.settings.public_url)
    async with transaction(call.resources.pool) as conn:
        options = await passkeys.offer_passkey(conn, session, site=site) if site else None
        person = await accounts.find_person(conn, session.person_id)
    return await render(call, "people/passkey.html", options=options, person=person)


async def take_passkey(call: PageCall) -> PageReply:
    """Keep a passkey that the browser made."""
    session = await own_session(call)
    await _prove(call)
    async with transaction(call.resources.pool) as conn:
        await passkeys.add_passkey(
            conn,
            session,
            answer=call.value("credential", limit=passkeys.ANSWER_MAX),
            name=call.value("name", limit=60) or call.browser,
            public_url=call.resources.settings.public_url,
        )
    return await redirect(call, ACCOUNT, note=call.gettext("The passkey is added."))


async def remove_passkey(call: PageCall) -> PageReply:
    """Forget a passkey, unless it is the last way to take the second step."""
    passkey_id = call.path_id("passkey_id", PasskeyUnknown)
    async with transaction(call.resources.pool) as conn:
        await passkeys.remove_passkey(
            conn, person_id=call.visitor.person_id, passkey_id=passkey_id, actor=call.visitor.actor
        )
    return await redirect(call, ACCOUNT, note=call.gettext("The passkey is removed."))


async def show_new_codes(call: PageCall) -> PageReply:
    """Ask for the password before new recovery codes are made."""
    async with transaction(call.resources.pool) as conn:
        person = await accounts.find_person(conn, call.visitor.person_id)
    return await render(call, "people/new_codes.html", person=person)


async def make_new_codes(call: PageCall) -> PageReply:
    """New recovery codes in place of the old ones, shown once."""
    await _prove(call)
    async with transaction(call.resources.pool) as conn:
        codes = await second_factors.new_recovery_codes(
            conn, person_id=call.visitor.person_id, actor=call.visitor.actor
        )
    return await render(call, "people/recovery_codes.html", codes=codes, onward=ACCOUNT)


async def _prove(call: PageCall) -> None:
    """Whoever has a password types it again before what an open screen must not allow."""
    async with transaction(call.resources.pool) as conn:
        person = await accounts.find_person(conn, call.visitor.person_id)
    if person.has_password:
        await prove_password(
            call.resources.pool,
            call.resources.keys,
            person.person_id,
            password=call.secret("password"),
            prefix=call.client_prefix,
        )


async def end_session(call: PageCall) -> PageReply:
    """Sign out elsewhere: one session."""
    visitor = call.visitor
    session_id = call.path_id("session_id", SessionUnknown)
    async with transaction(call.resources.pool) as conn:
        await sessions.end_session(conn, person_id=visitor.person_id, session_id=session_id)
    if session_id == visitor.session_id:
        return PageReply(status=303, headers={"Location": "/sign-in"}, ends_session=True)
    return await redirect(call, ACCOUNT, note=call.gettext("That device is signed out."))


async def end_other_sessions(call: PageCall) -> PageReply:
    """Sign out everywhere but here."""
    visitor = call.visitor
    async with transaction(call.resources.pool) as conn:
        await sessions.end_other_sessions(conn, person_id=visitor.person_id, kept=visitor.session_id)
    return await redirect(call, ACCOUNT, note=call.gettext("You are signed out everywhere else."))


async def sign_out(call: PageCall) -> PageReply:
    """End this session, if there still is one."""
    if call.known_visitor is not None:
        visitor = call.known_visitor
        async with transaction(call.resources.pool) as conn:
            await sessions.end_session(conn, person_id=visitor.person_id, session_id=visitor.session_id)
    return PageReply(status=303, headers={"Location": "/sign-in?out=1"}, ends_session=True)


async def choose_language(call: PageCall) -> PageReply:
    """One's own language, from now on and everywhere."""
    language = call.value("language")
    if language in PAGE_LANGUAGES:
        async with transaction(call.resources.pool) as conn:
            await accounts.choose_language(conn, person_id=call.visitor.person_id, language=language)
    return await redirect(call, safe_next(call.value("next")) or ACCOUNT)


def _page(
    method: Literal["GET", "POST"], path: str, handler: PageHandler, summary: str, form: PageHandler | None = None
) -> PageRoute:
    return PageRoute(method, path, handler, roles=ALL_ROLES, summary=summary, form=form)


PAGES: tuple[PageRoute, ...] = (
    _page("GET", ACCOUNT, show_account, "One's own account"),
    _page("GET", "/account/password", show_password, "Change one's password"),
    _page("POST", "/account/password", take_password, "Keep another password", show_password),
    _page("GET", "/account/app", show_app, "Set up an authenticator app"),
    _page("POST", "/account/app", take_app, "Keep the app", show_app),
    _page("POST", "/account/app/remove", remove_app, "Remove the app", show_account),
    _page("GET", "/account/passkey", show_passkey, "Make a passkey"),
    _page("POST", "/account/passkey", take_passkey, "Keep a passkey", show_passkey),
    _page("POST", "/account/passkeys/{passkey_id}/remove", remove_passkey, "Remove a passkey", show_account),
    _page("GET", "/account/recovery-codes", show_new_codes, "New recovery codes"),
    _page("POST", "/account/recovery-codes", make_new_codes, "Make recovery codes", show_new_codes),
    _page("POST", "/account/language", choose_language, "Choose one's language"),
    _page("POST", "/account/sessions/end-others", end_other_sessions, "Sign out elsewhere"),
    _page("POST", "/account/sessions/{session_id}/end", end_session, "Sign out one device", show_account),
    PageRoute("POST", "/sign-out", sign_out, roles=None, summary="Sign out"),
)
