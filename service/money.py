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


_COUNTED = {
    (Unit.VISITS, "fi"): ("käynti", "käyntiä"),
    (Unit.VISITS, "sv"): ("besök", "besök"),
    (Unit.VISITS, "en"): ("visit", "visits"),
    (Unit.SESSIONS, "fi"): ("kerta", "kertaa"),
    (Unit.SESSIONS, "sv"): ("gång", "gånger"),
    (Unit.SESSIONS, "en"): ("session", "sessions"),
}


def format_amount(amount: int, unit: Unit, language: str) -> str:
    """12 t · 2 t 30 min · 33,50 € · 5 kertaa — short enough for a text message, in fi, sv or en."""
    if unit is Unit.CENTS:
        euros, cents = divmod(abs(amount), 100)
        sign = "-" if amount < 0 else ""
        return f"{sign}€{euros}.{cents:02}" if language == "en" else f"{sign}{euros},{cents:02} €"
    if unit is Unit.MINUTES:
        hours, minutes = divmod(amount, 60)
        hour = "t" if language == "fi" else "h"
        parts = [f"{hours} {hour}"] * bool(hours) + [f"{minutes} min"] * bool(minutes or not hours)
        return " ".join(parts)
    one, many = _COUNTED[unit, language]
    return f"{amount} {one if amount == 1 else many}"
