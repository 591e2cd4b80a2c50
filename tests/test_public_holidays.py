"""Public holidays against calendars that are known."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from service.public_holidays import eves_among, holidays_among


def days_of(year: int) -> list[date]:
    first = date(year, 1, 1)
    return [first + timedelta(days=n) for n in range((date(year + 1, 1, 1) - first).days)]


@pytest.mark.parametrize(
    ("year", "moving"),
    # Good Friday, Easter Sunday and Monday, Ascension Day, Pentecost, Midsummer Day, All Saints' Day
    [
        (2024, ["03-29", "03-31", "04-01", "05-09", "05-19", "06-22", "11-02"]),
        (2025, ["04-18", "04-20", "04-21", "05-29", "06-08", "06-21", "11-01"]),
        (2026, ["04-03", "04-05", "04-06", "05-14", "05-24", "06-20", "10-31"]),
        (2027, ["03-26", "03-28", "03-29", "05-06", "05-16", "06-26", "11-06"]),
    ],
)
def test_the_days_off_of_a_year_are_those_of_the_almanac(year: int, moving: list[str]) -> None:
    fixed = ["01-01", "01-06", "05-01", "12-06", "12-25", "12-26"]
    expected = sorted(date.fromisoformat(f"{year}-{day}") for day in (*fixed, *moving))
    assert holidays_among(days_of(year)) == tuple(expected)


@pytest.mark.parametrize(("year", "eve"), [(2024, "06-21"), (2025, "06-20"), (2026, "06-19"), (2027, "06-25")])
def test_midsummer_eve_and_christmas_eve_stand_apart(year: int, eve: str) -> None:
    expected = (date.fromisoformat(f"{year}-{eve}"), date(year, 12, 24))
    assert eves_among(days_of(year)) == expected
    assert holidays_among(expected) == ()


def test_the_eves_are_the_days_before_midsummer_and_christmas_in_every_year() -> None:
    for year in range(2000, 2100):
        for eve in eves_among(days_of(year)):
            assert holidays_among([eve + timedelta(days=1)])


def test_an_ordinary_day_is_neither() -> None:
    assert holidays_among([date(2026, 3, 17)]) == eves_among([date(2026, 3, 17)]) == ()
    assert holidays_among([]) == eves_among([]) == ()
