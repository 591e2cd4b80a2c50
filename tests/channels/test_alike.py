"""Texts that say the same: each attempt finds its own, whoever looks first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.channels.alike import Candidate, Sought, Start, choose

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def start(seconds: float, *, number: int = 0) -> Start:
    return Start(NOON + timedelta(seconds=seconds), UUID(int=number or int(seconds * 1000) + 1))


def candidates(*seconds: float) -> list[Candidate]:
    """In the order in which they were made; a gateway tells whole seconds, and the newest first."""
    made = [(NOON + timedelta(seconds=at)).replace(microsecond=0) for at in seconds]
    return [Candidate(f"SM{index}", at) for index, at in enumerate(made)][::-1]


def chosen(texts: list[Candidate], own: Start, *rivals: Start) -> str | None:
    since = NOON - timedelta(seconds=30)
    found = choose(texts, Sought(start=own, since=since, is_ours=lambda body: True, rivals=rivals))
    return found.reference if found else None


@pytest.mark.parametrize(
    ("first_s", "second_s"),
    [(0.2, 0.7), (0.9, 1.1), (0.2, 1.9), (5, 5.001), (0, 29)],
    ids=["in one second", "in two seconds", "a second apart", "a moment apart", "half a minute apart"],
)
def test_two_texts_of_two_attempts_are_told_apart_by_their_order(first_s: float, second_s: float) -> None:
    texts, first, second = candidates(first_s + 0.05, second_s + 0.05), start(first_s), start(second_s)
    assert chosen(texts, first, second) == "SM0"
    assert chosen(texts, second, first) == "SM1"


def test_attempts_that_began_in_one_moment_do_not_choose_the_same_text() -> None:
    one, other = start(1, number=1), start(1, number=2)
    texts = candidates(1, 1)
    assert [chosen(texts, one, other), chosen(texts, other, one)] == ["SM0", "SM1"]


def test_a_gateway_whose_clock_is_behind_does_not_mix_up_texts() -> None:
    texts, first, second = candidates(-20, -19), start(0), start(1)
    assert [chosen(texts, first, second), chosen(texts, second, first)] == ["SM0", "SM1"]


@pytest.mark.parametrize("seconds", [0.3, 1.2, 25])
def test_the_only_text_is_found_by_each_of_two_attempts(seconds: float) -> None:
    """Whoever looks first has it, and the other one looks again: see `RECORD_LOOK_UP`."""
    texts, first, second = candidates(seconds), start(0.1), start(1)
    assert [chosen(texts, first, second), chosen(texts, second, first)] == ["SM0", "SM0"]


def test_with_more_attempts_than_texts_each_takes_the_nearest() -> None:
    first, lost, last = start(0.9), start(10), start(21.8)
    texts = candidates(0.95, 22.1)
    assert chosen(texts, first, lost, last) == "SM0"
    assert chosen(texts, last, first, lost) == "SM1"


def test_of_texts_that_are_equally_near_the_order_tells() -> None:
    far, one, other = start(0), start(100.1), start(100.4)
    texts = candidates(100.2, 100.5)
    assert chosen(texts, one, far, other) == "SM0"
    assert chosen(texts, other, far, one) == "SM1"
    assert chosen(texts, far, one, other) == "SM0", "it came to nothing, and what is left then is looked for again"


def test_with_more_texts_than_attempts_the_nearest_is_taken() -> None:
    """An earlier one, of which nothing is on record, and a later one whose answer is just being written down."""
    assert chosen(candidates(0, 60.2, 90), start(59.9)) == "SM1"


def test_where_nothing_says_the_same_there_is_nothing() -> None:
    assert chosen([], start(0), start(1)) is None


moments = st.integers(0, 60_000).map(lambda thousandths: thousandths / 1000)


@given(st.lists(moments, min_size=1, max_size=6, unique=True), st.floats(0, 0.3))
def test_when_every_attempt_was_taken_each_finds_its_own(begins_s: list[float], call_s: float) -> None:
    attempts = sorted(map(start, begins_s))
    texts = candidates(*((attempt.started_at - NOON).total_seconds() + call_s for attempt in attempts))
    for index, own in enumerate(attempts):
        assert chosen(texts, own, *(each for each in attempts if each != own)) == f"SM{index}"


@given(st.lists(moments, min_size=1, max_size=6), st.lists(moments, min_size=1, max_size=6, unique=True))
def test_while_a_text_says_the_same_nobody_is_told_that_there_is_none(
    made_s: list[float], begins_s: list[float]
) -> None:
    attempts = list(map(start, begins_s))
    assert chosen(candidates(*sorted(made_s)), *attempts) is not None
