"""What a decision must be like, the same for a request and for a line of an import file. Pure.

Checked in two parts: `read_decision` depends on the content alone; `check_rules` on the programme and the day, which
change: a decision that is repeated after its last day is still the same decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from service.channels.contacts import parse_email, parse_mobile
from service.channels.gateway import ChannelName
from service.channels.languages import MESSAGE_LANGUAGES
from service.errors import InvalidRequest
from service.identity_codes import refuse_identity_code
from service.money import MAX_AMOUNT, Unit
from service.organisers.model import Programme
from service.vouchers.model import (
    Contact,
    ContactMissing,
    DecisionStatus,
    GrantedNotInSteps,
    ValidityBackwards,
    ValidityFarOff,
    ValidityOver,
    ValidityTooLong,
    WeeklyNotInSteps,
)

REF_MAX = 80
INITIALS_MAX = 12
MUNICIPALITY_MAX = 60
CONTACT_MAX = 254
MAX_WEEKLY = 10_080  # minutes in a week
VALIDITY_MAX_DAYS = 3 * 365 + 1
AHEAD_MAX_DAYS = 366
CHANNELS: Mapping[str, ChannelName] = {"sms": "sms", "email": "email"}
HELSINKI = ZoneInfo("Europe/Helsinki")


class PostedDecision(NamedTuple):
    """A decision as somebody sent it, types right and nothing else. A tuple, because imports make very many."""

    decision_ref: str
    programme: str
    status: str
    client_ref: str
    phone: str | None
    email: str | None
    language: str | None
    initials: str | None
    municipality: str | None
    granted: int
    weekly_visits: int | None
    weekly_minutes: int | None
    valid_from: date
    valid_to: date
    preferred: str | None = None

    def __repr__(self) -> str:
        return f"PostedDecision({self.decision_ref!r}, …)"  # the contacts are not for tracebacks


class NewDecision(NamedTuple):
    """A decision that can be granted: contacts normalised, texts within their limits. A tuple for the same reason."""

    decision_ref: str
    programme: Programme
    status: DecisionStatus
    client_ref: str
    contact: Contact
    initials: str | None
    municipality: str | None
    granted: int
    weekly_visits: int | None
    """As posted; what holds for the voucher is in `weekly_caps`."""
    weekly_minutes: int | None
    valid_from: date
    valid_to: date

    @property
    def weekly_caps(self) -> tuple[int | None, int | None]:
        """Visits and minutes a week: those that the decision names, or the programme's if it names neither."""
        if self.weekly_visits is None and self.weekly_minutes is None:
            return self.programme.weekly_visits, self.programme.weekly_minutes
        return self.weekly_visits, self.weekly_minutes


def helsinki_day(now: datetime) -> date:
    """The calendar day that families and caseworkers live in."""
    return now.astimezone(HELSINKI).date()


def read_decision(
    posted: PostedDecision, programme: Programme, *, default_language: str, countries: Sequence[str]
) -> NewDecision:
    """Normalise what was posted.

    Raises InvalidRequest with the field, PersonalIdentityCode, ContactMissing, PhoneNotMobile, EmailInvalid.
    """
    status = _status(posted.status)
    _check_text("decision_ref", posted.decision_ref, REF_MAX)
    _check_text("client_ref", posted.client_ref, REF_MAX)
    for field in ("decision_ref", "client_ref", "initials", "municipality"):
        refuse_identity_code(field, getattr(posted, field) or "")
    _check_optional("initials", posted.initials, INITIALS_MAX)
    _check_optional("municipality", posted.municipality, MUNICIPALITY_MAX)
    _check_range("granted", posted.granted, MAX_AMOUNT)
    _check_range("weekly.visits", posted.weekly_visits, MAX_WEEKLY)
    _check_range("weekly.minutes", posted.weekly_minutes, MAX_WEEKLY)
    return NewDecision(
        decision_ref=posted.decision_ref,
        programme=programme,
        status=status,
        client_ref=posted.client_ref,
        contact=read_contact(
            posted.phone,
            posted.email,
            posted.language or default_language,
            countries=countries,
            preferred=posted.preferred or "sms",
        ),
        initials=posted.initials or None,
        municipality=posted.municipality or None,
        granted=posted.granted,
        weekly_visits=posted.weekly_visits,
        weekly_minutes=posted.weekly_minutes,
        valid_from=posted.valid_from,
        valid_to=posted.valid_to,
    )


