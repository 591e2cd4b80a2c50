"""What a provider tells the public of itself, what is listed, and what a visit would cost. Pure: no I/O, no clock.

SeteliError
├── NotListed      no such organiser, service or provider in the directory
└── ProfileUnfit   something that a provider tells of itself is not as it must be
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, time
from urllib.parse import urlsplit
from uuid import UUID

import idna
import phonenumbers

from service.channels.contacts import EmailInvalid, parse_email
from service.errors import Invalid, NotFound
from service.identity_codes import PersonalIdentityCode, refuse_identity_code
from service.money import Unit

DESCRIPTION_LANGUAGES = ("fi", "sv", "en")
DESCRIPTION_MAX = 1200
AREAS_MAX, AREA_MAX = 60, 40
WEB_MAX, PHONE_MAX = 200, 40
# Where a provider is there, in the families' words; each is a tariff band, and a public holiday costs as Sundays do.
HOURS = ("weekday", "evening", "saturday", "sunday", "holiday")
BAND_OF: Mapping[str, str] = {
    "weekday": "weekday",
    "evening": "evening",
    "saturday": "saturday",
    "sunday": "sunday",
    "holiday": "sunday",
}
# ISO 639; Finnish and Finland-Swedish sign language among them. The order is that of the form.
LANGUAGES = (
    *("fi", "sv", "en", "se", "smn", "sms", "fse", "fss"),
    *("ru", "uk", "et", "ar", "so", "ku", "fa", "ps", "tr", "sq", "vi", "th", "zh", "es", "fr", "de", "pl", "ro"),
)
EXAMPLE_MINUTES = 120
GENERAL = ""
"""In a programme's place: what is told of every programme."""
_AREA_SIGNS = " -'’/()."
_HOURS = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)", re.ASCII)
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/?#-]*", re.ASCII)


class NotListed(NotFound):
    """The directory has no such organiser, service or provider: none, not approved now, or suspended."""

    code = "not_listed"


