"""What people read when something is refused: a sentence and a next step for each error code, in fi, sv and en.

The sentences are data, in `templates/problems/<language>.toml`; a test holds that every error class has its entry in
every language, with placeholders that its details fill.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cache
from pathlib import Path
from string import Formatter
from zoneinfo import ZoneInfo

from service.errors import Detail
from service.money import Unit, format_amount

LANGUAGES = ("fi", "sv", "en")
_ALIKE = "_alike"
_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_HELSINKI = ZoneInfo("Europe/Helsinki")
_STATES = {
    "fi": {
        "cancelled": "peruttu",
        "closed": "päätetty",
        "expired": "vanhentunut",
        "suspended": "pysäytetty",
        "exhausted": "käytetty loppuun",
        "issued": "voimassa",
        "captured": "veloitettu",
        "voided": "peruttu",
        "lapsed": "rauennut",
    },
    "sv": {
        "cancelled": "annullerad",
        "closed": "avslutad",
        "expired": "utgången",
        "suspended": "stoppad",
        "exhausted": "förbrukad",
        "issued": "i kraft",
        "captured": "debiterad",
        "voided": "borttagen",
        "lapsed": "förfallen",
    },
}
_NEVER = {"fi": "ei enää setelin voimassaoloaikana", "sv": "ingen under sedelns giltighetstid"}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
FOLDER = Path(__file__).parent.parent / "templates" / "problems"


@dataclass(frozen=True)
class Problem:
    detail: str
    next_step: str


class _Lenient(Formatter):
    """Days as people write them. A detail that is missing shows as '…': a gap beats an error about an error."""

    def __init__(self, language: str) -> None:
        self._language = language

    def get_value(self, key: int | str, args: object, kwargs: Mapping[str, object]) -> object:
        value = kwargs.get(str(key))
        if isinstance(value, str) and (day := _ISO_DAY.fullmatch(value)):
            return format_day(date.fromisoformat(day[0]), self._language)
        if isinstance(value, str) and _ISO_TIME.fullmatch(value):
            return format_time(datetime.fromisoformat(value), self._language)
        if key == "state" and isinstance(value, str):
            return _STATES.get(self._language, {}).get(value, value)
        if key == "next_allowed_date" and value is None and str(key) in kwargs:
            return _NEVER.get(self._language, "none within the voucher's validity")
        if isinstance(value, list | tuple):
            return ", ".join(str(one) for one in value)
        return "…" if value is None else value


def format_time(moment: datetime, language: str) -> str:
    """22.11.2026 0.01 in Finnish, 22.11.2026 00:01 in Swedish: by the clock in Helsinki."""
    local = moment.astimezone(_HELSINKI)
    return f"{format_day(local.date(), language)} {format_clock(local, language)}"


def format_clock(clock: time | datetime, language: str, *, has_seconds: bool = False) -> str:
    """0.01 in Finnish, 00:01 in Swedish and English. A moment is taken as it stands, in whatever zone."""
    parts = [f"{clock.hour}" if language == "fi" else f"{clock.hour:02}", f"{clock.minute:02}"]
    parts += [f"{clock.second:02}"] if has_seconds else []
    return ("." if language == "fi" else ":").join(parts)


def format_recent_time(moment: datetime, language: str) -> str:
    """As format_time, without the year: for what is never long ago."""
    local = moment.astimezone(_HELSINKI)
    day = f"{local.day} {_MONTHS[local.month - 1]}" if language == "en" else f"{local.day}.{local.month}."
    return f"{day} {format_clock(local, language)}"


def format_day(day: date, language: str) -> str:
    """21.11.2026 in Finnish and Swedish, 21 November 2026 in English."""
    if language != "en":
        return f"{day.day}.{day.month}.{day.year}"
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


@cache
def catalogue(language: str) -> Mapping[str, Mapping[str, str]]:
    """All sentences of one language, as in its file."""
    return tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))


def problem(code: str, details: Mapping[str, Detail], language: str) -> Problem:
    """The sentence and the next step for an error code. KeyError when the code has none: a test prevents that."""
    return fill_in(catalogue(language if language in LANGUAGES else "en")[code], details, language)


def fill_in(entry: Mapping[str, str], details: Mapping[str, Detail], language: str) -> Problem:
    """An entry's sentences with the details in their places: days and amounts as people write them.

    Of an entry that has others for it, those, where `similar_debit` tells that a visit like this one is there already.
    """
    fill, values = _Lenient(language), {**details, **_amounts_in_words(details, language)}
    ending = _ALIKE if details.get("similar_debit") and f"detail{_ALIKE}" in entry else ""
    return Problem(
        detail=fill.vformat(entry[f"detail{ending}"], (), values),
        next_step=fill.vformat(entry[f"next_step{ending}"], (), values),
    )


_IN_ITS_UNIT = ("available", "requested", "step", "left", "held", "lowest")
_IN_UNITS = {"used_minutes": Unit.MINUTES, "weekly_minutes": Unit.MINUTES, "family_pays_cents": Unit.CENTS}


def _amounts_in_words(details: Mapping[str, Detail], language: str) -> Mapping[str, str]:
    """`available` 630 with `unit` minutes is `available_text` 10 t 30 min; `…_cents` becomes `…_text`."""
    unit = details.get("unit")
    units = dict.fromkeys(_IN_ITS_UNIT, Unit(unit)) if isinstance(unit, str) else {}
    return {
        f"{name.removesuffix('_cents')}_text": format_amount(amount, of_unit, language)
        for name, of_unit in (units | _IN_UNITS).items()
        if isinstance(amount := details.get(name), int)
    }


FIELDS_FOLDER = FOLDER.parent / "fields"
# Pydantic tells many faults apart that are one to the person who reads.
_FAULT_KINDS = {"enum": "choice", "literal_error": "choice", "model_type": "object", "model_attributes_type": "object"}


@cache
def field_words(language: str) -> Mapping[str, str]:
    """What a field must be, by the kind of fault."""
    return tomllib.loads((FIELDS_FOLDER / f"{language}.toml").read_text("utf-8"))


def field_reason(fault: str, limits: Mapping[str, object], language: str) -> str:
    """What a field that pydantic refused must be, for people."""
    words = field_words(language if language in LANGUAGES else "en")
    kind = _FAULT_KINDS.get(fault, fault)
    if kind not in words:
        kind = next((family for family in ("date", "uuid") if fault.startswith(family)), "other")
    if isinstance(choices := limits.get("expected"), str):  # pydantic's list is English: 'fi', 'sv' or 'en'
        limits = {**limits, "expected": choices.replace(" or ", ", ")}
    return _Lenient(language).vformat(words[kind], (), limits)


@cache
def _own_reasons() -> Sequence[tuple[str, re.Pattern[str]]]:
    """What our own checks say of a field, in English: each with its kind, and a pattern that finds its limits."""
    return [
        (kind, re.compile("".join(_as_pattern(*part) for part in Formatter().parse(words))))
        for kind, words in field_words("en").items()
        if kind.startswith("own_")
    ]


def _as_pattern(text: str, name: str | None, _spec: str | None, _conversion: str | None) -> str:
    return re.escape(text) + (f"(?P<{name}>.+)" if name else "")


def reword(reason: str, language: str) -> str:
    """What our own check of a field said to a program, for a person who reads another language."""
    if language == "en":
        return reason
    for kind, pattern in _own_reasons():
        if found := pattern.fullmatch(reason):
            return field_reason(kind, found.groupdict(), language)
    return reason


def choose_language(accept_language: str | None, *, default: str = "fi") -> str:
    """The served language that the header asks for most (RFC 9110 §12.5.4); the default when none or nonsense."""
    best, best_weight = default, 0.0
    for part in (accept_language or "").split(",")[:20]:
        tag, _, parameters = part.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        weight = _weight(parameters)
        if language in LANGUAGES and weight > best_weight:
            best, best_weight = language, weight
    return best


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0
