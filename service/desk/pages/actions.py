"""What a caseworker does to a voucher: each on a page of its own that says what happens and asks why, then once."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from service.channels.languages import SERVED
from service.db import Connection, transaction
from service.desk import operations as desk
from service.desk.pages.forms import (
    CASEWORK,
    Address,
    Amount,
    Day,
    Reason,
    Ref,
    Ticked,
    Times,
    read_amount,
    read_day,
    today,
    with_words,
    wrong,
)
from service.idempotency import claim_or_replay, make_claim, store_answer
from service.money import Unit
from service.organisers.model import Organiser
from service.organisers.operations import organiser_by_id
from service.vouchers import operations
from service.vouchers.changes import AskedChange, Cap
from service.vouchers.model import (
    SENDABLE,
    ContactChange,
    DecisionStatus,
    ShownState,
    VoucherHoldUnknown,
    VoucherState,
    VoucherUnknown,
    VoucherView,
)
from service.vouchers.operations import Sent
from service.web.errors import RouteNotFound
from service.web.pages import N_, FormModel, PageCall, PageReply, PageRoute, redirect, render

KEY_BYTES = 16
KEY_PREFIX = "desk:"


class ReasonForm(FormModel):
    reason: Reason


class CancelForm(ReasonForm):
    from_date: Day | None = None
    sure: Literal["yes"]


class ContactForm(ReasonForm):
    phone: Address | None = None
    email: Address | None = None
    no_phone: Ticked = None
    no_email: Ticked = None
    language: Annotated[str, Field(max_length=5)] | None = None
    preferred: Literal["sms", "email"] | None = None


class ChangeForm(ReasonForm):
    decision_ref: Ref
    from_date: Day | None = None
    granted: Amount | None = None
    weekly_visits: Times | None = None
    no_weekly_visits: Ticked = None
    weekly_hours: Amount | None = None
    no_weekly_hours: Ticked = None
    valid_to: Day | None = None


class LiftForm(ReasonForm):
    channel: Literal["sms", "email"]
    asked_by_family: Ticked = None


Do = Callable[[PageCall, Connection, Organiser, UUID], Awaitable[Sent | None]]


@dataclass(frozen=True, slots=True)
class Action:
    """`explanation` says what happens, before it does; `needs_form` False is done with its button at once."""

    name: str
    title: str
    explanation: str
    done: str
    do: Do
    is_final: bool = False
    needs_form: bool = True


async def _resend(call: PageCall, conn: Connection, organiser: Organiser, voucher_id: UUID) -> Sent:
    return await operations.resend(
        conn,
        call.resources.keys,
        organiser=organiser,
        voucher_id=voucher_id,
        actor=call.visitor.actor,
        reason=call.form_as(ReasonForm).reason,
        today=today(),
        per_day=call.resources.settings.resends_per_day,
    )


async def _replace_code(call: PageCall, conn: Connection, organiser: Organiser, voucher_id: UUID) -> Sent:
    return await operations.replace_code(
        conn,
        call.resources.keys,
        organiser=organiser,
        voucher_id=voucher_id,
        actor=call.visitor.actor,
        reason=call.form_as(ReasonForm).reason,
        today=today(),
        code_digits=call.resources.settings.code_digits,
    )


async def _contact(call: PageCall, conn: Connection, organiser: Organiser, voucher_id: UUID) -> Sent:
    form = call.form_as(ContactForm)
    removed = frozenset(name for name, gone in (("phone", form.no_phone), ("email", form.no_email)) if gone)
    if not (removed or form.phone or form.email or form.language or form.preferred):
        raise wrong("phone", call.gettext("Fill in what is to be otherwise."))
    return await operations.change_contact(
        conn,
        call.resources.keys,
        organiser=organiser,
        voucher_id=voucher_id,
        change=ContactChange(form.phone, form.email, form.language, form.preferred, removed),
        countries=call.resources.settings.sms_countries,
        actor=call.visitor.actor,
        reason=form.reason,
        today=today(),
        code_digits=call.resources.settings.code_digits,
    )


async def _confirm(call: PageCall, conn: Connection, organiser: Organiser, voucher_id: UUID) -> None:
    await operations.confirm(conn, organiser=organiser, voucher_id=voucher_id, actor=call.visitor.actor)


async def _suspend(call: PageCall, conn: Connection, organiser: Organiser, voucher_id: UUID) -> None:
    reason = call.form_as(ReasonForm).reason
    await operations.suspend(conn, organiser=organiser, voucher_id=voucher_id, actor=call.visitor.actor, reason=reason)


async def _resume(call: PageCall, conn: Connection, organiser: Organiser, voucher_id: UUID) -> None:
    reason = call.form_as(ReasonForm).reason
    await operations.resume(conn, organiser=organiser, voucher_id=voucher_id, actor=call.visitor.actor, reason=reason)


async def _cancel(call: PageCall, conn: Connection, organiser: Organiser, voucher_id: UUID) -> None:
    form = call.form_as(CancelForm)
    await operations.cancel(
        conn,
        organiser=organiser,
        voucher_id=voucher_id,
        actor=call.visitor.actor,
        reason=form.reason,
        from_date=read_day(call, "from_date", form.from_date) if form.from_date else None,
        today=today(),
    )


async def _lift(call: PageCall, conn: Connection, organiser: Organiser, voucher_id: UUID) -> None:
    form = call.form_as(LiftForm)
    await operations.lift_suppression(
        conn,
        call.resources.keys,
        organiser=organiser,
        voucher_id=voucher_id,
        channel=form.channel,
        actor=call.visitor.actor,
        reason=form.reason,
        asked_by_family=form.asked_by_family is not None,
    )


async def _change(call: PageCall, conn: Connection, organiser: Organiser, voucher_id: UUID) -> Sent | None:
    form = call.form_as(ChangeForm)
    voucher = await operations.find_voucher(conn, organiser_id=organiser.organiser_id, voucher_id=voucher_id)
    asked = AskedChange(
        decision_ref=form.decision_ref,
        from_date=read_day(call, "from_date", form.from_date) if form.from_date else None,
        granted=read_amount(call, "granted", form.granted, voucher.unit) if form.granted else None,
        weekly_visits=_cap(form.weekly_visits, form.no_weekly_visits),
        weekly_minutes=_cap(
            read_amount(call, "weekly_hours", form.weekly_hours, Unit.MINUTES) if form.weekly_hours else None,
            form.no_weekly_hours,
        ),
        valid_to=read_day(call, "valid_to", form.valid_to) if form.valid_to else None,
    )
    if asked.granted is None and asked.valid_to is None and not asked.has_caps:
        raise wrong("granted", call.gettext("Fill in what is to be otherwise."))
    return await operations.change_voucher(
        conn,
        call.resources.keys,
        organiser=organiser,
        voucher_id=voucher_id,
        asked=asked,
        actor=call.visitor.actor,
        reason=form.reason,
        today=today(),
    )


def _cap(limit: int | None, is_lifted: str | None) -> Cap | None:
    return Cap(None) if is_lifted else None if limit is None else Cap(limit)


async def _void(call: PageCall, conn: Connection, organiser: Organiser, voucher_id: UUID) -> None:
    await operations.void_hold(
        conn,
        organiser=organiser,
        voucher_id=voucher_id,
        hold_id=call.path_id("hold_id", VoucherHoldUnknown),
        actor=call.visitor.actor,
        reason=call.form_as(ReasonForm).reason,
    )


ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        Action(
            "resend",
            N_("Send again"),
            N_("The same code goes to the same contact in a new message."),
            N_("The code is being sent again."),
            _resend,
        ),
        Action(
            "contact",
            N_("Other contact"),
            N_("The old code stops working, and a new one is sent to the new contact."),
            N_("The contact is changed and a new code is being sent."),
            _contact,
            is_final=True,
        ),
        Action(
            "replace-code",
            N_("New code"),
            N_("The old code stops working, and a new one is sent to the same contact."),
            N_("A new code is being sent."),
            _replace_code,
            is_final=True,
        ),
        Action(
            "change",
            N_("Change value, cap or validity"),
            N_("A later decision. The code stays, and the family is sent the text again on the day it begins."),
            N_("The change is kept."),
            _change,
        ),
        Action(
            "confirm",
            N_("The formal decision is out"),
            N_("Providers see the decision as confirmed from now on."),
            N_("The decision is confirmed."),
            _confirm,
            needs_form=False,
        ),
        Action(
            "suspend",
            N_("Stop for now"),
            N_("No visit can be charged until you let the voucher go on. Bookings stay."),
            N_("The voucher is stopped."),
            _suspend,
        ),
        Action(
            "resume",
            N_("Let go on"),
            N_("Visits can be charged again."),
            N_("The voucher can be used again."),
            _resume,
        ),
        Action(
            "lift-suppression",
            N_("Write to the family again"),
            N_("Messages to this contact were stopped. Nothing is sent by this; send again afterwards."),
            N_("The family can be written to again."),
            _lift,
        ),
        Action(
            "cancel",
            N_("Cancel the voucher"),
            N_("No visit from that day on is paid. Earlier visits can still be charged; later bookings are dropped."),
            N_("The voucher is cancelled."),
            _cancel,
            is_final=True,
        ),
    )
}
VOID = Action(
    "void",
    N_("Drop this booking"),
    N_("The provider's booking ends, and its value is free again."),
    N_("The booking is dropped."),
    _void,
    is_final=True,
)


def offered(view: VoucherView, day: date) -> Sequence[Action]:
    """What can be done to the voucher as it is now."""
    state, stored = view.state, view.voucher.state
    is_open = state not in (ShownState.CANCELLED, ShownState.CLOSED)
    allowed = {
        "resend": state in SENDABLE,
        "contact": state in SENDABLE,
        "replace-code": state in SENDABLE,
        "change": is_open,
        "confirm": view.voucher.status is DecisionStatus.PROVISIONAL,
        "suspend": stored in (VoucherState.ISSUED, VoucherState.EXPIRED),
        "resume": stored is VoucherState.SUSPENDED,
        "lift-suppression": bool(view.suppressions),
        "cancel": is_open,
    }
    return [action for name, action in ACTIONS.items() if allowed[name]]


async def show_action(call: PageCall) -> PageReply:
    """What happens, and the question why."""
    action = _action(call)
    voucher_id, organiser_id = call.path_id("voucher_id", VoucherUnknown), call.visitor.owner_id
    async with transaction(call.resources.pool) as conn:
        view = await operations.voucher_view(
            conn, call.resources.keys, organiser_id=organiser_id, voucher_id=voucher_id, today=today()
        )
        await desk.record_view(conn, organiser_id=organiser_id, voucher_id=voucher_id, actor=call.visitor.actor)
    return await render(
        call,
        "desk/action.html",
        action=action,
        view=view,
        voucher=view.voucher,
        key=call.value("key") or secrets.token_urlsafe(KEY_BYTES),
        languages_served=[("", call.gettext("as before")), *((each.code, each.name) for each in SERVED.values())],
        channels=[each.channel for each in view.suppressions],
        today=today(),
    )


async def act(call: PageCall) -> PageReply:
    """Do it once for each form that was shown, and say so."""
    action, voucher_id = _action(call), call.path_id("voucher_id", VoucherUnknown)
    async with transaction(call.resources.pool) as conn:
        organiser = await organiser_by_id(conn, call.visitor.owner_id)
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


def _action(call: PageCall) -> Action:
    if "hold_id" in call.raw.match_info:
        return VOID
    action = ACTIONS.get(call.raw.match_info["action"])
    if action is None:
        raise RouteNotFound
    return action


PAGES: tuple[PageRoute, ...] = tuple(
    route
    for path in ("/desk/vouchers/{voucher_id}/holds/{hold_id}/void", "/desk/vouchers/{voucher_id}/do/{action}")
    for route in (
        PageRoute("GET", path, show_action, roles=CASEWORK, summary="What would happen to a voucher"),
        PageRoute("POST", path, act, roles=CASEWORK, summary="Do it to a voucher", form=with_words(show_action)),
    )
)
