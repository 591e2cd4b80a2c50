"""What a worker's text says, typed in every way that people type."""

from __future__ import annotations

import random
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.money import Unit
from service.staff.grammar import (
    ChargeText,
    Clock,
    Confirmation,
    Day,
    Needed,
    Quantity,
    Slip,
    amount_in,
    day_of,
    read_quantity,
    read_text,
)
from service.vouchers.codes import make_code

CODE = make_code(random.Random(4827).randrange)
SHOWN = f"{CODE[:4]} {CODE[4:8]} {CODE[8:]}"
TODAY = date(2026, 11, 21)


def bare(hundredths: int) -> Quantity:
    return Quantity("bare", hundredths)


@pytest.mark.parametrize(
    ("typed", "quantity"),
    [
        ("2,5", bare(250)),
        ("2.5", bare(250)),
        ("2", bare(200)),
        ("2,5 t", Quantity("minutes", 150)),
        ("2.5h", Quantity("minutes", 150)),
        ("2t30", Quantity("minutes", 150)),
        ("2 t 30 min", Quantity("minutes", 150)),
        ("2h 5min", Quantity("minutes", 125)),
        ("2:30", Quantity("minutes", 150)),
        ("150 min", Quantity("minutes", 150)),
        ("150min.", Quantity("minutes", 150)),
        ("40 €", Quantity("cents", 4000)),
        ("40,50€", Quantity("cents", 4050)),
        ("40,5 eur", Quantity("cents", 4050)),
        ("€40", Quantity("cents", 4000)),
        ("40e", Quantity("cents", 4000)),
        ("2 krt", Quantity("visits", 2)),
        ("1 käynti", Quantity("visits", 1)),
        ("2 besök", Quantity("visits", 2)),
        ("0", None),
        ("0,00", None),
        ("-2", None),
        ("2,555", None),
        ("2,51 t", None),  # no whole minutes
        ("2 tuntia ja vähän", None),
        ("", None),
        ("²", None),
    ],
)
def test_an_amount_is_understood_with_comma_or_point_and_with_or_without_its_unit(
    typed: str, quantity: Quantity | None
) -> None:
    assert read_quantity(typed) == quantity


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SHOWN, ChargeText(CODE)),
        (CODE, ChargeText(CODE)),
        (f"  {SHOWN}.", ChargeText(CODE)),
        (SHOWN.replace(" ", "-"), ChargeText(CODE)),
        (SHOWN.replace(" ", "\u2013"), ChargeText(CODE)),
        (SHOWN.replace(" ", "\u00a0"), ChargeText(CODE)),
        (" ".join(CODE), ChargeText(CODE)),
        (f"{SHOWN} 2,5", ChargeText(CODE, bare(250))),
        (f"{SHOWN}, 2,5", ChargeText(CODE, bare(250))),
        (f"{SHOWN} 2.5", ChargeText(CODE, bare(250))),
        (f"{CODE} 2 123456", ChargeText(CODE, bare(200), pin="123456")),
        (f"{SHOWN} 012345", ChargeText(CODE, pin="012345")),
        (f"{SHOWN} PIN 012345", ChargeText(CODE, pin="012345")),
        (f"{SHOWN}\n2t30\n012345\n", ChargeText(CODE, Quantity("minutes", 150), pin="012345")),
        (f"{SHOWN} 40,50 € 012345", ChargeText(CODE, Quantity("cents", 4050), pin="012345")),
        (f"{SHOWN} 40 123456.", ChargeText(CODE, bare(4000), pin="123456")),
        (f"{SHOWN} eilen 2,5 012345", ChargeText(CODE, bare(250), Day(days_ago=1), "012345")),
        (f"{SHOWN} 2,5 Igår", ChargeText(CODE, bare(250), Day(days_ago=1))),
        (f"{SHOWN} 21.11. 2,5", ChargeText(CODE, bare(250), Day(day=21, month=11))),
        (f"{SHOWN} 2,5 21.11.2026 012345", ChargeText(CODE, bare(250), Day(day=21, month=11, year=2026), "012345")),
        (f"{SHOWN} 21/11 2", ChargeText(CODE, bare(200), Day(day=21, month=11))),
        (f"{SHOWN} 21.11", ChargeText(CODE, bare(2111))),  # without its last point it is a sum
        (f"{SHOWN} 14-16.30 012345", ChargeText(CODE, pin="012345", clock=Clock(14 * 60, 16 * 60 + 30))),
        (f"{SHOWN} klo 14.00\u201316.30", ChargeText(CODE, clock=Clock(14 * 60, 16 * 60 + 30))),
        (f"{SHOWN} 21:15 - 01:00.", ChargeText(CODE, clock=Clock(21 * 60 + 15, 60))),
        (f"{SHOWN} 20-24", ChargeText(CODE, clock=Clock(20 * 60, 24 * 60))),
        (f"{SHOWN} 21.11. kl 14-16", ChargeText(CODE, day=Day(day=21, month=11), clock=Clock(14 * 60, 16 * 60))),
        (f"{SHOWN} eilen 14-16 012345", ChargeText(CODE, None, Day(days_ago=1), "012345", Clock(14 * 60, 16 * 60))),
        (f"{SHOWN} 14-16 2,5", Slip.UNCLEAR),
        (f"{SHOWN} 14-14", Slip.UNCLEAR),
        (f"{SHOWN} 24-2", Slip.UNCLEAR),
        (f"{SHOWN} 14-25", Slip.UNCLEAR),
        (f"{SHOWN} 14-16-18", Slip.UNCLEAR),
        (f"{SHOWN} kiitos", Slip.UNCLEAR),
        (f"{SHOWN} 2,5 12345", Slip.UNCLEAR),
        (f"{SHOWN} 1234567", Slip.UNCLEAR),
        (f"{SHOWN} eilen tänään", Slip.UNCLEAR),
        (CODE[:-1], Slip.LENGTH),
        (f"{CODE}0", Slip.LENGTH),
        (f"{SHOWN[:-1]} 2", Slip.LENGTH),
        (f"{SHOWN[:-1]} 2,5", Slip.LENGTH),
        ("4827 0315 9", Slip.LENGTH),
        (f"{SHOWN[:-1]}{(int(SHOWN[-1]) + 1) % 10} 2", Slip.CHECK_DIGIT),
        ("4821", Confirmation("4821")),
        (" 0007. ", Confirmation("0007")),
        ("482", None),
        ("48211", None),
        ("4821 kyllä", None),
        ("SALDO", None),
        (f"Koodi: {SHOWN} 2", ChargeText(CODE, bare(200))),
        (f"Hei! {SHOWN} 1 123456", ChargeText(CODE, bare(100), pin="123456")),
        (f"hej {SHOWN}", ChargeText(CODE)),
        (f"Heikki {SHOWN} 1 123456", Slip.UNCLEAR),
        (f"eilen {SHOWN} 2 123456", Slip.UNCLEAR),
        (f"älä veloita! {SHOWN}", Slip.UNCLEAR),
        (f"2 t {SHOWN[:-1]}{(int(SHOWN[-1]) + 1) % 10} 123456", Slip.UNCLEAR),
        ("Hei!", None),
        ("soita +358 40 700 0001", None),
        ("soita 040 700 0001", None),
        ("21.11. klo 14", None),
        ("", None),
    ],
)
def test_a_text_is_a_charge_when_it_begins_with_a_code_or_a_greeting(text: str, said: object) -> None:
    assert read_text(text) == said


