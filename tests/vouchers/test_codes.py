"""Codes: what is made, what is understood, and that a typo never reaches the database."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import damm

from service.vouchers.codes import (
    DIGITS_MIN,
    CodeCheckDigit,
    CodeLength,
    last_four,
    make_code,
    normalise_code,
    show_code,
)

lengths = st.integers(12, 16)
codes = st.builds(lambda seed, digits: make_code(random.Random(seed).randrange, digits), st.integers(), lengths)
separators = st.sampled_from(
    ["", " ", "  ", "-", ".", "\u00a0", "\u202f", "\u2009", "–", "—", "‑", "−", "\u00ad", "\u200b", "\n", "\t"]
)


@given(codes)
def test_a_code_begins_with_one_to_nine_and_ends_with_its_check_digit(code: str) -> None:
    assert code[0] in "123456789"
    assert damm.is_valid(code)


@pytest.mark.parametrize("digits", range(12, 17))
def test_the_smallest_and_the_largest_draw_give_codes_of_full_length(digits: int) -> None:
    lowest = make_code(lambda _below: 0, digits)
    highest = make_code(lambda below: below - 1, digits)
    assert lowest.startswith("1" + "0" * (digits - 2))
    assert highest.startswith("9" * (digits - 1))
    assert len(lowest) == len(highest) == digits


@given(codes)
def test_what_is_shown_is_understood(code: str) -> None:
    assert normalise_code(show_code(code), len(code)) == code


@given(codes, st.lists(separators, min_size=17, max_size=17))
def test_any_separators_between_the_digits_are_ignored(code: str, between: list[str]) -> None:
    typed = between[-1] + "".join(digit + gap for digit, gap in zip(code, between, strict=False))
    assert normalise_code(typed, len(code)) == code


@given(codes, st.data())
def test_every_single_wrong_digit_is_refused(code: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(code) - 1))
    for digit in set("0123456789") - {code[place]}:
        with pytest.raises(CodeCheckDigit):
            normalise_code(code[:place] + digit + code[place + 1 :], len(code))


@given(codes)
def test_every_swap_of_neighbours_is_refused(code: str) -> None:
    for place in range(len(code) - 1):
        one, other = code[place], code[place + 1]
        if one != other:
            with pytest.raises(CodeCheckDigit):
                normalise_code(code[:place] + other + one + code[place + 2 :], len(code))


@given(codes, st.data())
def test_a_missing_or_an_extra_digit_is_told_as_a_wrong_length(code: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(code) - 1))
    shorter, longer = code[:place] + code[place + 1 :], code[:place] + "7" + code[place:]
    for typed in (shorter, longer) if len(code) == DIGITS_MIN else (longer,):
        with pytest.raises(CodeLength) as refusal:
            normalise_code(typed, len(code))
        assert str(refusal.value.details["digits"]).endswith(str(len(code)))


def test_a_code_from_before_the_length_grew_is_still_a_code() -> None:
    old, new = make_code(random.Random(1).randrange, 12), make_code(random.Random(1).randrange, 13)
    assert [normalise_code(code, 13) for code in (old, new)] == [old, new]
    with pytest.raises(CodeLength):
        normalise_code(new, 12)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "SALDO",
        "4827 0315 926O",
        "４８２７０３１５９２６８",
        "٤٨٢٧٠٣١٥٩٢٦٨",
        "+482703159268",
        "4827\x000315 9268",
    ],
)
def test_what_is_not_twelve_plain_digits_is_a_wrong_length(typed: str) -> None:
    with pytest.raises(CodeLength):
        normalise_code(typed)


def test_the_error_of_a_typo_does_not_repeat_the_digits() -> None:
    with pytest.raises(CodeCheckDigit) as refusal:
        normalise_code("1234 5678 9012")
    assert "1234" not in f"{refusal.value} {refusal.value.details}"


def test_only_the_last_four_digits_are_for_showing_around() -> None:
    assert last_four("482703159268") == "9268"
