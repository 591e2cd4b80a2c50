"""What a caseworker does to a voucher itself, in words and in deeds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from service.db import Connection
from service.desk.pages.actions.action import Action, ReasonForm, with_reason
from service.desk.pages.forms import (
    Address,
    Amount,
    Day,
    Ref,
    Ticked,
    Times,
    read_amount,
    read_day,
    today,
    wrong,
)
from service.money import Unit
from service.organisers.model import Organiser
from service.vouchers import operations
from service.vouchers.changes import AskedChange, Cap
from service.vouchers.model import (
    SENDABLE,
    ContactChange,
    DecisionStatus,
    ShownState,
    SuppressionIsWish,
    VoucherHoldUnknown,
    VoucherState,
    VoucherView,
)
from service.vouchers.operations import Sent
from service.web.pages import N_, PageCall


class CancelForm(ReasonForm):
    from_date: Day | None = None
    sure: Literal["yes"]


class CorrectDayForm(ReasonForm):
    from_date: Day


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


async def _correct_day(call: PageCall, conn: Connection, organiser: Organiser, voucher_id: UUID) -> None:
    form = call.form_as(CorrectDayForm)
    day = read_day(call, "from_date", form.from_date)
    voucher = await operations.find_voucher(conn, organiser_id=organiser.organiser_id, voucher_id=voucher_id)
    if voucher.cancelled_from is None:  # this is no way around the question whether it is to end for good
        raise wrong("from_date", call.gettext("The voucher is not cancelled."))
    if day == voucher.cancelled_from:
        raise wrong("from_date", call.gettext("That is the day already."))
    await operations.cancel(
        conn,
        organiser=organiser,
        voucher_id=voucher_id,
        actor=call.visitor.actor,
        reason=form.reason,
        from_date=day,
        today=today(),
    )


async def _lift(call: PageCall, conn: Connection, organiser: Organiser, voucher_id: UUID) -> None:
    form = call.form_as(LiftForm)
    try:
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
    except SuppressionIsWish:
        told = call.gettext("The family has stopped these messages itself. Tick this only if it asks for them again.")
        raise wrong("asked_by_family", told) from None


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
            with_reason(operations.suspend),
        ),
        Action(
            "resume",
            N_("Let go on"),
            N_("Visits can be charged again; if the voucher is cancelled, those before that day."),
            N_("The voucher is no longer stopped."),
            with_reason(operations.resume),
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
        Action(
            "correct-day",
            N_("Correct the day of cancelling"),
            N_("What is charged stays charged. A later day brings back no booking; an earlier one drops more of them."),
            N_("The day is corrected."),
            _correct_day,
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
    is_stopped = view.voucher.is_suspended
    allowed = {
        "resend": state in SENDABLE,
        "contact": state in SENDABLE,
        "replace-code": state in SENDABLE,
        "change": is_open,
        "confirm": view.voucher.status is DecisionStatus.PROVISIONAL,
        "suspend": stored is not VoucherState.CLOSED and not is_stopped,
        "resume": stored is not VoucherState.CLOSED and is_stopped,
        "lift-suppression": bool(view.suppressions),
        "cancel": is_open,
        "correct-day": stored is VoucherState.CANCELLED,
    }
    return [action for name, action in ACTIONS.items() if allowed[name]]
