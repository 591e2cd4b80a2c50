"""What a region is told: never what one organiser could work out of another's part, by any subtraction it can do."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import date, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.overview.disclosure import TAKEN_APART, Cell, People, blocks, is_safe, tell, tell_each
from service.overview.model import FAMILIES_MIN, WHOM_MAX

TOWNS = [UUID(int=number) for number in range(1, 6)]


NUMBERS = itertools.count()


def families(*parts: int) -> People:
    """Of each town so many, none of whom is anywhere else."""
    return {
        town: frozenset(itertools.islice(NUMBERS, min(part, WHOM_MAX)))
        for town, part in zip(TOWNS, parts, strict=False)
    }


def cell(*parts: int) -> Cell:
    return dict(zip(TOWNS, parts, strict=False)), families(*parts)


@pytest.mark.parametrize("parts", [(), (50,), (50, 50), (1000, 1000), (0, 900, 900)])
def test_one_organiser_and_two_have_no_sum(parts: tuple[int, ...]) -> None:
    assert not is_safe(*cell(*parts))


def test_three_of_like_size_have_one_and_a_large_one_among_small_ones_has_none() -> None:
    assert is_safe(*cell(50, 40, 45))
    assert not is_safe(*cell(500, 40, 45))  # 500 is known to within 45 to the second


def test_what_is_left_without_ones_own_part_is_of_enough_families() -> None:
    assert not is_safe(*cell(2, 2, 1))
    assert not is_safe(dict.fromkeys(TOWNS[:3], 100), families(90, 2, 2))
    assert is_safe(dict.fromkeys(TOWNS[:3], 100), families(90, 3, 2))


def test_a_family_of_two_programmes_is_one_of_all_of_them() -> None:
    amount, whom = cell(50, 50, 50)[0], families(20, 2, 2)
    assert tell({"a": (amount, whom), "b": (amount, whom)}, {}) == ({}, None)
    assert tell({"a": (amount, whom), "b": (amount, families(20, 2, 2))}, {}) == ({}, 300)


def test_a_programme_that_is_not_told_is_not_the_difference_either() -> None:
    cells = {"a": cell(50, 50, 50), "b": cell(40, 40, 40), "c": cell(30, 0, 0)}
    told, everything = tell(cells, cells)
    assert everything == 300
    assert told == {"a": 150}  # 300 less 150 and 120 would be the 30 of one organiser


def test_a_programme_that_only_others_have_is_not_the_difference() -> None:
    cells = {"a": cell(50, 50, 50), "hidden": cell(0, 60, 0)}
    assert tell(cells, {"a"}) == ({}, 210)


def test_without_a_sum_of_all_safe_programmes_are_told_by_themselves() -> None:
    cells = {"a": cell(50, 50, 50), "b": cell(9000, 0, 0)}
    assert tell(cells, cells) == ({"a": 150}, None)
    assert tell_each(cells, {"a"}) == {"a": 150}


def test_nothing_at_all_hides_nothing() -> None:
    cells = {"a": cell(50, 50, 50), "none": cell(0, 0, 0)}
    assert tell(cells, cells) == ({"a": 150}, 150)


PARTS = st.lists(st.integers(0, 60), min_size=4, max_size=4)


@given(st.dictionaries(st.sampled_from("abcd"), PARTS, min_size=1), st.sets(st.sampled_from("abcd")))
def test_every_sum_that_can_be_had_by_subtraction_is_safe_to_every_reader(
    parts: Mapping[str, list[int]], shown: set[str]
) -> None:
    """The attack itself: each reader subtracts what is told, then its own part, and guesses another's."""
    cells = {name: cell(*each) for name, each in parts.items()}
    told, everything = tell(cells, shown)
    sets = [set(chosen) for size in range(1, len(told) + 1) for chosen in itertools.combinations(told, size)]
    if everything is not None:
        sets += [set(cells) - each for each in [set(), *sets]]
    for known in sets:
        sums = [sum(parts[name][town] for name in known) for town in range(4)]
        for reader, other in itertools.permutations(range(4), 2):
            rest = sum(sums) - sums[reader]
            if sums[other]:
                assert rest >= FAMILIES_MIN
                assert (rest - sums[other]) * 100 >= TAKEN_APART * sums[other]


@pytest.mark.parametrize("offset", range(0, 800, 13))
def test_blocks_do_not_overlap_are_whole_and_over_for_four_weeks(offset: int) -> None:
    today = date(2025, 12, 20) + timedelta(days=offset)
    found = blocks(today)
    assert len(found) == 4
    for newer, older in itertools.pairwise(found):
        assert older.last + timedelta(days=7) == newer.first
    for block in found:
        assert len(block.weeks) in (13, 14)
        assert block.last_day + timedelta(days=28) < today


def test_the_block_at_the_end_of_a_year_of_53_weeks_has_fourteen() -> None:
    (block, *_rest) = blocks(date(2027, 2, 3))
    assert (block.name, str(block.first), str(block.last_day), len(block.weeks)) == (
        "2026-4",
        "2026-09-28",
        "2027-01-03",
        14,
    )
