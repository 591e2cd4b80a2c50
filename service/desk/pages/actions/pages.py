"""The page of an action, and doing it once for each form that was shown."""

from __future__ import annotations

import json
import secrets
from uuid import UUID

from asyncpg import Record

from service.channels.languages import SERVED
from service.db import Connection, transaction
from service.desk import operations as desk
from service.desk.pages.actions.action import Action
from service.desk.pages.actions.visits import action_for, find_visit, is_possible
from service.desk.pages.actions.vouchers import ACTIONS, VOID
from service.desk.pages.forms import CASEWORK, today, with_words
from service.idempotency import claim_or_replay, make_claim, store_answer
from service.organisers.operations import organiser_by_id
from service.vouchers import operations
from service.vouchers.model import VoucherUnknown
from service.vouchers.operations import Sent
from service.web.errors import RouteNotFound
from service.web.pages import PageCall, PageReply, PageRoute, redirect, render

KEY_BYTES = 16
KEY_PREFIX = "desk:"
VISIT_PATH = "/desk/vouchers/{voucher_id}/visits/{debit_id}/{action}"


async def show_action(call: PageCall) -> PageReply:
    """What happens, and the question why."""
    voucher_id, organiser_id = call.path_id("voucher_id", VoucherUnknown), call.visitor.owner_id
    async with transaction(call.resources.pool) as conn:
        view = await operations.voucher_view(
            conn, call.resources.keys, organiser_id=organiser_id, voucher_id=voucher_id, today=today()
        )
        action, visit = await _action(call, conn, voucher_id)
        await desk.record_view(conn, organiser_id=organiser_id, voucher_id=voucher_id, actor=call.visitor.actor)
    return await render(
        call,
        "desk/action.html",
        action=action,
        view=view,
        voucher=view.voucher,
        visit=visit,
        is_possible=visit is None or is_possible(action, visit),
        key=call.value("key") or secrets.token_urlsafe(KEY_BYTES),
        languages_served=[("", call.gettext("as before")), *((each.code, each.name) for each in SERVED.values())],
        channels=[each.channel for each in view.suppressions],
        today=today(),
    )


async def act(call: PageCall) -> PageReply:
    """Do it once for each form that was shown, and say so."""
    voucher_id = call.path_id("voucher_id", VoucherUnknown)
    async with transaction(call.resources.pool) as conn:
        organiser = await organiser_by_id(conn, call.visitor.owner_id)
        action, _ = await _action(call, conn, voucher_id)
        key = call.value("key", limit=100)
        claim = make_claim(
            call.resources.keys.index,
            owner_id=call.visitor.owner_id,
            key=KEY_PREFIX + (key or secrets.token_urlsafe(KEY_BYTES)),
            method="POST",
            path=call.raw.path,
            body=json.dumps([[name, call.value(name)] for name in sorted(call.form) if name != "csrf"]),
            language=call.language,
        )
        sent: Sent | None = None
        if await claim_or_replay(conn, claim) is None:
            sent = await action.do(call, conn, organiser, voucher_id)
            await store_answer(conn, claim, b"{}")
    path = f"/desk/vouchers/{voucher_id}"
    if sent is not None:
        call.resources.wakeups.wake(sent.message_id)
        path += "/delivery"
    return await redirect(call, path, note=call.gettext(action.done))


async def _action(call: PageCall, conn: Connection, voucher_id: UUID) -> tuple[Action, Record | None]:
    """What the address asks for, and the visit that it is about, if it is about one."""
    asked = call.raw.match_info
    visit = await find_visit(conn, call, voucher_id) if "debit_id" in asked else None
    if "hold_id" in asked:
        return VOID, None
    action = ACTIONS.get(asked["action"]) if visit is None else action_for(asked["action"], visit)
    if action is None:
        raise RouteNotFound
    return action, visit


PAGES: tuple[PageRoute, ...] = tuple(
    route
    for path in (
        "/desk/vouchers/{voucher_id}/holds/{hold_id}/void",
        "/desk/vouchers/{voucher_id}/do/{action}",
        VISIT_PATH,
    )
    for route in (
        PageRoute("GET", path, show_action, roles=CASEWORK, summary="What would happen to a voucher or a visit"),
        PageRoute("POST", path, act, roles=CASEWORK, summary="Do it", form=with_words(show_action)),
    )
)
