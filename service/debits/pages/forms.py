"""What a person fills in about a visit, read into what is charged. Nothing here looks anything up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from service.debits.handlers.visits import FARTHEST_VISIT, OLDEST_VISIT
from service.debits.model import VisitType
from service.debits.tariffs import read_visit_times
from service.errors import InvalidRequest
from service.money import MAX_AMOUNT
from service.vouchers.decisions import helsinki_day
from service.web.pages import FormModel, PageCall

Ticked = Literal["yes"] | None
_ISO_DAY = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})", re.ASCII)
_DAY = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})", re.ASCII)
_CLOCK = re.compile(r"([01]?\d|2[0-3])(?:[:.]([0-5]\d))?", re.ASCII)
_EUROS = re.compile(r"(\d{1,7})(?:[.,](\d{1,2}))?\s*€?", re.ASCII)


class SizeForm(FormModel):
    """How much, in the fields that each unit has; and the clock."""

    hours: Annotated[int | None, Field(ge=0, le=24)] = None
    minutes: Annotated[int | None, Field(ge=0, le=59)] = None
    euros: Annotated[str | None, Field(max_length=20)] = None
    count: Annotated[int | None, Field(ge=1, le=99)] = None
    starts: Annotated[str | None, Field(max_length=10)] = None
    ends: Annotated[str | None, Field(max_length=10)] = None


class VisitForm(SizeForm):
    day: Annotated[str | None, Field(max_length=20)] = None
    task_type: Annotated[str | None, Field(max_length=40)] = None
    no_show: Ticked = None
    partial: Ticked = None
    duplicate: Ticked = None
    booking: Ticked = None


@dataclass(frozen=True, slots=True)
class AskedVisit:
    """A visit as a person told it."""

    day: date
    amount: int | None
    starts_at: datetime | None
    ends_at: datetime | None
    visit_type: VisitType = "visit"
    task_type: str | None = None
    partial: bool = False
    duplicate_ok: bool = False
    is_booking: bool = False


def read_visit(call: PageCall, form: VisitForm) -> AskedVisit:
    """Raises InvalidRequest, which names the field, and what tariffs raise for times that cannot be."""
    day = today() if form.day is None else read_day(call, "day", form.day)
    if not today() - OLDEST_VISIT <= day <= today() + FARTHEST_VISIT:
        raise _wrong("day", call.gettext("There can have been no visit on this day."))
    times = read_times(call, day, form)
    amount = read_amount(call, form)
    if amount is None and times is None:
        raise _wrong(_first_size(call), call.gettext("Fill in how much, or when the visit began and ended."))
    return AskedVisit(
        day=day,
        amount=amount,
        starts_at=times[0] if times else None,
        ends_at=times[1] if times else None,
        visit_type="no_show" if form.no_show else "visit",
        task_type=form.task_type,
        partial=form.partial is not None,
        duplicate_ok=form.duplicate is not None,
        is_booking=form.booking is not None,
    )


def read_amount(call: PageCall, form: SizeForm) -> int | None:
    """Whole minutes, cents or visits; None when nothing is filled in. Raises InvalidRequest."""
    if form.hours is not None or form.minutes:
        amount = 60 * (form.hours or 0) + (form.minutes or 0)
        if amount == 0:
            raise _wrong("hours", call.gettext("Fill in more than zero."))
        return amount
    if form.euros is not None:
        return read_euros(call, "euros", form.euros)
    return form.count


def read_times(call: PageCall, day: date, form: SizeForm) -> tuple[datetime, datetime] | None:
    """When a visit began and ended: on the next day when it ends earlier by the clock. Raises as read_visit does."""
    starts = None if form.starts is None else f"{day}T{_clock(call, 'starts', form.starts)}"
    if form.ends is None:
        return read_visit_times(starts, None)
    clock = _clock(call, "ends", form.ends)
    over_midnight = starts is not None and clock <= starts[-5:]
    return read_visit_times(starts, f"{day + timedelta(days=over_midnight)}T{clock}")


def read_day(call: PageCall, field: str, text: str) -> date:
    """From what a date field sends, or from 22.11.2026 where there are none. Raises InvalidRequest."""
    try:
        if iso := _ISO_DAY.fullmatch(text):
            return date(*map(int, iso.groups()))
        if local := _DAY.fullmatch(text):
            day, month, year = map(int, local.groups())
            return date(year, month, day)
    except ValueError:
        pass  # the 30th of February
    raise _wrong(field, call.gettext("Write the day like this: 22.11.2026."))


def read_euros(call: PageCall, field: str, text: str) -> int:
    """Cents from 33,50. Raises InvalidRequest."""
    found = _EUROS.fullmatch(text.replace("\u00a0", "").replace(" ", ""))
    cents = 0 if found is None else int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0"))
    if not 0 < cents <= MAX_AMOUNT:
        raise _wrong(field, call.gettext("Write the sum like this: 33,50."))
    return cents


def today() -> date:
    """In Finland."""
    return helsinki_day(datetime.now(UTC))


def _clock(call: PageCall, field: str, text: str) -> str:
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise _wrong(field, call.gettext("Write the time like this: 14:30."))
    return f"{int(found[1]):02}:{found[2] or '00'}"


def _first_size(call: PageCall) -> str:
    """The field of its form that tells how much."""
    return next((name for name in ("hours", "euros", "count") if name in call.form), "starts")


def _wrong(field: str, reason: str) -> InvalidRequest:
    return InvalidRequest(fields=[{"field": field, "reason": reason}])
