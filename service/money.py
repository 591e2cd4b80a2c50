"""Amounts of value. An amount is a whole number in its programme's unit: cents, minutes, visits or sessions.

Never a float, nowhere (I1). What a family or a provider reads is made here, so that it is the same everywhere.
"""

from __future__ import annotations

from enum import StrEnum

MAX_AMOUNT = 10**9  # ten million euros in cents; nothing one family is granted comes near


class Unit(StrEnum):
    CENTS = "cents"
    MINUTES = "minutes"
    VISITS = "visits"
    SESSIONS = "sessions"


_HOURS, _MINUTES = "hours", "minutes"
# The forms of a counted word, in the order of `_form`.
_COUNTED: dict[tuple[str, str], tuple[str, ...]] = {
    (_HOURS, "fi"): ("{} t",) * 2,
    (_HOURS, "sv"): ("{} h",) * 2,
    (_HOURS, "en"): ("{} h",) * 2,
    (_HOURS, "se"): ("{} diibmu", "{} diimmu"),
    (_HOURS, "ru"): ("{} ч",) * 3,
    (_HOURS, "uk"): ("{} год",) * 3,
    (_HOURS, "ar"): ("ساعة واحدة", "ساعتان", "{} ساعات", "{} ساعة"),
    (_HOURS, "so"): ("{} saac",) * 2,
    (_HOURS, "et"): ("{} t",) * 2,
    (_MINUTES, "ru"): ("{} мин",) * 3,
    (_MINUTES, "uk"): ("{} хв",) * 3,
    (_MINUTES, "ar"): ("دقيقة واحدة", "دقيقتان", "{} دقائق", "{} دقيقة"),
    (_MINUTES, "so"): ("{} daq",) * 2,
    (Unit.VISITS, "fi"): ("{} käynti", "{} käyntiä"),
    (Unit.VISITS, "sv"): ("{} besök", "{} besök"),
    (Unit.VISITS, "en"): ("{} visit", "{} visits"),
    (Unit.VISITS, "se"): ("{} galledeapmi", "{} galledeami"),
    (Unit.VISITS, "ru"): ("{} визит", "{} визита", "{} визитов"),
    (Unit.VISITS, "uk"): ("{} візит", "{} візити", "{} візитів"),
    (Unit.VISITS, "ar"): ("زيارة واحدة", "زيارتان", "{} زيارات", "{} زيارة"),
    (Unit.VISITS, "so"): ("{} booqasho",) * 2,
    (Unit.VISITS, "et"): ("{} külastus", "{} külastust"),
    (Unit.SESSIONS, "fi"): ("{} kerta", "{} kertaa"),
    (Unit.SESSIONS, "sv"): ("{} gång", "{} gånger"),
    (Unit.SESSIONS, "en"): ("{} session", "{} sessions"),
    (Unit.SESSIONS, "se"): ("{} geardi", "{} gearddi"),
    (Unit.SESSIONS, "ru"): ("{} сеанс", "{} сеанса", "{} сеансов"),
    (Unit.SESSIONS, "uk"): ("{} сеанс", "{} сеанси", "{} сеансів"),
    (Unit.SESSIONS, "ar"): ("جلسة واحدة", "جلستان", "{} جلسات", "{} جلسة"),
    (Unit.SESSIONS, "so"): ("{} jeer",) * 2,
    (Unit.SESSIONS, "et"): ("{} kord", "{} korda"),
}
_EUROS = {"en": "{}€{}.{}", "so": "{}€{}.{}", "ar": "{}{}.{} يورو"}
_JOINED_BY = {"ar": " و"}


def format_amount(amount: int, unit: Unit, language: str) -> str:
    """12 t · 2 t 30 min · 33,50 € · 5 kertaa — short enough for a text message, in each language served."""
    if unit is Unit.CENTS:
        euros, cents = divmod(abs(amount), 100)
        sign = "-" if amount < 0 else ""
        return _EUROS.get(language, "{}{},{} €").format(sign, euros, f"{cents:02}")
    if unit is Unit.MINUTES:
        hours, minutes = divmod(amount, 60)
        parts = [count(hours, _COUNTED[_HOURS, language], language)] * bool(hours)
        minute_forms = _COUNTED.get((_MINUTES, language), ("{} min",) * 2)
        parts += [count(minutes, minute_forms, language)] * bool(minutes or not hours)
        return _JOINED_BY.get(language, " ").join(parts)
    return count(amount, _COUNTED[unit, language], language)


def count(number: int, forms: tuple[str, ...], language: str) -> str:
    """The number with its word, of one · many; one · few · many (ru, uk); one · two · few · many (ar)."""
    return forms[_form(number, language)].format(number)


def _form(number: int, language: str) -> int:
    """Which plural form a whole number takes (Unicode CLDR, plural rules)."""
    tens = number % 100
    if language in ("ru", "uk"):
        if number % 10 == 1 and tens != 11:
            return 0
        return 1 if 2 <= number % 10 <= 4 and not 12 <= tens <= 14 else 2
    if language == "ar":
        return {1: 0, 2: 1}.get(number, 2 if 3 <= tens <= 10 else 3)
    return 0 if number == 1 else 1
