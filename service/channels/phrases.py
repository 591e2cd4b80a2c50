"""Phrases inside texts that are made from values: days, weekly limits, a line of a balance. Pure."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

from service.money import Unit, count, format_amount

# A day without a year is the next one of that name; beyond this it could be mistaken.
YEAR_NEEDED_DAYS = 300

_PER_WEEK = {
    "fi": ("{} krt/vko",) * 2,
    "sv": ("{} ggr/v",) * 2,
    "en": ("{}x/week",) * 2,
    "se": ("{} geardi/vahkku", "{} gearddi/vahkku"),
    "ru": ("{} раз/нед", "{} раза/нед", "{} раз/нед"),
    "uk": ("{} раз/тиж", "{} рази/тиж", "{} разів/тиж"),
    "ar": ("مرة/أسبوع", "مرتان/أسبوع", "{} مرات/أسبوع", "{} مرة/أسبوع"),
    "so": ("{} jeer/usbuuc",) * 2,
    "et": ("{} kord/näd", "{} korda/näd"),
}
_TIME_PER_WEEK = {
    "fi": "{}/vko",
    "sv": "{}/v",
    "en": "{}/week",
    "se": "{}/vahkku",
    "ru": "{}/нед",
    "uk": "{}/тиж",
    "ar": "{}/أسبوع",
    "so": "{}/usbuuc",
    "et": "{}/näd",
}
_COMMA = {"ar": "، "}
_UNTIL = {
    "fi": "{} asti",
    "sv": "till {}",
    "en": "until {}",
    "se": "{} rádjai",
    "ru": "до {}",
    "uk": "до {}",
    "ar": "حتى {}",
    "so": "ilaa {}",
    "et": "kuni {}",
}
_DAY = {
    "fi": "{day}.{month}.",
    "sv": "{day}.{month}",
    "se": "{day}.{month}.",
    "ru": "{day:02}.{month:02}",
    "uk": "{day:02}.{month:02}",
    "ar": "{day}/{month}",
    "so": "{day}/{month}",
    "et": "{day:02}.{month:02}",
}
_YEAR_AFTER = {"fi": "{}", "se": "{}", "ar": "/{}", "so": "/{}"}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Pure, and an import asks for the same few a hundred thousand times.
_remembered = lru_cache(maxsize=4096)


@_remembered
def format_weekly(visits: int | None, minutes: int | None, language: str) -> str:
    """2 krt/vko · 3 t/vko · 2 krt/vko, 3 t/vko · empty without a cap."""
    parts = [count(visits, _PER_WEEK[language], language)] if visits is not None else []
    if minutes is not None:
        parts.append(_TIME_PER_WEEK[language].format(format_amount(minutes, Unit.MINUTES, language)))
    return _COMMA.get(language, ", ").join(parts)


@_remembered
def format_day(day: date, today: date, language: str) -> str:
    """31.3. · 31.3 · 31 Mar · 31/3, with the year when it is far enough from today to be mistaken."""
    far = abs((day - today).days) > YEAR_NEEDED_DAYS
    if language == "en":
        return f"{day.day} {_MONTHS[day.month - 1]}" + (f" {day.year}" if far else "")
    shown = _DAY[language].format(day=day.day, month=day.month)
    return shown + _YEAR_AFTER.get(language, ".{}").format(day.year) if far else shown


def format_balance(last_four: str, left: str, valid_to: str, language: str) -> str:
    """One line of `reply_balance`: "..9268: 10 t, 31.3. asti". Two full stops, because … is not in GSM-7."""
    until = _UNTIL[language].format(valid_to)
    return f"..{last_four}: {left}{_COMMA.get(language, ', ')}{until}"
