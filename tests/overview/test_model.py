"""Periods, percentiles, what is not told, and sums that say nothing more than what is told."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.overview.model import FEW, percentile, periods, read_period, share, told, total, week_name
from service.overview.words import harmless


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (date(2026, 12, 28), "2026-W53"),
        (date(2027, 1, 3), "2026-W53"),
        (date(2027, 1, 4), "2027-W01"),
        (date(2025, 12, 29), "2026-W01"),
    ],
)
def test_weeks_are_named_by_the_year_of_their_thursday(day: date, name: str) -> None:
    assert week_name(day) == name


def test_a_year_has_its_53_weeks_and_the_running_one_those_until_now() -> None:
    by_name = {period.name: period for period in periods(date(2027, 2, 3))}
    assert len(by_name["2026"].weeks) == 53
    assert str(by_name["2026"].last_day) == "2027-01-03"
    assert len(by_name["2027"].weeks) == 5
    assert [len(by_name[f"{length}w"].weeks) for length in (4, 12, 26, 52)] == [4, 12, 26, 52]


@pytest.mark.parametrize("text", [None, "", "x", "9999", "2026-01-01'; --"])
def test_any_other_period_is_twelve_weeks(text: str | None) -> None:
    assert read_period(text, date(2026, 11, 28)).name == "12w"


@given(st.lists(st.integers(0, 500), min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_value_at_its_rank(values: list[int], percent: int) -> None:
    counts = {value: values.count(value) for value in values}
    rank = -(-len(values) * percent // 100)
    assert percentile(counts, percent) == sorted(values)[rank - 1]


def test_nothing_has_no_percentile() -> None:
    assert percentile({}, 50) is None


def test_one_to_four_families_are_few_and_none_is_none() -> None:
    assert [told(number) for number in (0, 1, 4, 5)] == [0, FEW, FEW, 5]
    assert told(9000, 4) is FEW
    assert told(9000, 5) == 9000


@given(st.lists(st.integers(0, 40), max_size=12))
def test_a_sum_is_the_same_whatever_the_hidden_figures_are(numbers: list[int]) -> None:
    cells = [told(number) for number in numbers]
    others = [told(2 if 1 <= number <= 4 else number) for number in numbers]
    assert total(cells) == total(others)
    assert total(cells).number <= sum(numbers)
    assert total(cells).is_whole == all(cell is not FEW for cell in cells)


@given(st.integers(0, 200), st.lists(st.integers(0, 40), max_size=3))
def test_a_share_is_at_least_so_large_and_says_nothing_of_hidden_ones(part: int, others: list[int]) -> None:
    found = share(told(part), [told(other) for other in others])
    if found is not None and part + sum(others):
        assert found * (part + sum(others)) <= part * 100
    assert found == share(told(part), [told(2 if 1 <= other <= 4 else other) for other in others])


@pytest.mark.parametrize(
    ("text", "written"),
    [("=1+1", "'=1+1"), ("@x", "'@x"), ("-x", "'-x"), ("-15", "-15"), ("15", "15"), ("Äiti", "Äiti")],
)
def test_a_text_that_a_spreadsheet_would_run_is_text_in_a_file(text: str, written: str) -> None:
    assert harmless(text) == written


def test_a_period_ends_on_a_sunday() -> None:
    for period in periods(date(2026, 11, 28)):
        assert period.first.weekday() == 0
        assert (period.last_day + timedelta(days=1)).weekday() == 0