def test_a_code_of_another_length_is_found_and_an_amount_behind_it_is_not_taken_for_it() -> None:
    long = make_code(random.Random(16).randrange, 16)
    shown = " ".join(long[start : start + 4] for start in range(0, 16, 4))
    assert read_text(f"{shown} 2,5 123456", 16) == ChargeText(long, bare(250), pin="123456")
    assert read_text(f"{SHOWN} 2,5 123456", 16) == ChargeText(CODE, bare(250), pin="123456")


SPACES = st.text(st.sampled_from(" -\u2013\u00a0."), min_size=1, max_size=2)


@given(
    seed=st.integers(0, 2**32),
    groups=st.sampled_from([(12,), (4, 4, 4), (3, 3, 3, 3), (6, 6), (2,) * 6, (1,) * 12]),
    between=SPACES,
    hundredths=st.integers(1, 9999),
    point=st.sampled_from(".,"),
    pin=st.none() | st.integers(0, 999_999),
    day=st.sampled_from(["", "eilen ", "21.11. "]),
)
def test_whatever_the_spacing_the_code_the_amount_and_the_pin_are_those_that_were_typed(
    seed: int, groups: tuple[int, ...], between: str, hundredths: int, point: str, pin: int | None, day: str
) -> None:
    code = make_code(random.Random(seed).randrange)
    parts, start = [], 0
    for length in groups:
        parts.append(code[start : start + length])
        start += length
    amount = f"{hundredths // 100}{point}{hundredths % 100:02}"
    text = f"{between.join(parts)} {day}{amount}" + ("" if pin is None else f" {pin:06}")
    said = read_text(text)
    assert isinstance(said, ChargeText)
    assert (said.code, said.quantity) == (code, bare(hundredths))
    assert said.pin == (None if pin is None else f"{pin:06}")
    assert (said.day is not None) == bool(day)