def read_contact(
    phone: str | None, email: str | None, language: str, *, countries: Sequence[str], preferred: str = "sms"
) -> Contact:
    """Raises ContactMissing, PhoneNotMobile, EmailInvalid, InvalidRequest for a language or channel not served."""
    if preferred not in CHANNELS:
        raise invalid_field("preferred", f"one of {', '.join(CHANNELS)}")
    if language not in MESSAGE_LANGUAGES:
        raise invalid_field("language", f"one of {', '.join(MESSAGE_LANGUAGES)}")
    if not phone and not email:
        raise ContactMissing
    return Contact(
        phone=parse_mobile(phone, countries) if phone else None,
        email=parse_email(email) if email else None,
        language=language,
        preferred=CHANNELS[preferred],
    )


def check_rules(decision: NewDecision, today: date) -> None:
    """Raises GrantedNotInSteps, WeeklyNotInSteps, ValidityBackwards, ValidityOver, ValidityFarOff, ValidityTooLong, in
    this order."""
    check_amount(decision.granted, decision.programme)
    check_weekly_steps(decision.weekly_minutes, unit=decision.programme.unit, step=decision.programme.step)
    check_validity(decision.valid_from, decision.valid_to, today)


def check_amount(granted: int, programme: Programme) -> None:
    """Raises GrantedNotInSteps."""
    if granted % programme.step:
        raise GrantedNotInSteps(step=programme.step, unit=programme.unit.value)


def check_validity(valid_from: date, valid_to: date, today: date) -> None:
    """Raises ValidityBackwards, ValidityOver, ValidityFarOff, ValidityTooLong, in this order."""
    if valid_to < valid_from:
        raise ValidityBackwards(valid_from=str(valid_from), valid_to=str(valid_to))
    if valid_to < today:
        raise ValidityOver(valid_to=str(valid_to))
    if (valid_from - today).days > AHEAD_MAX_DAYS:
        raise ValidityFarOff(valid_from=str(valid_from))
    if (valid_to - valid_from).days > VALIDITY_MAX_DAYS:
        raise ValidityTooLong(valid_from=str(valid_from), valid_to=str(valid_to))


def check_weekly_steps(minutes: int | None, *, unit: Unit, step: int) -> None:
    """Raises WeeklyNotInSteps where minutes are charged in steps: with a cap below the first nothing ever could be."""
    if minutes is not None and unit is Unit.MINUTES and minutes % step:
        raise WeeklyNotInSteps(step=step, unit=unit.value)


def fingerprint_text(decision: NewDecision) -> str:
    """The content in one fixed form, for the keyed digest that tells the same decision from another one.

    Normalised values, so that "040 123 4567" and "+358401234567" are the same content.
    """
    contact = decision.contact
    # The separator cannot be in a field: all of them are printable. A part that is not given is an empty one.
    return "\x1f".join(
        (
            decision.programme.programme,
            decision.status,
            decision.client_ref,
            contact.phone or "",
            contact.email or "",
            contact.language,
            decision.initials or "",
            decision.municipality or "",
            str(decision.granted),
            str(decision.weekly_visits or ""),
            str(decision.weekly_minutes or ""),
            str(decision.valid_from),
            str(decision.valid_to),
            *(() if contact.preferred == "sms" else (contact.preferred,)),
        )
    )


def invalid_field(field: str, reason: str) -> InvalidRequest:
    return InvalidRequest(fields=[{"field": field, "reason": reason}])


def _status(text: str) -> DecisionStatus:
    try:
        return DecisionStatus(text)
    except ValueError:
        raise invalid_field("status", "provisional or confirmed") from None


def _check_text(field: str, text: str, limit: int) -> None:
    if not 1 <= len(text) <= limit or not text.isprintable():
        raise invalid_field(field, f"1–{limit} printable characters")


def _check_optional(field: str, text: str | None, limit: int) -> None:
    if text is not None and (len(text) > limit or not text.isprintable()):
        raise invalid_field(field, f"at most {limit} printable characters")


def _check_range(field: str, number: int | None, largest: int) -> None:
    if number is not None and not 1 <= number <= largest:
        raise invalid_field(field, f"a whole number from 1 to {largest}")
