"""`/support`: who is stopped for guessing, and the alarm, for people in a browser. Needs no script.

Whoever opens it shows a support key as the password of HTTP Basic, with any name: nothing to log out of. The cookie is
the anonymous one that every form has, so that another site cannot make a browser send the key with a form of its own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from pydantic import ValidationError

from service.db import autocommit, transaction
from service.guessing import operations
from service.guessing.handlers import SupportReason
from service.guessing.model import REASON_MAX, SUPPORT_READ, SUPPORT_WRITE, BlockUnknown, SupportReasonUnfit
from service.web import Caller
from service.web.errors import BrokenForm
from service.web.pages import N_, PageCall, PageReply, PageRoute, redirect, render

PATH = "/support"
HEADERS = {"X-Robots-Tag": "noindex", "Vary": "Accept-Language, Authorization"}
CHALLENGE = {"WWW-Authenticate": 'Basic realm="Seteli support", charset="UTF-8"'}
KINDS: Mapping[str, str] = {
    "key": N_("Key"),
    "worker": N_("Worker who charges by text"),
    "person": N_("Person signed in to the pages"),
    "unknown": N_("A key that is gone"),
}
DONE: Mapping[str, str] = {
    "lifted": N_("Done. They can go on at once, and the unknown codes so far count no more."),
    "acknowledged": N_("Done. The alarm is off, and the usual limits hold again."),
}


async def show_support(call: PageCall) -> PageReply:
    """Who is stopped, and the alarm; to anybody without a support key the browser's question for a password."""
    caller = await _authenticate(call, SUPPORT_READ)
    if caller is None:
        return await _closed(call)
    async with autocommit(call.resources.pool) as conn:
        seen = await operations.overview(conn)
    done = DONE.get(call.query.get("done", "")) if call.problem is None else None
    reply = await render(
        call,
        "support/support.html",
        blocks=seen.blocks,
        others=seen.others,
        breaker=seen.breaker,
        kinds=KINDS,
        done=done,
        may_write=SUPPORT_WRITE in caller.permissions,
        reason_max=REASON_MAX,
    )
    return replace(reply, headers={**reply.headers, **HEADERS})


async def lift_or_acknowledge(call: PageCall) -> PageReply:
    """Lift a block or acknowledge the alarm, then show the page anew."""
    caller = await _authenticate(call, SUPPORT_WRITE)
    if caller is None:
        return await _closed(call)
    try:
        reason = SupportReason(reason=call.value("reason")).reason
    except ValidationError:
        raise SupportReasonUnfit(max=REASON_MAX) from None
    action = call.value("action")
    async with transaction(call.resources.pool) as conn:
        if action == "acknowledge":
            await operations.acknowledge_breaker(conn, actor=caller.actor, reason=reason)
        elif action == "lift":
            credential_id = _credential_id(call.value("credential_id"))
            await operations.lift_block(conn, credential_id=credential_id, actor=caller.actor, reason=reason)
        else:
            raise BrokenForm
    return await redirect(call, f"{PATH}?done={'acknowledged' if action == 'acknowledge' else 'lifted'}")


async def _closed(call: PageCall) -> PageReply:
    reply = await render(call, "support/closed.html", status=401)
    return replace(reply, headers={**reply.headers, **HEADERS, **CHALLENGE})


async def _authenticate(call: PageCall, permission: str) -> Caller | None:
    scheme, _, encoded = call.raw.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        key = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None
    caller = await call.resources.authenticate(key.strip())
    return caller if caller is not None and permission in caller.permissions else None


def _credential_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BlockUnknown from None


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", PATH, show_support, roles=None, summary="Who is stopped for guessing"),
    PageRoute(
        "POST",
        PATH,
        lift_or_acknowledge,
        roles=None,
        summary="Lift a block, or acknowledge the alarm",
        form=show_support,
    ),
)
PUBLIC = frozenset({PATH})
