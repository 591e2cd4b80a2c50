"""What exactly would be charged; charging it, once; and the receipt."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Protocol, cast
from urllib.parse import urlencode

from aiohttp.web_request import FileField
from multidict import MultiDict, MultiDictProxy

from service import metrics
from service.debits import operations
from service.debits.model import (
    CredentialBlocked,
    InsufficientValue,
    LookupUsed,
    PossibleDuplicate,
    RulesChanging,
)
from service.debits.operations import DebitGroup, Lookup, Verdict
from service.debits.pages.forms import AskedVisit, VisitForm, read_visit, today
from service.debits.pages.looking_up import Offer, ask, find_lookup, order_of, voucher_page
from service.debits.pages.sentences import explain, refused
from service.errors import (
    DatabaseUnavailable,
    IdempotencyKeyReused,
    Invalid,
    OutcomeUnknown,
    RequestInFlight,
    SeteliError,
)
from service.idempotency import Claim, make_claim
from service.people.model import PROVIDER_ROLES
from service.web import status_of
from service.web.pages import PageCall, PageReply, PageRoute, redirect, render

FIELDS = tuple(VisitForm.model_fields)
NOT_DECIDED = (RequestInFlight, DatabaseUnavailable, OutcomeUnknown, RulesChanging, CredentialBlocked)
"""Nothing is stored of these: the same try may be made again, with the same key."""


class ChargingResources(Protocol):
    @property
    def debit_group(self) -> DebitGroup: ...


async def show_confirmation(call: PageCall) -> PageReply:
    """Exactly what will be charged and what the family pays, and one button."""
    asked_for: MultiDict[str | bytearray | bytes | FileField] = MultiDict()
    asked_for.extend({name: call.query[name] for name in FIELDS if name in call.query})
    call = replace(call, form=MultiDictProxy(asked_for))
    lookup = await find_lookup(call)
    if lookup.made is not None:
        return await _receipt(call, lookup, is_again=True)
    return await _confirmation(call, lookup)


async def _confirmation(call: PageCall, lookup: Lookup, *, status: int = 200) -> PageReply:
    """The page, or the form again with what is wrong in it."""
    try:
        asked = read_visit(call, call.form_as(VisitForm))
        offer = await ask(call, lookup.code, asked)
    except Invalid as error:
        is_booking = call.value("booking") != ""
        page = await voucher_page(refused(call, error), lookup, is_booking=is_booking)
        return replace(page, status=status_of(error))
    uncovered = await _uncovered(call, lookup, asked, offer)
    return await render(
        call,
        "provider/confirm.html",
        status=status,
        lookup=lookup,
        asked=asked,
        offer=offer,
        found=offer.found,
        unit=offer.unit,
        programme=offer.programme(call.language),
        refusal=explain(call, offer.refusal) if offer.refusal is not None and call.problem is None else None,
        can_charge=offer.refusal is None,
        can_take_part=isinstance(offer.refusal, InsufficientValue)
        and offer.found["available"] >= offer.found["step"]
        and not asked.partial,
        can_be_another=isinstance(offer.refusal, PossibleDuplicate),
        uncovered=uncovered,
        today=today(),
        given=_given(call),
    )


async def _uncovered(call: PageCall, lookup: Lookup, asked: AskedVisit, offer: Offer) -> int:
    """How much of what was asked the voucher cannot pay, when a part of it will do."""
    if not asked.partial or offer.refusal is not None:
        return 0
    whole = await ask(call, lookup.code, replace(asked, partial=False))
    if not isinstance(whole.refusal, InsufficientValue):
        return 0
    requested = whole.refusal.details["requested"]
    assert isinstance(requested, int)
    return requested - int(offer.found["amount"])


async def charge(call: PageCall) -> PageReply:
    """Charge the visit that was confirmed, or book it: once, however often the form is sent."""
    started = time.perf_counter()
    lookup = await find_lookup(call)
    asked = read_visit(call, call.form_as(VisitForm))
    tries = _tries(call, lookup)
    claim = _claim(call, lookup, tries)
    order = order_of(call, lookup.code, asked, claim)
    pool = call.resources.pool
    try:
        if asked.is_booking:
            verdict = await operations.hold(pool, order)
        else:
            verdict = await operations.debit(cast(ChargingResources, call.resources).debit_group, pool, order)
    except NOT_DECIDED as error:
        return await _try_again(call, lookup, error)
    metrics.debit_s.labels("ok" if verdict.is_success else "refused").observe(time.perf_counter() - started)
    if not verdict.is_success:
        return await _refused(call, lookup, tries, verdict)
    made = "hold" if asked.is_booking else "debit"
    await operations.remember_made(
        pool, lookup_id=lookup.lookup_id, made="hold" if made == "hold" else "debit", answer=verdict.answer
    )
    return await redirect(call, f"/provider/visits/{lookup.lookup_id}/receipt")


def _confirmation_address(call: PageCall) -> str | None:
    """Where what is sent was confirmed; None for a form that says nothing of a visit."""
    given = {name: call.value(name) for name in FIELDS if call.value(name)}
    path = call.raw.path.removesuffix("/charge")
    return f"{path}/confirm?{urlencode(given)}" if given else None


def _tries(call: PageCall, lookup: Lookup) -> int:
    """The form's part of the key: how many tries had been refused when it was shown."""
    told = call.value("tries")
    return min(int(told), lookup.tries) if told.isascii() and told.isdigit() else lookup.tries