class ProfileUnfit(Invalid):
    """What a provider tells of itself in `field` is not as it must be."""

    code = "profile_unfit"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a provider tells of itself. None: it is not told, or, of one programme, as it is told in general."""

    descriptions: Mapping[str, str]
    """By language: fi, sv, en."""
    areas: tuple[str, ...] | None = None
    """Municipalities."""
    hours: Mapping[str, str] | None = None
    """By kind of day (`HOURS`): `08:00-16:00`, or empty where no times are told."""
    languages: tuple[str, ...] | None = None
    phone: str | None = None
    """As people write it in Finland."""
    email: str | None = None
    web: str | None = None
    takes_new: bool | None = None
    """Customers that it does not have yet."""

    def description_in(self, language: str) -> tuple[str, str] | None:
        """The description with its language: this one, else the first that there is."""
        for each in (language, *DESCRIPTION_LANGUAGES):
            if self.descriptions.get(each):
                return each, self.descriptions[each]
        return None


NOTHING_TOLD = Profile({})


@dataclass(frozen=True, slots=True)
class Offer:
    """An organiser's programme as families see it, under the rules of the day."""

    organiser_id: UUID
    organiser: str
    """Its short name."""
    organiser_name: str
    help_phone: str
    default_language: str
    programme: str
    names: Mapping[str, str]
    unit: Unit
    step: int
    values: Mapping[str, int | None]
    """By tariff band, in cents: what the voucher pays at most for an hour, a visit or a session."""
    evening_from: time | None
    evening_to: time | None
    free_by_law: bool
    providers: int
    """How many are listed."""

    def name_in(self, language: str) -> str:
        return self.names.get(language) or self.names.get(self.default_language) or self.names["fi"]

    @property
    def bands(self) -> tuple[str, ...]:
        """Those that can be told apart: without hours of its own, an evening is charged as the day is."""
        return tuple(band for band in ("weekday", "evening", "saturday", "sunday") if self.band_of(band) == band)

    def band_of(self, hours: str) -> str:
        """By which tariff visits at such hours are charged."""
        band = BAND_OF[hours]
        return "weekday" if band == "evening" and self.evening_from is None else band

    @property
    def example(self) -> int:
        """A visit as an example, in minutes (of money and time), or one visit or session: whole steps."""
        if self.unit in (Unit.VISITS, Unit.SESSIONS):
            return 1
        step = self.step if self.unit is Unit.MINUTES else 1
        return -(-EXAMPLE_MINUTES // step) * step

    @property
    def example_unit(self) -> Unit:
        return Unit.MINUTES if self.unit is Unit.CENTS else self.unit


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the example visit costs in one tariff band. None: not known beforehand, as with a sum of money."""

    band: str
    pays_cents: int | None
    own_cents: int | None
    is_refused: bool
    """The service must be free, and this provider asks more than the voucher pays: it cannot be charged."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A provider as one programme's list shows it."""

    business_id: str
    name: str
    offer: Offer
    prices: Mapping[str, int] | None
    """By tariff band, for an hour, a visit or a session; None: what the voucher pays."""
    profile: Profile
    estimates: tuple[Estimate, ...]
    """Of every tariff band; in a list, of the hours that are looked for alone."""
    next_prices_from: date | None = None
    next_prices: Mapping[str, int] | None = None

    def price_of(self, band: str) -> int | None:
        return self.offer.values[band] if self.prices is None else self.prices[band]

    def estimate_of(self, band: str) -> Estimate:
        return next(each for each in self.estimates if each.band == band)


def check_profile(profile: Profile) -> Profile:
    """The profile as it is kept: contacts in one form, nothing empty. Raises ProfileUnfit with the field's name."""
    for language, text in profile.descriptions.items():
        field = f"description_{language}"
        _refuse_unless(language in DESCRIPTION_LANGUAGES and len(text) <= DESCRIPTION_MAX, field)
        _refuse_unless(all(sign.isprintable() or sign in "\n\t" for sign in text), field)
        _refuse_identity_code(field, text)
    return Profile(
        descriptions={language: text for language, text in profile.descriptions.items() if text},
        areas=_check_areas(profile.areas),
        hours=_check_hours(profile.hours),
        languages=_check_languages(profile.languages),
        phone=_check_phone(profile.phone),
        email=_check_email(profile.email),
        web=_check_web(profile.web),
        takes_new=profile.takes_new,
    )


def what_differs(before: Profile, after: Profile) -> Sequence[str]:
    """The names of the fields that are otherwise."""
    return [each.name for each in fields(Profile) if getattr(before, each.name) != getattr(after, each.name)]


def _refuse_unless(is_fit: bool, field: str) -> None:
    if not is_fit:
        raise ProfileUnfit(field=field)


def _refuse_identity_code(field: str, text: str) -> None:
    try:
        refuse_identity_code(field, text)
    except PersonalIdentityCode:
        raise ProfileUnfit(field=field) from None


def _check_areas(areas: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if not areas:
        return None
    _refuse_unless(len(areas) <= AREAS_MAX, "areas")
    for area in areas:
        is_name = area[:1].isalpha() and all(sign.isalpha() or sign in _AREA_SIGNS for sign in area)
        _refuse_unless(len(area) <= AREA_MAX and is_name, "areas")
    return tuple(dict.fromkeys(areas))


def _check_hours(hours: Mapping[str, str] | None) -> Mapping[str, str] | None:
    if not hours:
        return None
    for kind, told in hours.items():
        _refuse_unless(kind in HOURS and (told == "" or _are_hours(told)), "hours")
    return {kind: hours[kind] for kind in HOURS if kind in hours}


def _are_hours(told: str) -> bool:
    found = _HOURS.fullmatch(told)
    if found is None:
        return False
    from_h, from_m, to_h, to_m = map(int, found.groups())
    begins, ends = from_h * 60 + from_m, to_h * 60 + to_m
    return from_m < 60 and to_m < 60 and 0 <= begins < ends <= 24 * 60


def _check_languages(languages: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if not languages:
        return None
    _refuse_unless(set(languages) <= set(LANGUAGES), "languages")
    return tuple(language for language in LANGUAGES if language in languages)


def _check_phone(phone: str | None) -> str | None:
    if not phone:
        return None
    try:
        number = phonenumbers.parse(phone, "FI")
    except phonenumbers.NumberParseException:
        raise ProfileUnfit(field="phone") from None
    is_typed = len(phone) <= PHONE_MAX and all(sign.isdigit() or sign in " +()-" for sign in phone)
    _refuse_unless(is_typed and phone.isascii() and phonenumbers.is_valid_number(number), "phone")
    return " ".join(phone.split())  # as people group its digits


def _check_email(email: str | None) -> str | None:
    try:
        return parse_email(email) if email else None
    except EmailInvalid:
        raise ProfileUnfit(field="email") from None


def _check_web(web: str | None) -> str | None:
    """An https address without a user, a port or anything that could be read as markup or a script."""
    if not web:
        return None
    _refuse_unless(len(web) <= WEB_MAX, "web")
    try:
        parts = urlsplit(web if "://" in web else f"https://{web}")
        host = idna.encode(parts.netloc.lower(), uts46=True, std3_rules=True).decode("ascii")
    except (ValueError, UnicodeError):
        raise ProfileUnfit(field="web") from None
    rest = (parts.path.rstrip("/") or "") + (f"?{parts.query}" if parts.query else "")
    is_named = _HOST.fullmatch(host) is not None and not host.rpartition(".")[2].isdigit()
    _refuse_unless(parts.scheme == "https" and is_named and _PATH.fullmatch(rest) is not None, "web")
    return f"https://{host}{rest}"
