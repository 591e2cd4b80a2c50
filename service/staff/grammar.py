"""What a worker's text asks to charge: a code, perhaps an amount, a day and a PIN. Pure.

    4827 0315 9268                     one visit
    4827 0315 9268 2,5                 hours, euros or visits, as the programme counts
    4827-0315-9268 2 t 30 min 123456   with the PIN, which stands last
    4827 0315 9268 eilen 2,5 123456    of another day
    4827 0315 9268 14-16.30 123456     from when to when, where the evening has another price
    Hei! 4827 0315 9268 2,5 123456     after a greeting; after any other words nothing is charged, and that is told
    4821                               the answer to a question

Nothing here keeps or repeats what was typed (I6). A slip is told from the text alone and looks nothing up.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Literal

from service.money import Unit
from service.vouchers.codes import DIGITS_MIN, CodeCheckDigit, CodeLength, normalise_code

PIN_DIGITS = 6
NUMBER_DIGITS = 4
"""Of the number that a question is answered with."""
CODE_LIKE_DIGITS = 9
"""So many digits at the beginning are meant as a code; fewer are a day, a house number, or somebody's habit."""


class Slip(StrEnum):
    """A text that begins like a charge and is none: typing, and not guessing."""

    LENGTH = CodeLength.code
    CHECK_DIGIT = CodeCheckDigit.code
    UNCLEAR = "unclear"


