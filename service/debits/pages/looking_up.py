"""From a code to the page of its voucher: what it is good for, and what may be charged.

The code comes with a POST and is kept in a row (`operations.lookups`); every page after it has an address of its own,
without the code, so that reloading and the back button show it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from service.debits import operations
from service.debits.model import (
    ChargeOrder,
    LookupUnknown,
    ServiceDateInFuture,
    TimesRequired,
    VoucherClosed,
    VoucherSuspended,
    error_of,
)
from service.debits.operations import Lookup
from service.debits.pages.forms import AskedVisit, today
from service.debits.pages.sentences import explain, refused
from service.debits.tariffs import band_of_day
from service.errors import SeteliError
from service.idempotency import Claim
from service.money import Unit
from service.people.model import PROVIDER_ROLES
from service.vouchers.codes import normalise_code
from service.web import status_of
from service.web.pages import N_, PageCall, PageReply, PageRoute, redirect, render, third_party_address

QR_READER = "qr/decode.js"
"""For browsers that cannot read QR codes by themselves; there if the set-up could fetch it."""
QUICK_MINUTES = (60, 90, 120, 180)
OF_NO_DAY = (VoucherClosed, VoucherSuspended)
"""Refusals that another day would not change."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a code is good for on a day: the answer of the rule book, and its refusal."""

    found: Mapping[str, Any]
    refusal: SeteliError | None

    @property
    def unit(self) -> Unit:
        return Unit(self.found["unit"])

    def day(self, name: str) -> date | None:
        """One of its dates, which are text in the answer."""
        text = self.found[name]
        return None if text is None else date.fromisoformat(text)

    def programme(self, language: str) -> str:
        names: Mapping[str, str] = self.found["programme_names"]
        return names.get(language, names["fi"])


async def show_code(call: PageCall) -> PageReply:
    """The field for the code; for somebody who is not signed in the code alone, as the QR code leads here, too."""
    visitor = call.known_visitor
    if visitor is None or visitor.role not in PROVIDER_ROLES:
        return await render(call, "provider/scanned.html")
    return await render(
        call,
        "provider/code.html",
        digits=call.resources.settings.code_digits,
        reader=third_party_address(QR_READER),
    )


async def look_up(call: PageCall) -> PageReply:
    """Find what a code is good for, and go to the page of its voucher."""
    try:
        code = normalise_code(call.value("code", limit=64), digits=call.resources.settings.code_digits)
        await ask(call, code, None)
    except SeteliError as error:
        reply = await show_code(refused(call, error))
        return replace(reply, status=status_of(error))
    return await _begin(call, code)


async def begin_again(call: PageCall) -> PageReply:
    """Another visit with a code that was looked up a while ago."""
    lookup = await find_lookup(call)
    return await _begin(call, lookup.code)


async def show_voucher(call: PageCall) -> PageReply:
    """What the voucher is good for, and the form of a visit."""
    lookup = await find_lookup(call)
    return await voucher_page(call, lookup)


async def show_booking_form(call: PageCall) -> PageReply:
    """The form of a visit to come."""
    lookup = await find_lookup(call)
    return await voucher_page(call, lookup, is_booking=True)


async def voucher_page(call: PageCall, lookup: Lookup, *, is_booking: bool = False) -> PageReply:
    """The voucher with the form of a visit, made or to come. Raises what `ask` raises."""
    offer = await ask(call, lookup.code, None)
    found, unit = offer.found, offer.unit
    shown = explain(call, offer.refusal) if offer.refusal is not None else None
    is_open = not isinstance(offer.refusal, OF_NO_DAY)
    return await render(
        call,
        "provider/voucher.html",
        lookup=lookup,
        offer=offer,
        found=found,
        unit=unit,
        programme=offer.programme(call.language),
        refusal=shown,
        is_open=is_open,
        is_booking=is_booking,
        today=today(),
        task_types=[(each, each.capitalize()) for each in found["task_types"]],
        quick=_quick(offer) if offer.refusal is None and not is_booking else (),
    )


def _quick(offer: Offer) -> tuple[int, ...]:
    """Amounts to charge with one tap: where no times are asked for, and as far as there is value."""
    if offer.found["times_asked"] or offer.unit is Unit.CENTS:
        return ()
    usual = QUICK_MINUTES if offer.unit is Unit.MINUTES else (1,)
    step, left = offer.found["step"], offer.found["available"]
    return tuple(amount for amount in usual if amount % step == 0 and amount <= left)


async def ask(call: PageCall, code: str, asked: AskedVisit | None) -> Offer:
    """What the code is good for, for such a visit. Raises what operations.validate does."""
    found = await operations.validate(call.resources.pool, order_of(call, code, asked, None))
    refusal = error_of(found["refusal"])(**found["refusal_details"]) if found["refusal"] is not None else None
    if asked is not None:
        refusal = _of_a_charge(found, asked) or refusal
    return Offer(found, refusal)


def _of_a_charge(found: Mapping[str, Any], asked: AskedVisit) -> SeteliError | None:
    """What the rule book does not mind in a question, but will in a charge."""
    if asked.day > today() and not asked.is_booking:
        return ServiceDateInFuture(service_date=asked.day.isoformat())
    is_weekday = band_of_day(asked.day, eves_are_holidays=False) == "weekday"
    if found["times_asked"] and asked.starts_at is None and is_weekday:
        return TimesRequired()
    return None


def order_of(call: PageCall, code: str, asked: AskedVisit | None, claim: Claim | None) -> ChargeOrder:
    """A visit as the rule book takes it. The person is the credential: misses and blocks are counted for each."""
    visitor, index = call.visitor, call.resources.keys.index
    order = replace(
        operations.order_under(claim or operations.question(visitor.owner_id, call.language), visitor.person_id),
        code_index=index.current("code", code),
        previous_code_index=index.previous("code", code),
        worker=visitor.name,
    )
    if asked is None:
        return order
    return replace(
        order,
        amount=asked.amount,
        service_date=asked.day,
        starts_at=asked.starts_at,
        ends_at=asked.ends_at,
        visit_type=asked.visit_type,
        task_type=asked.task_type,
        partial=asked.partial,
        duplicate_ok=asked.duplicate_ok,
    )


async def find_lookup(call: PageCall) -> Lookup:
    """The look-up in the path, of this person alone. Raises LookupUnknown."""
    return await operations.find_lookup(
        call.resources.pool,
        call.resources.keys,
        person_id=call.visitor.person_id,
        lookup_id=call.path_id("lookup_id", LookupUnknown),
    )


async def _begin(call: PageCall, code: str) -> PageReply:
    lookup_id = await operations.keep_lookup(
        call.resources.pool, call.resources.keys, person_id=call.visitor.person_id, code=code
    )
    return await redirect(call, f"/provider/visits/{lookup_id}")


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", "/provider", show_code, roles=None, summary="Where a visit is charged, and where QR codes lead"),
    # The navigation's entry: the GET is for everybody, and stands in nobody's.
    PageRoute("POST", "/provider", look_up, roles=PROVIDER_ROLES, summary="Look a code up", nav=N_("Charge")),
    PageRoute(
        "GET", "/provider/visits/{lookup_id}", show_voucher, roles=PROVIDER_ROLES, summary="What a code is good for"
    ),
    PageRoute(
        "GET", "/provider/visits/{lookup_id}/book", show_booking_form, roles=PROVIDER_ROLES, summary="Book a visit"
    ),
    PageRoute(
        "POST",
        "/provider/visits/{lookup_id}/again",
        begin_again,
        roles=PROVIDER_ROLES,
        summary="Another visit with the same code",
    ),
)
