"""The digits a family shows or reads out: how they are made, shown and understood. Pure.

First digit 1–9, so that no spreadsheet or integer column can eat a leading zero; random digits; a Damm check digit
last, which catches every single wrong digit and every swap of neighbours. A typo is told from the text alone: it costs
nothing, touches no database and is no guess at somebody else's code.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from stdnum import damm

from service.errors import Invalid

# What people, phones and word processors put between groups of digits: white space of any width (\s has NBSP and
# narrow NBSP), dots, hyphens, every Unicode dash, minus, and the invisible joiners of a copied page.
_SEPARATORS = re.compile(r"[\s.\-\u00ad\u058a\u05be\u200b-\u200d\u2010-\u2015\u2060\u2212\ufe58\ufe63\ufeff\uff0d]+")
_DIGITS = re.compile(r"[0-9]+")


DIGITS_MIN = 12


class CodeLength(Invalid):
    """What was typed has not as many digits as a code has: a typo."""

    code = "code_length"


class CodeCheckDigit(Invalid):
    """The digits cannot be a code: one is wrong, or two have changed places. A typo."""

    code = "code_check_digit"


def make_code(random_below: Callable[[int], int], digits: int = DIGITS_MIN) -> str:
    """A new code. `random_below(n)` gives an unpredictable 0 ≤ number < n: `secrets.randbelow`."""
    smallest = 10 ** (digits - 2)
    body = str(smallest + random_below(9 * smallest))
    return body + damm.calc_check_digit(body)


def normalise_code(text: str, digits: int = DIGITS_MIN) -> str:
    """The bare digits of a code as a person typed it. Raises CodeLength or CodeCheckDigit.

    `digits` is how long new codes are; shorter ones from before the length grew are codes, too.
    """
    plain = _SEPARATORS.sub("", text)
    if not _DIGITS.fullmatch(plain) or not DIGITS_MIN <= len(plain) <= digits:
        raise CodeLength(digits=str(digits) if digits == DIGITS_MIN else f"{DIGITS_MIN}–{digits}")
    if plain[0] == "0" or damm.checksum(plain) != 0:
        raise CodeCheckDigit
    return plain


def show_code(code: str) -> str:
    """482703159268 → 4827 0315 9268: groups of four, as they are read aloud."""
    return " ".join(code[start : start + 4] for start in range(0, len(code), 4))


def last_four(code: str) -> str:
    """All that logs, caseworkers and pages ever see of a code."""
    return code[-4:]