def _claim(call: PageCall, lookup: Lookup, tries: int) -> Claim:
    """The key that was in the form, and the digest of what is filled in."""
    return make_claim(
        call.resources.keys.index,
        owner_id=call.visitor.owner_id,
        key=lookup.key(tries),
        method="POST",
        path=f"/provider/visits/{lookup.lookup_id}/charge",
        body=json.dumps([[name, call.value(name)] for name in FIELDS]),
        language=call.language,
    )


async def _refused(call: PageCall, lookup: Lookup, tries: int, verdict: Verdict) -> PageReply:
    error = verdict.error()
    metrics.debit_refusals.labels(verdict.outcome).inc()
    if isinstance(error, NOT_DECIDED):
        return await _try_again(call, lookup, error)
    if isinstance(error, IdempotencyKeyReused):
        lookup = await find_lookup(call)
        if lookup.made is not None:
            return await _receipt(refused(call, LookupUsed()), lookup, is_again=True, status=status_of(LookupUsed))
        if tries == lookup.tries:
            raise LookupUsed  # by a charge whose receipt was lost with the process that made it
        return await _confirmation(call, lookup)  # an older form, from before a refusal: with the new key
    await operations.count_refused(call.resources.pool, lookup_id=lookup.lookup_id, tries=tries)
    lookup = await find_lookup(call)
    return await _confirmation(refused(call, error), lookup, status=status_of(error))


async def _try_again(call: PageCall, lookup: Lookup, error: SeteliError) -> PageReply:
    """The same form with the same key, made without asking the database."""
    return await render(
        refused(call, error),
        "provider/try_again.html",
        status=status_of(error),
        lookup=lookup,
        tries=call.value("tries"),
        given=_given(call),
    )


async def show_receipt(call: PageCall) -> PageReply:
    """What was charged, and what is left."""
    lookup = await find_lookup(call)
    if lookup.made is None:
        return await redirect(call, f"/provider/visits/{lookup.lookup_id}")
    return await _receipt(call, lookup)


async def _receipt(call: PageCall, lookup: Lookup, *, is_again: bool = False, status: int = 200) -> PageReply:
    answer = lookup.answer
    assert answer is not None, "something was made of it"
    names = await operations.names(call.resources.pool, {answer["organiser"]} if "organiser" in answer else (), "fi")
    return await render(
        call,
        "provider/receipt.html",
        status=status,
        lookup=lookup,
        answer=answer,
        is_again=is_again,
        organiser=names.organisers.get(answer.get("organiser", "")),
        day=date.fromisoformat,
        **{name: _moment(answer, name) for name in ("starts_at", "ends_at", "entered_at", "lapses_at")},
    )


def _moment(answer: Any, name: str) -> datetime | None:
    text = answer.get(name)
    return None if text is None else datetime.fromisoformat(text)


def _given(call: PageCall) -> Sequence[tuple[str, str]]:
    """What was filled in, to be carried on."""
    return [(name, value) for name in FIELDS if (value := call.value(name))]


PAGES: tuple[PageRoute, ...] = (
    PageRoute(
        "GET",
        "/provider/visits/{lookup_id}/confirm",
        show_confirmation,
        roles=PROVIDER_ROLES,
        summary="What exactly will be charged",
    ),
    PageRoute(
        "POST",
        "/provider/visits/{lookup_id}/charge",
        charge,
        roles=PROVIDER_ROLES,
        summary="Charge or book a visit",
        filled=_confirmation_address,
    ),
    PageRoute(
        "GET", "/provider/visits/{lookup_id}/receipt", show_receipt, roles=PROVIDER_ROLES, summary="What was charged"
    ),
)