@given(st.text(max_size=200) | st.from_regex(r"[0-9 .,€t-]{0,40}", fullmatch=True))
def test_no_text_is_too_strange_to_be_read(text: str) -> None:
    said = read_text(text)
    if isinstance(said, ChargeText):
        assert amount_in(Unit.MINUTES, said.quantity) != 0
        day_of(said.day, TODAY)


@given(st.text(st.sampled_from("0123456789 "), max_size=60))
def test_nothing_is_a_charge_without_a_code_that_could_be_one(text: str) -> None:
    said = read_text(text)
    if isinstance(said, ChargeText):
        assert text.replace(" ", "").startswith(said.code)


def test_a_text_that_is_printed_shows_neither_code_nor_pin_nor_number() -> None:
    said = (ChargeText(CODE, bare(1), pin="123456"), Confirmation("4821"))
    assert CODE not in repr(said)
    assert "123456" not in repr(said)
    assert "4821" not in repr(said)


@pytest.mark.parametrize(
    ("unit", "quantity", "amount"),
    [
        (Unit.MINUTES, bare(250), 150),
        (Unit.MINUTES, bare(233), Needed.HOURS),
        (Unit.MINUTES, Quantity("minutes", 150), 150),
        (Unit.MINUTES, None, Needed.HOURS),
        (Unit.MINUTES, Quantity("cents", 4000), Needed.HOURS),
        (Unit.CENTS, bare(4050), 4050),
        (Unit.CENTS, Quantity("cents", 4050), 4050),
        (Unit.CENTS, None, Needed.SUM),
        (Unit.CENTS, Quantity("minutes", 60), Needed.SUM),
        (Unit.VISITS, None, 1),
        (Unit.SESSIONS, None, 1),
        (Unit.SESSIONS, bare(200), 2),
        (Unit.VISITS, Quantity("visits", 2), 2),
        (Unit.VISITS, bare(250), Needed.VISITS),
        (Unit.VISITS, Quantity("cents", 4000), Needed.VISITS),
    ],
)
def test_the_programme_says_what_a_number_counts(unit: Unit, quantity: Quantity | None, amount: int | Needed) -> None:
    assert amount_in(unit, quantity) == amount


@pytest.mark.parametrize(
    ("day", "meant"),
    [
        (None, TODAY),
        (Day(days_ago=1), date(2026, 11, 20)),
        (Day(day=20, month=11), date(2026, 11, 20)),
        (Day(day=22, month=11), date(2026, 11, 22)),  # to come: the answer says so, and no visit of 2025 is charged
        (Day(day=30, month=12), date(2026, 12, 30)),
        (Day(day=1, month=3), date(2026, 3, 1) if abs((date(2026, 3, 1) - TODAY).days) < 100 else date(2027, 3, 1)),
        (Day(day=20, month=11, year=2025), date(2025, 11, 20)),
        (Day(day=31, month=2), None),
        (Day(day=0, month=1), None),
    ],
)
def test_a_day_without_a_year_is_the_nearest_of_its_name(day: Day | None, meant: date | None) -> None:
    assert day_of(day, TODAY) == meant


def test_a_day_of_december_texted_in_january_is_last_years() -> None:
    assert day_of(Day(day=31, month=12), date(2027, 1, 2)) == date(2026, 12, 31)
