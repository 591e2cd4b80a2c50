"""How a text travels as SMS: alphabet, number of parts, and the lossless preparation before sending. Pure.

GSM 7-bit default alphabet and its extension table: 3GPP TS 23.038 §6.2.1. Concatenated parts lose six octets
to the user data header: TS 23.040 §9.2.3.24.1. What does not fit the 7-bit alphabet goes as UCS-2; nothing
ever becomes `?`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENSION = frozenset("\f^{}\\[~]|€")  # each is an escape and a septet
_GSM = GSM_BASIC | GSM_EXTENSION

GSM_SINGLE_SEPTETS, GSM_PART_SEPTETS = 160, 153
UCS2_SINGLE_UNITS, UCS2_PART_UNITS = 70, 67


class Encoding(StrEnum):
    GSM_7 = "GSM-7"
    UCS_2 = "UCS-2"


@dataclass(frozen=True, slots=True)
class SmsMeasure:
    """`units` are septets in GSM-7 and 16-bit units in UCS-2, without headers and without padding."""

    encoding: Encoding
    parts: int
    units: int


def can_receive(sender: str) -> bool:
    """Whether a family can answer a text from this sender: a number can be answered, a name is one-way.

    A messaging service (MG…) may hold either; what cannot be answered for sure is not offered.
    """
    return re.fullmatch(r"\+?[0-9]{3,15}", sender) is not None


def prepare(text: str) -> str:
    """The text as it is sent: line ends as LF, then composed (NFC), so that `a` + `¨` is the one septet `ä`.

    Loses nothing that a reader could see, and is idempotent.
    """
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


def measure(text: str) -> SmsMeasure:
    """Encoding, parts and units of exactly this text (see `prepare`). An empty text has no parts."""
    if _GSM.issuperset(text):
        units = len(text) + sum(map(text.count, GSM_EXTENSION))
        if units <= GSM_SINGLE_SEPTETS:
            return SmsMeasure(Encoding.GSM_7, min(units, 1), units)
        widths = [2 if character in GSM_EXTENSION else 1 for character in text]
        return SmsMeasure(Encoding.GSM_7, _count_parts(widths, GSM_PART_SEPTETS), units)
    widths = [2 if character > "\uffff" else 1 for character in text]
    units = sum(widths)
    if units <= UCS2_SINGLE_UNITS:
        return SmsMeasure(Encoding.UCS_2, 1, units)
    return SmsMeasure(Encoding.UCS_2, _count_parts(widths, UCS2_PART_UNITS), units)


def _count_parts(widths: list[int], part_size: int) -> int:
    """Parts needed when no character is split over a border: what does not fit whole starts the next part."""
    parts, used = 1, 0
    for width in widths:
        if used + width > part_size:
            parts, used = parts + 1, 0
        used += width
    return parts
