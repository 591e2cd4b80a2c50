"""What a caseworker fills in, in people's words, read into what the operations take. Nothing here looks anything up."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from service.errors import InvalidRequest
from service.money import MAX_AMOUNT, Unit
from service.people.model import ORGANISER_ROLES, PERMISSIONS
from service.problems import Problem, problem
from service.vouchers.decisions import (
    CONTACT_MAX,
    INITIALS_MAX,
    MUNICIPALITY_MAX,
    REF_MAX,
    PostedDecision,
    helsinki_day,
)
from service.vouchers.model import REASON_MAX
from service.web.pages import FormModel, PageCall, PageReply

CASEWORK = frozenset(role for role in ORGANISER_ROLES if "decisions:write" in PERMISSIONS[role])
APPROVERS = frozenset(role for role in ORGANISER_ROLES if "vouchers:approve" in PERMISSIONS[role])
ADMINS = frozenset(role for role in ORGANISER_ROLES if "people:write" in PERMISSIONS[role])

Ticked = Literal["yes"] | None
Ref = Annotated[str, Field(min_length=1, max_length=REF_MAX)]
Reason = Annotated[str, Field(min_length=1, max_length=REASON_MAX)]
Day = Annotated[str, Field(max_length=20)]
Amount = Annotated[str, Field(max_length=20)]
Times = Annotated[int, Field(ge=1, le=99)]
Address = Annotated[str, Field(max_length=CONTACT_MAX)]

_ISO_DAY = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})", re.ASCII)
_DAY = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII)
_CLOCK = re.compile(r"(\d{1,4})(?::|h|t)([0-5]\d)(?:min)?", re.ASCII)
_DECIMAL = re.compile(r"(\d{1,7})(?:[.,](\d{1,2}))?(?:€|h|t)?", re.ASCII)


class DecisionForm(FormModel):
    """A decision as it is made on the phone."""

    programme: Annotated[str, Field(max_length=40)]
    granted: Amount
    weekly_visits: Times | None = None
    weekly_hours: Amount | None = None
    valid_from: Day | None = None
    valid_to: Day
    phone: Address | None = None
    email: Address | None = None
    preferred: Literal["sms", "email"] | None = None
    language: Annotated[str, Field(max_length=5)] | None = None
    initials: Annotated[str, Field(max_length=INITIALS_MAX)] | None = None
    municipality: Annotated[str, Field(max_length=MUNICIPALITY_MAX)] | None = None
    decision_ref: Ref
    client_ref: Ref
    confirmed: Ticked = None


def read_posted(call: PageCall, form: DecisionForm, unit: Unit) -> PostedDecision:
    """Raises InvalidRequest, which names the field."""
    return PostedDecision(
        decision_ref=form.decision_ref,
        programme=form.programme,
        status="confirmed" if form.confirmed else "provisional",
        client_ref=form.client_ref,
        phone=form.phone,
        email=form.email,
        language=form.language,
        initials=form.initials,
        municipality=form.municipality,
        granted=read_amount(call, "granted", form.granted, unit),
        weekly_visits=form.weekly_visits,
        weekly_minutes=read_weekly_hours(call, form.weekly_hours, unit),
        valid_from=read_day(call, "valid_from", form.valid_from) if form.valid_from else today(),
        valid_to=read_day(call, "valid_to", form.valid_to),
        preferred=form.preferred,
    )


def read_weekly_hours(call: PageCall, text: str | None, unit: Unit) -> int | None:
    """Minutes a week, of a programme that counts hours. Raises InvalidRequest."""
    if not text:
        return None
    if unit is not Unit.MINUTES:
        raise wrong("weekly_hours", call.gettext("This programme does not count hours."))
    return read_amount(call, "weekly_hours", text, unit)


def read_amount(call: PageCall, field: str, text: str, unit: Unit) -> int:
    """12 · 12,5 · 12:30 hours as minutes, 33,50 euros as cents, 5 visits. Raises InvalidRequest."""
    plain = re.sub(r"\s", "", text.lower())
    amount: Fraction | None = None
    if unit is Unit.MINUTES and (clock := _CLOCK.fullmatch(plain)):
        amount = Fraction(int(clock[1]) * 60 + int(clock[2]))
    elif found := _DECIMAL.fullmatch(plain):
        size = {Unit.MINUTES: 60, Unit.CENTS: 100}.get(unit, 1)
        amount = Fraction(f"{found[1]}.{found[2] or 0}") * size
    if amount is None or amount.denominator != 1 or not 0 < amount <= MAX_AMOUNT:
        raise wrong(field, _like(call, unit))
    return int(amount)


def read_day(call: PageCall, field: str, text: str) -> date:
    """From what a date field sends, or from 22.11.2026 where there are none. Raises InvalidRequest."""
    try:
        if iso := _ISO_DAY.fullmatch(text):
            return date(*map(int, iso.groups()))
        if local := _DAY.fullmatch(text.replace(" ", "")):
            day, month, year = map(int, local.groups())
            return date(year, month, day)
    except ValueError:
        pass  # the 30th of February
    raise wrong(field, call.gettext("Write the day like this: 22.11.2026."))


def today() -> date:
    """In Finland."""
    return helsinki_day(datetime.now(UTC))


def wrong(field: str, reason: str) -> InvalidRequest:
    return InvalidRequest(fields=[{"field": field, "reason": reason}])


def with_words(form: Callable[[PageCall], Awaitable[PageReply]]) -> Callable[[PageCall], Awaitable[PageReply]]:
    """The page on which an error is shown, for a person who fills in fields instead of a program that sends them."""

    async def show(call: PageCall) -> PageReply:
        if call.problem == problem(InvalidRequest.code, {}, call.language):
            call = replace(
                call,
                problem=Problem(
                    call.gettext("Something is missing, or is not possible."),
                    call.gettext("Correct what is marked below."),
                ),
            )
        return await form(call)

    return show


def _like(call: PageCall, unit: Unit) -> str:
    if unit is Unit.MINUTES:
        return call.gettext("Write the hours like this: 12, 12,5 or 12:30.")
    if unit is Unit.CENTS:
        return call.gettext("Write the sum like this: 33,50.")
    return call.gettext("Write a whole number.")
