"""Booked visits: the list, and charging or cancelling one. A worker sees those of today, and
those that they made themselves."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import date
from typing import Annotated
from uuid import UUID

from asyncpg import Record
from pydantic import Field
from uuid_utils.compat import uuid7

from service.debits import operations
from service.debits.model import HoldNotFound
from service.debits.operations import Verdict
from service.debits.pages.charging import NOT_DECIDED
from service.debits.pages.forms import SizeForm, Ticked, read_amount, read_times, today
from service.debits.pages.sentences import refused
from service.errors import SeteliError
from service.idempotency import Claim, make_claim
from service.money import Unit
from service.people.model import PROVIDER_ROLES
from service.web import status_of
from service.web.pages import N_, FormModel, PageCall, PageReply, PageRoute, redirect, render

SHOWN = 50


class CaptureForm(SizeForm):
    no_show: Ticked = None


class VoidForm(FormModel):
    reason: Annotated[str | None, Field(max_length=200)] = None


async def show_bookings(call: PageCall) -> PageReply:
    """The open bookings; a worker's are those of today, and their own."""
    before = None
    with suppress(ValueError):
        before = UUID(call.query.get("before", ""))
    found = await operations.list_holds(
        call.resources.pool,
        provider_id=call.visitor.owner_id,
        before=before,
        state="held",
        limit=SHOWN + 1,
        service_date=_only_day(call),
        or_made_by=call.visitor.person_id,
    )
    names = await operations.names(call.resources.pool, {row["organiser"] for row in found}, call.language)
    return await render(
        call,
        "provider/bookings.html",
        bookings=found[:SHOWN],
        next_before=found[SHOWN - 1]["hold_id"] if len(found) > SHOWN else None,
        names=names,
        is_workers=_only_day(call) is not None,
    )


async def show_booking(call: PageCall) -> PageReply:
    """One booking, to charge or to cancel."""
    return await _booking(call, key=str(uuid7()))


async def _booking(call: PageCall, *, key: str) -> PageReply:
    booking = await _find(call)
    names = await operations.names(call.resources.pool, {booking["organiser"]}, call.language)
    return await render(
        call, "provider/booking.html", booking=booking, unit=Unit(booking["unit"]), names=names, key=key, today=today()
    )


async def charge_booking(call: PageCall) -> PageReply:
    """Charge a booked visit, as booked or less; a booking is charged once."""
    booking = await _find(call)
    form = call.form_as(CaptureForm)
    times = read_times(call, booking["service_date"], form)
    claim = _claim(call, "charge", form)
    order = replace(
        operations.order_under(claim, call.visitor.person_id),
        amount=read_amount(call, form),
        starts_at=times[0] if times else None,
        ends_at=times[1] if times else None,
        visit_type="no_show" if form.no_show else "visit",
        worker=call.visitor.name,
    )
    try:
        verdict = await operations.capture(
            call.resources.pool, order, hold_id=booking["hold_id"], quiet=call.resources.settings.quiet_hours
        )
    except NOT_DECIDED as error:
        return await _again(call, error, key=_form_key(call))
    if not verdict.is_success:
        return await _again(call, verdict.error(), key=str(uuid7()))
    debit_id = json.loads(verdict.answer)["debit_id"]
    return await redirect(call, f"/provider/history/{debit_id}", note=call.gettext("The booked visit is charged."))


async def cancel_booking(call: PageCall) -> PageReply:
    """Cancel a booking; its value is free again."""
    booking = await _find(call)
    form = call.form_as(VoidForm)
    try:
        verdict: Verdict = await operations.void(
            call.resources.pool,
            _claim(call, "void", form),
            credential_id=call.visitor.person_id,
            hold_id=booking["hold_id"],
            reason=form.reason,
        )
    except NOT_DECIDED as error:
        return await _again(call, error, key=_form_key(call))
    if not verdict.is_success:
        return await _again(call, verdict.error(), key=str(uuid7()))
    return await redirect(call, "/provider/bookings", note=call.gettext("The booking is cancelled."))


async def _again(call: PageCall, error: SeteliError, *, key: str) -> PageReply:
    return replace(await _booking(refused(call, error), key=key), status=status_of(error))


async def _form_again(call: PageCall) -> PageReply:
    return await _booking(call, key=_form_key(call))


async def _find(call: PageCall) -> Record:
    return await operations.find_hold(
        call.resources.pool,
        provider_id=call.visitor.owner_id,
        hold_id=call.path_id("hold_id", HoldNotFound),
        service_date=_only_day(call),
        or_made_by=call.visitor.person_id,
    )


def _only_day(call: PageCall) -> date | None:
    return today() if call.visitor.role == "worker" else None


def _form_key(call: PageCall) -> str:
    """The key that was made when the form was shown; another when there is none that could have been."""
    try:
        return str(UUID(call.value("key")))
    except ValueError:
        return str(uuid7())


def _claim(call: PageCall, action: str, form: FormModel) -> Claim:
    return make_claim(
        call.resources.keys.index,
        owner_id=call.visitor.owner_id,
        key=f"page:{_form_key(call)}:{action}",
        method="POST",
        path=call.raw.path,
        body=form.model_dump_json(),
        language=call.language,
    )


PAGES: tuple[PageRoute, ...] = (
    PageRoute(
        "GET",
        "/provider/bookings",
        show_bookings,
        roles=PROVIDER_ROLES,
        summary="The visits that are booked",
        nav=N_("Bookings"),
    ),
    PageRoute("GET", "/provider/bookings/{hold_id}", show_booking, roles=PROVIDER_ROLES, summary="One booking"),
    PageRoute(
        "POST",
        "/provider/bookings/{hold_id}/charge",
        charge_booking,
        roles=PROVIDER_ROLES,
        summary="Charge a booked visit",
        form=_form_again,
    ),
    PageRoute(
        "POST",
        "/provider/bookings/{hold_id}/cancel",
        cancel_booking,
        roles=PROVIDER_ROLES,
        summary="Cancel a booking",
        form=_form_again,
    ),
)
