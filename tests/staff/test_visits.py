"""When a texted visit was."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from service.staff.grammar import Clock, Day
from service.staff.model import Answer
from service.staff.visits import Visit, is_weekday, when

NOW = datetime(2026, 11, 20, 14, 35, tzinfo=UTC)  # 16.35 in Helsinki, a Friday


def at(day: int, hour: int, minute: int = 0, *, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def test_without_a_day_it_is_today() -> None:
    assert when(None, None, NOW) == Visit(date(2026, 11, 20), is_today=True)
    assert when(Day(days_ago=1), None, NOW) == Visit(date(2026, 11, 19), is_today=False)
    late = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)
    assert when(None, None, late) == Visit(date(2026, 11, 21), is_today=True)


def test_times_are_those_of_the_clock_in_helsinki() -> None:
    visit = when(None, Clock(14 * 60, 16 * 60 + 30), NOW)
    assert visit == Visit(date(2026, 11, 20), False, at(20, 12), at(20, 14, 30))
    assert visit.minutes == 150


def test_times_that_have_not_begun_were_yesterday() -> None:
    after_midnight = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)  # half past midnight of the 21st
    visit = when(None, Clock(21 * 60, 30), after_midnight)
    assert visit == Visit(date(2026, 11, 20), False, at(20, 19), at(20, 22, 30))
    told = when(Day(day=20, month=11), Clock(20 * 60, 21 * 60), NOW)
    assert told == Visit(date(2026, 11, 20), False, at(20, 18), at(20, 19))


def test_a_night_in_which_the_clocks_change_is_counted_by_the_time_that_passed_or_not_at_all() -> None:
    night = Day(day=25, month=10, year=2026)
    whole = when(Day(day=24, month=10, year=2026), Clock(22 * 60, 6 * 60), NOW)
    assert isinstance(whole, Visit)
    assert whole.minutes == 9 * 60
    assert when(night, Clock(3 * 60 + 30, 6 * 60), NOW) is Answer.CLOCK_UNCLEAR
    assert when(Day(day=29, month=3, year=2026), Clock(3 * 60 + 30, 6 * 60), NOW) is Answer.CLOCK_UNCLEAR


def test_a_day_that_there_is_not_is_unclear() -> None:
    assert when(Day(day=31, month=11), None, NOW) is Answer.DAY_UNCLEAR


@pytest.mark.parametrize(
    ("day", "has_evening"),
    [
        (date(2026, 11, 20), True),
        (date(2026, 11, 21), False),
        (date(2026, 11, 22), False),
        (date(2026, 12, 25), False),
        (date(2026, 12, 24), False),
    ],
)
def test_weekends_and_holidays_have_no_evening_of_their_own(day: date, has_evening: bool) -> None:
    assert is_weekday(day) is has_evening