class Needed(StrEnum):
    """What is missing of the amount, by what the programme counts."""

    HOURS = "hours_needed"
    SUM = "sum_needed"
    VISITS = "visits_needed"


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount as typed. `bare` has no unit and is in hundredths; the others are whole minutes, cents, visits."""

    kind: Literal["bare", "minutes", "cents", "visits"]
    value: int


@dataclass(frozen=True, slots=True)
class Day:
    """A day as typed: so many days ago, or of this day and month, of this year if one was told."""

    days_ago: int = 0
    day: int | None = None
    month: int | None = None
    year: int | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """From when to when, in minutes of the clock since midnight; an end that is not later is on the next day."""

    starts: int
    ends: int


@dataclass(frozen=True, slots=True)
class ChargeText:
    """`clock` takes the place of a quantity: there is never both."""

    code: str = field(repr=False)
    quantity: Quantity | None = None
    day: Day | None = None
    pin: str | None = field(default=None, repr=False)
    clock: Clock | None = None


@dataclass(frozen=True, slots=True)
class Confirmation:
    number: str = field(repr=False)


# As service/vouchers/codes.py has them: what stands between groups of digits.
_BETWEEN = r"\s.\-\u00ad\u058a\u05be\u200b-\u200d\u2010-\u2015\u2060\u2212\ufe58\ufe63\ufeff"
_INVISIBLE = r"\s\u200b-\u200f\u2060\ufeff"
# What may stand before the code, for it says nothing about the charge.
_GREETING = re.compile(
    rf"(?:(?:hei|heippa|moi|moikka|terve|hej|hejsan|hello|hi|koodi|kod|code)(?!\w)[{_INVISIBLE}!,.:;\-\u2013]*)+",
    re.IGNORECASE,
)
_LEAD = re.compile(rf"[0-9](?:[0-9]|[{_BETWEEN}])*")
_AFTER_CODE = re.compile(rf"[{_BETWEEN},;:]*")
_PIN = re.compile(r"(?:^|[\s,;])(?:pin\s*:?\s*)?([0-9]{6})[\s.!]*$")
_LONG_DIGITS = re.compile(r"[0-9]{5,}")

_DAYS_AGO = {"toissapäivänä": 2, "i förrgår": 2, "eilen": 1, "igår": 1, "i går": 1, "yesterday": 1}
_DAYS_AGO |= {"tänään": 0, "idag": 0, "i dag": 0, "today": 0}
_DAY_WORD = re.compile(rf"(?<!\w)({'|'.join(_DAYS_AGO)})(?!\w)")
# 21.11. or 21.11.2026 or 21/11; never 21.11, which is an amount.
_DATE = re.compile(
    r"(?<![0-9.,/])([0-3]?[0-9])(?:\.([01]?[0-9])\.(20[0-9]{2})?|/([01]?[0-9])(?:/(20[0-9]{2}))?)(?![0-9.,/])"
)

_HOUR_OF_DAY = r"([01]?[0-9]|2[0-4])(?:[.:]([0-5][0-9]))?"
_FROM_TO = re.compile(
    rf"(?<![0-9.,:/-])(?:kl[o.]?\s*)?{_HOUR_OF_DAY}\s*[-\u2010-\u2015\u2212]\s*{_HOUR_OF_DAY}(?![0-9,:/-])"
)
DAY_MINUTES = 24 * 60

_NUMBER = r"([0-9]{1,4})(?:[.,]([0-9]{1,2}))?"
_HOUR = r"(?:t|h|tunti|tuntia|tim|timme|timmar|hrs?|hours?)\.?"
_MINUTE = r"(?:min|mins|minuuttia|minuter|minutes)\.?"
_TIMES = r"(?:x|krt|kertaa?|käynti|käyntiä|ggr|gång|gånger|besök|visits?|sessions?)\.?"
_EURO = r"(?:€|e|eur|euroa?|euros)\.?"
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("bare", _NUMBER),
        ("hours", rf"{_NUMBER}\s*{_HOUR}"),
        ("hours_minutes", rf"([0-9]{{1,2}})\s*{_HOUR}\s*([0-5]?[0-9])\s*(?:{_MINUTE})?"),
        ("hours_minutes", r"([0-9]{1,2}):([0-5][0-9])"),
        ("minutes", rf"([0-9]{{1,4}})\s*{_MINUTE}"),
        ("cents", rf"{_NUMBER}\s*{_EURO}"),
        ("cents", rf"€\s*{_NUMBER}"),
        ("visits", rf"([0-9]{{1,2}})\s*{_TIMES}"),
    )
)


def read_text(text: str, digits: int = DIGITS_MIN) -> ChargeText | Confirmation | Slip | None:
    """What a text asks to charge; None for a text that is about something else.

    `digits` is how long new codes are. Old keypads and word processors are forgiven: any spacing and any dash in the
    code, comma or point in the amount.
    """
    plain = unicodedata.normalize("NFKC", text).strip().strip("\u200b\u200c\u200d\u200e\u200f\u2060\ufeff").strip()
    if re.fullmatch(rf"[0-9]{{{NUMBER_DIGITS}}}[\s.!]*", plain):
        return Confirmation(plain[:NUMBER_DIGITS])
    plain = plain[greeting.end() :] if (greeting := _GREETING.match(plain)) else plain
    lead = _LEAD.match(plain)
    if lead is None or sum(character.isdigit() for character in lead[0]) < CODE_LIKE_DIGITS:
        return Slip.UNCLEAR if _has_code_inside(plain, digits) else None
    found = _split_code(plain, digits)
    if isinstance(found, Slip):
        return found
    code, rest = found
    return _read_rest(code, rest.casefold())


def _has_code_inside(plain: str, digits: int) -> bool:
    """Whether a code, perhaps with a slip, stands after other words.

    Nothing is charged by it: they may say another day, or that nothing is to be charged. + begins a phone's number."""
    runs = [run for run in _LEAD.finditer(plain) if plain[: run.start()][-1:] != "+"]
    return any(_split_code(plain[run.start() :], digits) is not Slip.LENGTH for run in runs)


def _split_code(plain: str, digits: int) -> tuple[str, str] | Slip:
    """The code, of the length of new ones if it can be, else of an earlier one; and what stands behind it."""
    slip = Slip.LENGTH
    for length in (digits, *range(DIGITS_MIN, digits)):
        end = _end_of_digits(plain, length)
        if end is None or not _is_grouped(plain[:end]):
            continue
        try:
            code = normalise_code(plain[:end], length)
        except CodeCheckDigit:
            slip = Slip.CHECK_DIGIT
        else:
            return code, plain[end:]
    return slip


def _end_of_digits(plain: str, count: int) -> int | None:
    """Where the first `count` digits end, if nothing but separators is between them and a group ends there."""
    lead = _LEAD.match(plain)
    assert lead is not None
    places = [place for place, character in enumerate(lead[0]) if character.isdigit()]
    if len(places) < count:
        return None
    end = places[count - 1] + 1
    return None if plain[end : end + 1].isdigit() else end


def _is_grouped(shown: str) -> bool:
    """False when the last digit stands alone and others do not: then a digit is missing, and it is the amount's."""
    groups = [len(group) for group in re.split(rf"[{_BETWEEN}]+", shown) if group]
    return len(groups) == 1 or groups[-1] > 1 or max(groups) == 1


