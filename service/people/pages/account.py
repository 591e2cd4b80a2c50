"""One's own account: what one signs in with, where one is signed in, one's language; and signing out."""

from __future__ import annotations

from service.db import transaction
from service.people.model import ALL_ROLES, SessionUnknown
from service.people.operations import accounts, sessions
from service.web.pages import PAGE_LANGUAGES, PageCall, PageReply, PageRoute, redirect, render, safe_next


async def show_account(call: PageCall) -> PageReply:
    """What one signs in with, and where one is signed in."""
    visitor = call.visitor
    async with transaction(call.resources.pool) as conn:
        mine = await sessions.list_sessions(conn, person_id=visitor.person_id, role=visitor.role)
    return await render(call, "people/account.html", sessions=mine)


async def end_session(call: PageCall) -> PageReply:
    """Sign out elsewhere: one session."""
    visitor = call.visitor
    session_id = call.path_id("session_id", SessionUnknown)
    async with transaction(call.resources.pool) as conn:
        await sessions.end_session(conn, person_id=visitor.person_id, session_id=session_id)
    if session_id == visitor.session_id:
        return PageReply(status=303, headers={"Location": "/sign-in"}, ends_session=True)
    return await redirect(call, "/account", note=call.gettext("That device is signed out."))


async def end_other_sessions(call: PageCall) -> PageReply:
    """Sign out everywhere but here."""
    visitor = call.visitor
    async with transaction(call.resources.pool) as conn:
        await sessions.end_other_sessions(conn, person_id=visitor.person_id, kept=visitor.session_id)
    return await redirect(call, "/account", note=call.gettext("You are signed out everywhere else."))


async def sign_out(call: PageCall) -> PageReply:
    """End this session, if there still is one."""
    if call.known_visitor is not None:
        async with transaction(call.resources.pool) as conn:
            await sessions.end_session(conn, person_id=call.visitor.person_id, session_id=call.visitor.session_id)
    return PageReply(status=303, headers={"Location": "/sign-in?out=1"}, ends_session=True)


async def choose_language(call: PageCall) -> PageReply:
    """One's own language, from now on and everywhere."""
    language = call.value("language")
    if language in PAGE_LANGUAGES:
        async with transaction(call.resources.pool) as conn:
            await accounts.choose_language(conn, person_id=call.visitor.person_id, language=language)
    return await redirect(call, safe_next(call.value("next")) or "/account")


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", "/account", show_account, roles=ALL_ROLES, summary="One's own account"),
    PageRoute("POST", "/account/language", choose_language, roles=ALL_ROLES, summary="Choose one's language"),
    PageRoute(
        "POST", "/account/sessions/end-others", end_other_sessions, roles=ALL_ROLES, summary="Sign out elsewhere"
    ),
    PageRoute(
        "POST", "/account/sessions/{session_id}/end", end_session, roles=ALL_ROLES, summary="Sign out one device"
    ),
    PageRoute("POST", "/sign-out", sign_out, roles=None, summary="Sign out"),
)
