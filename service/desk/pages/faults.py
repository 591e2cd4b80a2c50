"""All that is wrong with a decision as it was filled in: on the phone with a family one asks everything at once.

The operations stop at the first fault, as for a program, which sends what it was told to. Here each field is read by
itself, by the same functions, so the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial

from service.channels.contacts import parse_email, parse_mobile
from service.desk.pages.forms import DecisionForm, read_amount, read_day, read_weekly_hours, today
from service.errors import InvalidRequest, SeteliError
from service.identity_codes import refuse_identity_code
from service.organisers.model import Programme
from service.problems import problem
from service.vouchers.decisions import check_amount, check_validity, check_weekly_steps
from service.vouchers.model import ContactMissing, ValidityFarOff
from service.web.pages import PageCall, errors_by_field

TEXTS = ("decision_ref", "client_ref", "initials", "municipality")
Check = tuple[str, Callable[[], object]]


def refuse_faults(call: PageCall, programme: Programme, *, countries: Sequence[str], day: date | None) -> None:
    """Raises InvalidRequest, which names every field that is wrong. Without a day the rules of time are not asked:
    a decision that is repeated after its last day is still the same."""
    found: dict[str, str] = {}
    for field, check in _checks(call, programme, countries, day):
        for name, reason in _faults(call, field, check).items():
            found.setdefault(name, reason)
    if found:
        raise InvalidRequest(fields=[{"field": name, "reason": reason} for name, reason in found.items()])


def _checks(call: PageCall, programme: Programme, countries: Sequence[str], day: date | None) -> Iterator[Check]:
    phone, email = call.value("phone"), call.value("email")
    yield "decision_ref", partial(call.form_as, DecisionForm)
    for name in TEXTS:
        yield name, partial(refuse_identity_code, name, call.value(name))
    yield "granted", partial(_read_granted, call, programme, is_new=day is not None)
    yield "weekly_hours", partial(_read_weekly, call, programme, is_new=day is not None)
    if phone:
        yield "phone", partial(parse_mobile, phone, countries)
    if email:
        yield "email", partial(parse_email, email)
    if not phone and not email:
        yield "phone", _miss_contact
    yield "valid_from", partial(_read_first_day, call)
    yield "valid_to", partial(read_day, call, "valid_to", call.value("valid_to"))
    if day is not None:
        yield "valid_to", partial(_check_days, call, day)


def _faults(call: PageCall, field: str, check: Callable[[], object]) -> dict[str, str]:
    try:
        check()
    except SeteliError as error:
        words = problem(error.code, error.details, call.language)
        field = "valid_from" if isinstance(error, ValidityFarOff) else field
        return dict(errors_by_field(error, call.language)) or {field: f"{words.detail} {words.next_step}"}
    return {}


def _read_granted(call: PageCall, programme: Programme, *, is_new: bool) -> None:
    granted = read_amount(call, "granted", call.value("granted"), programme.unit)
    if is_new:
        check_amount(granted, programme)


def _read_weekly(call: PageCall, programme: Programme, *, is_new: bool) -> None:
    minutes = read_weekly_hours(call, call.value("weekly_hours"), programme.unit)
    if is_new:
        check_weekly_steps(minutes, unit=programme.unit, step=programme.step)


def _read_first_day(call: PageCall) -> date:
    text = call.value("valid_from")
    return read_day(call, "valid_from", text) if text else today()


def _check_days(call: PageCall, day: date) -> None:
    check_validity(_read_first_day(call), read_day(call, "valid_to", call.value("valid_to")), day)


def _miss_contact() -> None:
    raise ContactMissing
