"""The counter of parts against a reference that really packs septets and really cuts UTF-16."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.channels.sms_text import GSM_BASIC, GSM_EXTENSION, Encoding, SmsMeasure, can_receive, measure, prepare

# TS 23.038 as its two printed tables, code by code: written apart from the module's sets on purpose.
_ROWS = (
    "@£$¥èéùìòÇ\nØø\rÅå",
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ",
    " !\"#¤%&'()*+,-./",
    "0123456789:;<=>?",
    "¡ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZÄÖÑÜ§",
    "¿abcdefghijklmno",
    "pqrstuvwxyzäöñüà",
)
_CODES = {character: code for code, character in enumerate("".join(_ROWS)) if character != "\x1b"}
_ESCAPED = {
    "\f": 0x0A,
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}
_ESCAPE = 0x1B
_OCTETS = 140  # TS 23.040: the user data of one message
_HEADER_OCTETS = 6


def _pack(septets: list[int], *, header: bytes) -> bytes:
    """TS 23.038 §6.1.2.1.1: septets little end first, starting on a septet border after the header."""
    header_septets = -(-len(header) * 8 // 7)
    bits = 0
    for position, septet in enumerate(septets):
        bits |= septet << (7 * (header_septets + position))
    length = -(-(header_septets + len(septets)) * 7 // 8)
    packed = bytearray(bits.to_bytes(length, "little"))
    packed[: len(header)] = header
    return bytes(packed)


def _fits_gsm(septets: list[int], *, header: bytes) -> bool:
    return len(_pack(septets, header=header)) <= _OCTETS


def _reference_gsm(text: str) -> tuple[int, int]:
    """(parts, septets): the longest prefix that packs into 140 octets, again and again."""
    tokens = [[_CODES[c]] if c in _CODES else [_ESCAPE, _ESCAPED[c]] for c in text]
    units = sum(map(len, tokens))
    if _fits_gsm([code for token in tokens for code in token], header=b""):
        return 1, units
    parts = 0
    while tokens:
        taken: list[int] = []
        while tokens and _fits_gsm(taken + tokens[0], header=bytes(_HEADER_OCTETS)):
            taken += tokens.pop(0)
        parts += 1
    return parts, units


def _reference_ucs2(text: str) -> tuple[int, int]:
    """(parts, 16-bit units): cut the UTF-16 octets, and step back where the cut would halve a pair."""
    octets = text.encode("utf-16-be", "surrogatepass")
    if len(octets) <= _OCTETS:
        return 1, len(octets) // 2
    parts, start = 0, 0
    while start < len(octets):
        end = min(start + (_OCTETS - _HEADER_OCTETS), len(octets))
        if end < len(octets) and 0xD8 <= octets[end - 2] <= 0xDB:
            end -= 2
        parts, start = parts + 1, end
    return parts, len(octets) // 2


def test_the_alphabet_is_the_one_of_the_standard() -> None:
    assert set(_CODES) == GSM_BASIC
    assert set(_ESCAPED) == GSM_EXTENSION
    assert len(_CODES) == 127


_gsm_texts = st.lists(
    st.one_of(
        st.sampled_from(sorted(_CODES)),
        st.sampled_from(sorted(_ESCAPED)),
        st.integers(1, 160).map(lambda n: "a" * n),
        st.integers(1, 80).map(lambda n: "€" * n),
    ),
    min_size=1,
    max_size=30,
).map("".join)

_ucs2_texts = st.lists(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(["😀", "👨‍👩‍👧", "ŋ", "и", "€"]),
        st.integers(1, 70).map(lambda n: "я" * n),
        st.integers(1, 35).map(lambda n: "😀" * n),
    ),
    min_size=1,
    max_size=12,
).map(lambda parts: "".join(parts) + "ж")


@given(_gsm_texts)
def test_gsm_parts_equal_real_packing(text: str) -> None:
    assert measure(text) == SmsMeasure(Encoding.GSM_7, *_reference_gsm(text))


@given(_ucs2_texts)
def test_ucs2_parts_equal_real_cutting(text: str) -> None:
    assert measure(text) == SmsMeasure(Encoding.UCS_2, *_reference_ucs2(text))


@pytest.mark.parametrize(
    ("text", "encoding", "parts", "units"),
    [
        ("", Encoding.GSM_7, 0, 0),
        ("a" * 160, Encoding.GSM_7, 1, 160),
        ("a" * 161, Encoding.GSM_7, 2, 161),
        ("a" * 306, Encoding.GSM_7, 2, 306),
        ("€" * 80, Encoding.GSM_7, 1, 160),
        ("a" * 152 + "€" + "a" * 152, Encoding.GSM_7, 3, 306),  # 306 septets, but the € may not be split
        ("ж" * 70, Encoding.UCS_2, 1, 70),
        ("ж" * 71, Encoding.UCS_2, 2, 71),
        ("ж" * 66 + "😀" + "ж" * 66, Encoding.UCS_2, 3, 134),  # 134 units, but the pair may not be split
        ("Näytä koodi tuottajalle. Åå", Encoding.GSM_7, 1, 27),
        ("Čáhce ja đ", Encoding.UCS_2, 1, 10),
    ],
)
def test_known_lengths(text: str, encoding: Encoding, parts: int, units: int) -> None:
    assert measure(text) == SmsMeasure(encoding, parts, units)


@given(st.text())
def test_preparing_loses_nothing_and_is_idempotent(text: str) -> None:
    prepared = prepare(text)
    assert prepare(prepared) == prepared
    assert "\r" not in prepared
    same_lines = text.replace("\r\n", "\n").replace("\r", "\n")
    assert unicodedata.normalize("NFD", prepared) == unicodedata.normalize("NFD", same_lines)


def test_decomposed_finnish_stays_in_the_seven_bit_alphabet() -> None:
    decomposed = unicodedata.normalize("NFD", "Näytä tämä åländsk öga")
    assert measure(decomposed).encoding is Encoding.UCS_2
    assert measure(prepare(decomposed)) == SmsMeasure(Encoding.GSM_7, 1, 22)


@pytest.mark.parametrize(
    ("sender", "receives"),
    [("+358457300100", True), ("16120", True), ("Kuusiranta", False), ("MG" + "0" * 32, False), ("", False)],
)
def test_only_a_number_can_be_answered_for_sure(sender: str, receives: bool) -> None:
    assert can_receive(sender) is receives
