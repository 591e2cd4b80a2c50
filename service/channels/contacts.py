"""Phone numbers and e-mail addresses: checked once on the way in, and hinted at on the way out. Pure.

Errors never repeat what was typed (I6).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import idna
import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from service.errors import Invalid


class PhoneNotMobile(Invalid):
    """Not a number that can get a text message, or of a country that is not served; `reason` says which."""

    code = "phone_not_mobile"


class PhoneCountryNotServed(PhoneNotMobile):
    """A number of a country that is not on the list of those that texts are sent to (SMS_COUNTRIES)."""

    code = "phone_country_not_served"


class EmailInvalid(Invalid):
    """Not an e-mail address that mail can be delivered to."""

    code = "email_invalid"


# A subset of phonenumbers' mobile pattern for region FI, (4[0-8]|50) and 4–8 digits: bulk import brings 100 000 of
# them. A test holds that the answer is the same.
_FINNISH_MOBILE = re.compile(r"(?:\+358|00358|0)((?:4[0-6]|50)[0-9]{4,8})")
_SEPARATORS = str.maketrans("", "", " -")

# Spaces (ordinary, no-break, narrow no-break, thin), dashes (ASCII to the horizontal bar, minus), dots, brackets,
# slashes. Letters are not: phonenumbers would dial them as on a keypad, and O for 0 is a typo.
_TYPED_NUMBER = re.compile(r"[+0-9 \u00a0\u202f\u2009\u2010-\u2015\u2212()./-]{3,40}")
_SPACES = str.maketrans(dict.fromkeys("\u00a0\u202f\u2009", " "))
_MOBILE_TYPES = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})


def parse_mobile(text: str, countries: Sequence[str]) -> str:
    """The number as E.164. `countries` (ISO 3166) is the allow-list; the first one reads numbers without a prefix.

    Raises PhoneNotMobile with `reason`: not_a_number, not_mobile or country_not_served.
    """
    text = text.strip()
    if countries[:1] == ("FI",):
        finnish = _FINNISH_MOBILE.fullmatch(text.translate(_SEPARATORS))
        if finnish is not None:
            return f"+358{finnish[1]}"
    return _parse_any(text, countries)


def _parse_any(text: str, countries: Sequence[str]) -> str:
    if _TYPED_NUMBER.fullmatch(text) is None:
        raise PhoneNotMobile(reason="not_a_number")
    try:
        number = phonenumbers.parse(text.translate(_SPACES), countries[0])
    except phonenumbers.NumberParseException:
        raise PhoneNotMobile(reason="not_a_number") from None
    if not phonenumbers.is_valid_number(number):
        raise PhoneNotMobile(reason="not_a_number")
    if phonenumbers.region_code_for_number(number) not in countries:
        raise PhoneCountryNotServed(reason="country_not_served")
    if phonenumbers.number_type(number) not in _MOBILE_TYPES:
        raise PhoneNotMobile(reason="not_mobile")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


# The local part is RFC 5322's dot-atom (the form that HTML's `input type=email` accepts, without stray dots): no
# quotes, no comments, and no letters beyond ASCII, which many servers still refuse (RFC 6531).
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LOCAL_MAX, _ADDRESS_MAX = 64, 254  # RFC 5321 §4.5.3.1, with erratum 1690


def parse_email(text: str) -> str:
    """The address with its domain in lower case and as ASCII (IDNA 2008): what an SMTP server can be told.

    The local part stays as written: only its own server may say that case does not matter. Raises EmailInvalid.
    """
    local_part, at, domain = text.strip(" \t").partition("@")
    if not at or len(local_part) > _LOCAL_MAX or len(domain) > _ADDRESS_MAX or "." not in domain:
        raise EmailInvalid
    if _LOCAL_PART.fullmatch(local_part) is None:
        raise EmailInvalid
    try:
        ascii_domain = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise EmailInvalid from None
    top_label = ascii_domain.rpartition(".")[2]
    address = f"{local_part}@{ascii_domain}"
    if "." not in ascii_domain or not top_label or top_label.isdigit() or len(address) > _ADDRESS_MAX:
        raise EmailInvalid
    return address


def show_phone(phone: str) -> str:
    """`+358401234567` → `+358 40 1234567`: the whole number, to be compared and read back. Never for a log."""
    return phonenumbers.format_number(phonenumbers.parse(phone), PhoneNumberFormat.INTERNATIONAL)


def hint_phone(phone: str) -> str:
    """`+358401234567` → `… 567`: enough for the family to know which number, too little to call it."""
    return f"… {phone[-3:]}"


def hint_email(email: str) -> str:
    """`maija@example.fi` → `m…@…`."""
    return f"{email[:1]}…@…"
