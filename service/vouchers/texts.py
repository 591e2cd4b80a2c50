"""The parts of a voucher's text message, in the family's language; the wording around them is in templates/. Pure.

They are frozen when the message is queued. The text tells what was granted, not what is left: it is the voucher, and a
copy of it that is asked for after three visits reads like the one that was deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import lru_cache

from service.money import Unit, format_amount
from service.organisers.model import Organiser, Programme

MESSAGE_KIND = "voucher"
# A day without a year is the next one of that name; beyond this it could be mistaken.
YEAR_NEEDED_DAYS = 300

_PER_WEEK = {"fi": "{} krt/vko", "sv": "{} ggr/v", "en": "{}x/week"}
_TIME_PER_WEEK = {"fi": "{}/vko", "sv": "{}/v", "en": "{}/week"}
# Pure, and an import asks for the same few a hundred thousand times.
_remembered = lru_cache(maxsize=4096)
_amount = _remembered(format_amount)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def message_fields(
    organiser: Organiser,
    programme: Programme,
    language: str,
    *,
    granted: int,
    weekly_visits: int | None,
    weekly_minutes: int | None,
    valid_to: date,
    today: date,
) -> Mapping[str, str]:
    """All fields of the `voucher` message but the code itself."""
    return {
        "programme": programme.names[language],
        "amount": _amount(granted, programme.unit, language),
        "weekly": format_weekly(weekly_visits, weekly_minutes, language),
        "valid_to": format_day(valid_to, today, language),
        "organiser": organiser.name,
        "help_phone": organiser.help_phone,
        "directory": organiser.directory_address,
    }


@_remembered
def format_weekly(visits: int | None, minutes: int | None, language: str) -> str:
    """2 krt/vko · 3 t/vko · 2 krt/vko, 3 t/vko · empty without a cap."""
    parts = [_PER_WEEK[language].format(visits)] if visits is not None else []
    if minutes is not None:
        parts.append(_TIME_PER_WEEK[language].format(format_amount(minutes, Unit.MINUTES, language)))
    return ", ".join(parts)


@_remembered
def format_day(day: date, today: date, language: str) -> str:
    """31.3. · 31.3 · 31 Mar, with the year when it is far enough ahead to be mistaken."""
    far = (day - today).days > YEAR_NEEDED_DAYS
    if language == "en":
        return f"{day.day} {_MONTHS[day.month - 1]}" + (f" {day.year}" if far else "")
    if far:
        return f"{day.day}.{day.month}.{day.year}"
    return f"{day.day}.{day.month}." if language == "fi" else f"{day.day}.{day.month}"
