"""Regions, organisers and programmes as values, and what each must be like to be kept. Pure: no I/O, no clock.

What goes into a text message is limited here, where it is entered, so that no family's text can grow past one SMS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from service.channels.rendering import DIRECTORY_MAX, HELP_PHONE_MAX, PROGRAMME_NAME_MAX
from service.channels.sms_text import Encoding, measure
from service.errors import Conflict, Invalid, NotFound
from service.money import MAX_AMOUNT, Unit

LANGUAGES = ("fi", "sv", "en")
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
NAME_MAX = 120


class OrganiserUnknown(NotFound):
    """There is no organiser of this slug or id."""

    code = "organiser_unknown"


class RegionUnknown(NotFound):
    """There is no region of this slug."""

    code = "region_unknown"


class ProgrammeUnknown(NotFound):
    """The organiser, or every organiser of the region, is without such a programme."""

    code = "programme_unknown"


class RegionDiffers(Conflict):
    """A region of this slug is there already, with another name."""

    code = "region_differs"


class OrganiserDiffers(Conflict):
    """An organiser of this slug is there already, with other content."""

    code = "organiser_differs"


class ProgrammeDiffers(Conflict):
    """The organiser has a programme of this name already, with other content."""

    code = "programme_differs"


class SlugMalformed(Invalid):
    """A short name is 1–40 of a–z, 0–9 and hyphens, not beginning with a hyphen."""

    code = "slug_malformed"


class NameUnfit(Invalid):
    """A name is 1–120 printable characters."""

    code = "name_unfit"


class TextUnfit(Invalid):
    """What goes into a text message has a space of its own there, in GSM-7 characters; `field` and `max` say which."""

    code = "text_unfit"


class LanguageUnserved(Invalid):
    """The languages are fi, sv and en; a programme has a name in each of them."""

    code = "language_unserved"


class UnitValueUnfit(Invalid):
    """A step and a unit's value are positive and no larger than any grant; money has no unit value beside itself."""

    code = "unit_value_unfit"


@dataclass(frozen=True, slots=True)
class Region:
    region_id: UUID
    slug: str
    name: str


@dataclass(frozen=True, slots=True)
class Organiser:
    organiser_id: UUID
    slug: str
    name: str
    region_id: UUID | None
    default_language: str
    help_phone: str
    directory_address: str


@dataclass(frozen=True, slots=True)
class Programme:
    organiser_id: UUID
    programme: str
    names: Mapping[str, str]
    unit: Unit
    step: int
    unit_value_cents: int | None


def check_region(region: Region) -> None:
    """Raises SlugMalformed or NameUnfit."""
    _check_slug("region", region.slug)
    _check_name(region.name)


def check_organiser(organiser: Organiser) -> None:
    """Raises SlugMalformed, NameUnfit, LanguageUnserved or TextUnfit."""
    _check_slug("organiser", organiser.slug)
    _check_name(organiser.name)
    if organiser.default_language not in LANGUAGES:
        raise LanguageUnserved
    _check_text("help_phone", organiser.help_phone, HELP_PHONE_MAX)
    _check_text("directory_address", organiser.directory_address, DIRECTORY_MAX)


def check_programme(programme: Programme) -> None:
    """Raises SlugMalformed, LanguageUnserved, TextUnfit or UnitValueUnfit."""
    _check_slug("programme", programme.programme)
    if set(programme.names) != set(LANGUAGES):
        raise LanguageUnserved
    for language in LANGUAGES:
        _check_text(f"names.{language}", programme.names[language], PROGRAMME_NAME_MAX)
    value_cents = programme.unit_value_cents
    if not 1 <= programme.step <= MAX_AMOUNT:
        raise UnitValueUnfit(field="step")
    if value_cents is not None and (programme.unit is Unit.CENTS or not 1 <= value_cents <= MAX_AMOUNT):
        raise UnitValueUnfit(field="unit_value_cents")


def _check_slug(field: str, slug: str) -> None:
    if not SLUG.fullmatch(slug):
        raise SlugMalformed(field=field)


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable() or name != name.strip():
        raise NameUnfit(max=NAME_MAX)


def _check_text(field: str, text: str, limit: int) -> None:
    measured = measure(text)
    fits = measured.encoding is Encoding.GSM_7 and 1 <= measured.units <= limit
    if not fits or not text.isprintable() or text != text.strip():
        raise TextUnfit(field=field, max=limit)
