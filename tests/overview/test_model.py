"""Periods, percentiles, what is not told, and sums that say nothing more than what is told."""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.overview.model import (
    FEW,
    Part,
    cells_of,
    families_of,
    percentile,
    periods,
    read_period,
    shares,
    told,
    total,
    week_name,
)
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
    assert [told(number, number) for number in (0, 1, 4, 5)] == [0, FEW, FEW, 5]
    assert told(9000, 4) is FEW
    assert told(9000, 5) == 9000


@given(st.lists(st.integers(0, 40), max_size=12))
def test_a_sum_is_the_same_whatever_the_hidden_figures_are(numbers: list[int]) -> None:
    cells = [told(number, number) for number in numbers]
    others = [told(2, 2) if 1 <= number <= 4 else told(number, number) for number in numbers]
    assert total(cells) == total(others)
    assert total(cells).number <= sum(numbers)
    assert total(cells).is_whole == all(cell is not FEW for cell in cells)


def of(*numbers: int) -> list[Part]:
    return [Part(number, number) for number in numbers]


@pytest.mark.parametrize(
    ("numbers", "told_shares"),
    [
        ((10, 5, 5), [50, 25, 25]),
        ((97, 0, 3), [96, 0, None]),  # as if all four that 1 to 4 may be had not come
        ((40, 50, 8, 2), [40, 48, 8, None]),
        ((5, 4), [55, None]),  # of nine, five are the least that nine less 1 to 4 can be
        ((6, 1), [None, None]),
        ((20, 18, 1), [None, None, None]),  # the largest might not be it
        ((0, 0), [None, None]),
        ((3, 1), [None, None]),
    ],
)
def test_shares_are_whole_where_nothing_is_small(numbers: tuple[int, ...], told_shares: list[int | None]) -> None:
    assert shares(of(*numbers)) == told_shares


def test_many_visits_of_few_families_have_no_share_beside_them() -> None:
    assert shares([Part(90, 20), Part(10, 4)]) == [None, None]
    assert shares([Part(90, 20), Part(10, 5)]) == [90, 10]


@pytest.mark.parametrize(("parts", "largest"), [(2, 40), (3, 24), (4, 13)])
def test_whoever_knows_the_whole_and_the_rule_works_out_no_small_part(parts: int, largest: int) -> None:
    """The attack itself: of all worlds with this whole and these shares, what can the small part be?

    Each of 1 to 4; or, where no share is told, so many different things that it need not be small at all.
    """
    worlds: dict[tuple[object, ...], list[tuple[int, ...]]] = defaultdict(list)
    for world in itertools.product(range(largest), repeat=parts):
        if 8 <= sum(world) <= largest:
            worlds[sum(world), *shares(of(*world))].append(world)
    found = 0
    for (_whole, *told_shares), possible in worlds.items():
        for at in range(parts):
            could_be = {world[at] for world in possible}
            if could_be & {1, 2, 3, 4}:
                need_not_be_small = max(could_be) >= 5 and len(could_be) >= 4 and set(told_shares) == {None}
                assert could_be >= {1, 2, 3, 4} or need_not_be_small, (told_shares, possible)
                found += 1
    assert found > 20


def cell_row(week: int, whom: list[int], gone: list[int] = [], **values: object) -> dict[str, object]:  # noqa: B006
    known = {"of_week": date(2026, 11, 2), "programme": "p", "figure": "visits", "detail": "visit", "value": 0}
    return {**known, "number": 0, "amount": week, "cents": 1, "whom": whom, "gone": gone, **values}


def test_whoever_is_gone_is_not_counted_and_whoever_comes_back_is() -> None:
    (cell,) = cells_of([cell_row(1, [1, 2, 3]), cell_row(2, [4], [1, 2]), cell_row(3, [2])])
    assert (set(cell.whom), cell.amount, cell.cents) == ({2, 3, 4}, 6, 3)


def test_a_family_in_two_cells_is_one_family() -> None:
    cells = cells_of([cell_row(1, [1, 2, 3]), cell_row(1, [3, 2, 1], detail="no_show")])
    assert len(cells) == 2
    assert families_of(cells) == 3
    assert families_of([]) == 0


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
