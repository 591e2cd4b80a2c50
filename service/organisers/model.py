"""Regions, organisers and programmes as values, and what each must be like to be kept. Pure: no I/O, no clock.

What goes into a text message is limited here, where it is entered, so that no family's text can grow past one SMS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from service.channels.kinds import DIRECTORY_MAX, HELP_PHONE_MAX, PROGRAMME_NAME_MAX
from service.channels.languages import LAST_RESORT, MESSAGE_LANGUAGES
from service.channels.sms_text import Encoding, measure
from service.errors import Conflict, Invalid, NotFound
from service.money import MAX_AMOUNT, Unit

NAMES_REQUIRED = ("fi", "sv", "en")  # names in the other languages served may be added
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
    """What goes into a text message has a space of its own there; `field` and `max` say which.

    In GSM-7 characters, but for names in languages that are written with others.
    """

    code = "text_unfit"


class LanguageUnserved(Invalid):
    """A language is one that messages are served in; a programme has a name in fi, sv and en at least."""

    code = "language_unserved"


class UnitValueUnfit(Invalid):
    """A step and a unit's value are positive and no larger than any grant; money has no unit value beside itself."""

    code = "unit_value_unfit"


class Receipts(StrEnum):
    """How families hear of debits: after each, once a day, or not at all."""

    EACH = "each"
    DAILY = "daily"
    OFF = "off"


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
    """This and the next as today's rules have them."""
    unit_value_cents: int | None
    """What an hour, a visit or a session is worth on a weekday."""
    neutral_texts: bool = False
    """Texts leave out the name of the service, for homes where that matters."""
    receipts: Receipts = Receipts.EACH
    weekly_visits: int | None = None
    """Of decisions that name no weekly cap; this and the next as today's rules have them, too."""
    weekly_minutes: int | None = None

    def name_in(self, language: str, default_language: str) -> str:
        """The name in this language; else in the organiser's; else in Finnish, which every programme has."""
        return self.names.get(language) or self.names.get(default_language) or self.names[LAST_RESORT]


def own_directory(public_url: str, slug: str) -> str:
    """Where this installation lists an organiser's providers, as texts write it; short of room, where it lists all.

    Without its https://, which every phone and mail program adds. Longer than DIRECTORY_MAX only where the
    installation's own name is: then `check_organiser` asks for another address.
    """
    host = public_url.partition("://")[2]
    longest = f"{host}/d/{slug}"
    return longest if measure(longest).units <= DIRECTORY_MAX else f"{host}/d"


def check_region(region: Region) -> None:
    """Raises SlugMalformed or NameUnfit."""
    _check_slug("region", region.slug)
    _check_name(region.name)


def check_organiser(organiser: Organiser) -> None:
    """Raises SlugMalformed, NameUnfit, LanguageUnserved or TextUnfit."""
    _check_slug("organiser", organiser.slug)
    _check_name(organiser.name)
    if organiser.default_language not in MESSAGE_LANGUAGES:
        raise LanguageUnserved
    _check_text("help_phone", organiser.help_phone, HELP_PHONE_MAX)
    _check_text("directory_address", organiser.directory_address, DIRECTORY_MAX)


def check_programme(programme: Programme) -> None:
    """What a new programme must be like. Raises SlugMalformed, LanguageUnserved, TextUnfit or UnitValueUnfit."""
    _check_slug("programme", programme.programme)
    check_names(programme)
    value_cents = programme.unit_value_cents
    if not 1 <= programme.step <= MAX_AMOUNT:
        raise UnitValueUnfit(field="step")
    if value_cents is not None and (programme.unit is Unit.CENTS or not 1 <= value_cents <= MAX_AMOUNT):
        raise UnitValueUnfit(field="unit_value_cents")


def check_names(programme: Programme) -> None:
    """Raises LanguageUnserved or TextUnfit."""
    if not set(NAMES_REQUIRED) <= set(programme.names) <= set(MESSAGE_LANGUAGES):
        raise LanguageUnserved
    for language, name in programme.names.items():
        _check_text(f"names.{language}", name, PROGRAMME_NAME_MAX, gsm_only=language in NAMES_REQUIRED)


def _check_slug(field: str, slug: str) -> None:
    if not SLUG.fullmatch(slug):
        raise SlugMalformed(field=field)


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable() or name != name.strip():
        raise NameUnfit(max=NAME_MAX)


def _check_text(field: str, text: str, limit: int, *, gsm_only: bool = True) -> None:
    measured = measure(text)
    fits = (measured.encoding is Encoding.GSM_7 or not gsm_only) and 1 <= measured.units <= limit
    if not fits or not text.isprintable() or text != text.strip():
        raise TextUnfit(field=field, max=limit)