def _read_rest(code: str, rest: str) -> ChargeText | Slip:
    rest = rest[_AFTER_CODE.match(rest).end() :] if _AFTER_CODE.match(rest) else rest  # type: ignore[union-attr]
    pin = None
    if typed := _PIN.search(rest):
        pin, rest = typed[1], rest[: typed.start()]
    if _LONG_DIGITS.search(rest):
        return Slip.UNCLEAR
    clock, rest = _take_clock(rest)
    day, rest = _take_day(rest)
    rest = rest.strip(" \t\n.,;:!")
    if not rest:
        return ChargeText(code, None, day, pin, clock)
    quantity = read_quantity(rest)
    return Slip.UNCLEAR if quantity is None or clock is not None else ChargeText(code, quantity, day, pin)


def _take_clock(rest: str) -> tuple[Clock | None, str]:
    typed = _FROM_TO.search(rest)
    if typed is None:
        return None, rest
    starts, ends = (int(typed[place]) * 60 + int(typed[place + 1] or 0) for place in (1, 3))
    if starts >= DAY_MINUTES or ends > DAY_MINUTES or starts == ends:
        return None, rest
    return Clock(starts, ends), f"{rest[: typed.start()]} {rest[typed.end() :]}"


def _take_day(rest: str) -> tuple[Day | None, str]:
    """The day and what is left without it. A second one is left, and nobody understands it."""
    if word := _DAY_WORD.search(rest):
        return Day(days_ago=_DAYS_AGO[word[1]]), f"{rest[: word.start()]} {rest[word.end() :]}"
    if typed := _DATE.search(rest):
        month, year = typed[2] or typed[4], typed[3] or typed[5]
        day = Day(day=int(typed[1]), month=int(month), year=int(year) if year else None)
        return day, f"{rest[: typed.start()]} {rest[typed.end() :]}"
    return None, rest


def read_quantity(text: str) -> Quantity | None:
    """2,5 · 2.5 t · 2t30 · 150 min · 40,50 € · 2 krt; None for anything else, and for nothing at all."""
    for name, pattern in _PATTERNS:
        if typed := pattern.fullmatch(text):
            quantity = _quantity(name, typed)
            return quantity if quantity is None or quantity.value > 0 else None
    return None


def _quantity(name: str, typed: re.Match[str]) -> Quantity | None:
    if name == "hours_minutes":
        return Quantity("minutes", int(typed[1]) * 60 + int(typed[2]))
    if name == "minutes":
        return Quantity("minutes", int(typed[1]))
    if name == "visits":
        return Quantity("visits", int(typed[1]))
    hundredths = int(typed[1]) * 100 + int((typed[2] or "0").ljust(2, "0"))
    if name == "cents":
        return Quantity("cents", hundredths)
    if name == "bare":
        return Quantity("bare", hundredths)
    return None if hundredths * 60 % 100 else Quantity("minutes", hundredths * 60 // 100)


def amount_in(unit: Unit, quantity: Quantity | None) -> int | Needed:
    """The amount in the programme's unit, or what has to be told. Nothing is one visit where visits are counted."""
    if unit is Unit.MINUTES:
        if quantity is not None and quantity.kind == "minutes":
            return quantity.value
        if quantity is not None and quantity.kind == "bare" and quantity.value * 60 % 100 == 0:
            return quantity.value * 60 // 100
        return Needed.HOURS
    if unit is Unit.CENTS:
        return quantity.value if quantity is not None and quantity.kind in ("bare", "cents") else Needed.SUM
    if quantity is None:
        return 1
    if quantity.kind == "visits":
        return quantity.value
    whole = quantity.kind == "bare" and quantity.value % 100 == 0
    return quantity.value // 100 if whole else Needed.VISITS


def day_of(day: Day | None, today: date) -> date | None:
    """The day that is meant: of those with its name the one nearest to today. None when the calendar has none such.

    One that is still to come is kept, for the answer to say so: a slip must not become a visit of last year.
    """
    if day is None or day.day is None or day.month is None:
        return today - timedelta(days=day.days_ago if day is not None else 0)
    near = [found for year in _years(day, today) if (found := _date_or_none(year, day.month, day.day)) is not None]
    return min(near, key=lambda found: abs((found - today).days), default=None)


def _years(day: Day, today: date) -> tuple[int, ...]:
    return (day.year,) if day.year is not None else (today.year - 1, today.year, today.year + 1)


def _date_or_none(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
