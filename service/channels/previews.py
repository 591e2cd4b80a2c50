"""Values to look at a template with: usual ones, and the longest that a text must still hold. Pure.

The command line shows texts with them, and a test holds every template to its parts with the longest.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from service.channels.kinds import (
    DIRECTORY_MAX,
    HELP_PHONE_MAX,
    KINDS,
    PROGRAMME_NAME_MAX,
    REASON_MAX,
)
from service.channels.phrases import format_balance, format_day, format_weekly
from service.money import Unit, format_amount

_TODAY = date(2026, 11, 23)
_PROGRAMME_NAMES = {
    "fi": "Kotipalvelu",
    "sv": "Hemservice",
    "en": "Home help",
    "se": "Ruovttubálvalus",
    "ru": "Помощь на дому",
    "uk": "Допомога вдома",
    "ar": "مساعدة منزلية",
    "so": "Caawimo guri",
    "et": "Koduabi",
}
_BALANCE_LINES_MAX = 3
_REASONS = {
    "fi": {"reason": "PIN on väärä.", "next_step": "Yrityksiä jäljellä: 2."},
    "sv": {"reason": "PIN-koden är fel.", "next_step": "Försök kvar: 2."},
    "en": {"reason": "The PIN is wrong.", "next_step": "Tries left: 2."},
}


def typical_values(kind: str, language: str) -> Mapping[str, str]:
    """What an ordinary family's message holds."""
    left = format_amount(600, Unit.MINUTES, language)
    valid_to = format_day(date(2027, 3, 31), _TODAY, language)
    return _of_kind(
        kind,
        {
            "code": "4827 0315 9268",
            "code_digits": "482703159268",
            "programme": _PROGRAMME_NAMES[language],
            "amount": format_amount(720 if kind == "voucher" else 120, Unit.MINUTES, language),
            "weekly": format_weekly(2, None, language),
            "valid_to": valid_to,
            "organiser": "Kuusirannan hyvinvointialue",
            "help_phone": "014 555 0101",
            "directory": "kuusiranta.example/ps",
            "provider": "Kotiapu Käpylintu Oy",
            "service_date": format_day(date(2026, 11, 20), _TODAY, language),
            "day": format_day(date(2026, 11, 20), _TODAY, language),
            "left": left,
            "last_four": "9268",
            "count": "2",
            "number": "4821",
            "alike": "",
            "owner": "Kuusirannan hyvinvointialue",
            "inviter": "Aino Käki",
            "link": "https://seteli.kuusiranta.example/invitation/" + "k7Q" * 14 + "w",
            "family_pays": format_amount(1250, Unit.CENTS, language),
            **_REASONS.get(language, _REASONS["en"]),
            "lines": format_balance("9268", left, valid_to, language),
        },
    )


def longest_values(kind: str, language: str) -> Mapping[str, str]:
    """The longest that can be: limits where values are limited, and beyond what anybody is granted elsewhere."""
    amount = format_amount(999 * 60 + 45, Unit.MINUTES, language)
    day = format_day(date(2028, 12, 31), _TODAY, language)
    name = f"{_PROGRAMME_NAMES[language]} "
    return _of_kind(
        kind,
        {
            "code": "4827 0315 9268 4444",  # the longest that the setting allows
            "code_digits": "4827031592684444",
            "programme": (name * PROGRAMME_NAME_MAX)[: PROGRAMME_NAME_MAX - 1] + name[0],
            "amount": amount,
            "weekly": format_weekly(14, 40 * 60 + 45, language),
            "valid_to": day,
            "organiser": "Järvi-Kuusirannan hyvinvointialue",
            "help_phone": ("+358 14 555 0101" * 2)[:HELP_PHONE_MAX],
            "directory": ("jarvi-kuusiranta.example/" + "palveluseteli")[:DIRECTORY_MAX],
            "provider": "Perhepalvelut ja Kotiapu Käpylintu & Pihlajanmarja Osakeyhtiö",
            "service_date": day,
            "day": day,
            "left": amount,
            "last_four": "4444",
            "count": "99",
            "number": "4444",
            "alike": "yes",  # whether a visit like it is charged already, which the text then tells
            "owner": "Järvi-Kuusirannan hyvinvointialue",
            "inviter": "X" * 60,
            "link": "https://seteli.jarvi-kuusiranta.example/invitation/" + "W" * 43,
            "family_pays": format_amount(99999, Unit.CENTS, language),
            "reason": "X" * REASON_MAX,
            "next_step": "X" * REASON_MAX,
            "lines": "\n".join([format_balance("4444", amount, day, language)] * _BALANCE_LINES_MAX),
        },
    )


def _of_kind(kind: str, values: Mapping[str, str]) -> Mapping[str, str]:
    return {name: values[name] for name in KINDS[kind].all_fields}
