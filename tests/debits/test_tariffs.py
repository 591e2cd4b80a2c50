"""From a visit's times to what is charged: real nights, real holidays, and a slow second opinion."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.db import Connection
from service.debits.tariffs import (
    HELSINKI,
    TariffRules,
    Visit,
    VisitTimeAmbiguous,
    VisitTimeMalformed,
    VisitTimesBackwards,
    VisitTimesIncomplete,
    VisitTimeSkipped,
    VisitTooLong,
    band_of_day,
    read_time,
    read_visit_times,
    round_minutes,
    split_visit,
)
from service.errors import Invalid
from service.money import Unit
from service.organisers.rules import Rounding
from service.public_holidays import eves_among, holidays_among

HOME_HELP = TariffRules(
    unit=Unit.MINUTES,
    step=15,
    rounding=Rounding.UP,
    evening_from=time(18),
    evening_to=time(22),
    eves_are_holidays=False,
)
BY_THE_MINUTE = replace(HOME_HELP, step=1)
NIGHT = replace(BY_THE_MINUTE, evening_from=time(20), evening_to=time(6))


def visit(starts_at: str, ends_at: str, rules: TariffRules = HOME_HELP) -> list[tuple[str, int]]:
    times = read_visit_times(starts_at, ends_at)
    assert times is not None
    return parts(split_visit(*times, rules=rules))


def parts(split: Visit) -> list[tuple[str, int]]:
    return list(zip(split.bands, split.amounts, strict=True))


@pytest.mark.parametrize(
    ("starts_at", "ends_at", "expected"),
    [
        # a Tuesday
        ("2026-03-17T10:00", "2026-03-17T12:00", [("weekday", 120)]),
        ("2026-03-17T17:00", "2026-03-17T19:00", [("weekday", 60), ("evening", 60)]),
        ("2026-03-17T17:00", "2026-03-17T23:00", [("weekday", 60), ("evening", 240), ("weekday", 60)]),
        ("2026-03-17T18:00", "2026-03-17T22:00", [("evening", 240)]),
        ("2026-03-17T22:00", "2026-03-18T02:00", [("weekday", 240)]),  # midnight between two weekdays is no border
        # a weekend has no evening
        ("2026-03-20T21:00", "2026-03-21T01:00", [("evening", 60), ("weekday", 120), ("saturday", 60)]),
        ("2026-03-21T17:00", "2026-03-21T20:00", [("saturday", 180)]),
        ("2026-03-21T23:00", "2026-03-22T01:00", [("saturday", 60), ("sunday", 60)]),
        ("2026-03-22T23:00", "2026-03-23T01:00", [("sunday", 60), ("weekday", 60)]),
        # New Year: a Wednesday, a holiday, a Friday
        ("2025-12-31T21:30", "2026-01-01T00:30", [("evening", 30), ("weekday", 120), ("sunday", 30)]),
        ("2026-01-01T23:00", "2026-01-02T01:00", [("sunday", 60), ("weekday", 60)]),
        # midsummer: the eve is a Friday, the day a Saturday, and then comes a Sunday
        ("2026-06-19T17:00", "2026-06-19T19:00", [("weekday", 60), ("evening", 60)]),
        ("2026-06-19T23:00", "2026-06-20T01:00", [("weekday", 60), ("sunday", 60)]),
        ("2026-06-20T23:00", "2026-06-21T01:00", [("sunday", 120)]),
        # Christmas: Thursday the eve, a Friday and a Saturday
        ("2026-12-24T12:00", "2026-12-24T19:00", [("weekday", 360), ("evening", 60)]),
        ("2026-12-25T18:00", "2026-12-25T20:00", [("sunday", 120)]),
        ("2026-12-26T18:00", "2026-12-27T00:00", [("sunday", 360)]),
        # Independence Day of 2027 is a Monday: Sunday's price goes on
        ("2027-12-05T23:00", "2027-12-06T23:00", [("sunday", 24 * 60)]),
    ],
)
def test_a_visit_is_split_where_bands_meet(starts_at: str, ends_at: str, expected: list[tuple[str, int]]) -> None:
    assert visit(starts_at, ends_at) == expected


def test_the_eves_are_holidays_where_the_rules_say_so() -> None:
    rules = replace(HOME_HELP, eves_are_holidays=True)
    assert visit("2026-12-23T23:00", "2026-12-24T19:00", rules) == [("weekday", 60), ("sunday", 19 * 60)]
    assert visit("2026-06-19T17:00", "2026-06-19T19:00", rules) == [("sunday", 120)]


def test_the_night_when_clocks_go_forward_has_an_hour_less() -> None:
    assert visit("2026-03-29T02:00", "2026-03-29T05:00") == [("sunday", 120)]
    assert visit("2026-03-28T23:00", "2026-03-29T07:00") == [("saturday", 60), ("sunday", 360)]
    assert visit("2026-03-29T20:00", "2026-03-30T08:00", NIGHT) == [("sunday", 240), ("evening", 360), ("weekday", 120)]


def test_the_night_when_clocks_go_back_has_an_hour_more() -> None:
    assert visit("2026-10-25T02:00", "2026-10-25T05:00") == [("sunday", 240)]
    assert visit("2026-10-24T23:00", "2026-10-25T07:00") == [("saturday", 60), ("sunday", 480)]
    assert visit("2026-10-25T03:30+03:00", "2026-10-25T03:30+02:00") == [("sunday", 60)]


def test_a_day_with_25_hours_is_longer_than_a_visit_may_be() -> None:
    assert visit("2026-10-25T00:00", "2026-10-25T23:00") == [("sunday", 24 * 60)]
    with pytest.raises(VisitTooLong):
        visit("2026-10-25T00:00", "2026-10-26T00:00")
    assert visit("2026-03-29T00:00", "2026-03-30T00:00") == [("sunday", 23 * 60)]


def test_an_evening_over_midnight_is_of_weekdays_on_both_its_sides() -> None:
    assert visit("2026-03-17T19:00", "2026-03-18T07:00", NIGHT) == [("weekday", 60), ("evening", 600), ("weekday", 60)]
    assert visit("2026-03-20T23:00", "2026-03-21T07:00", NIGHT) == [("evening", 60), ("saturday", 420)]
    assert visit("2026-03-22T23:00", "2026-03-23T07:00", NIGHT) == [("sunday", 60), ("evening", 360), ("weekday", 60)]


def test_an_evening_may_end_at_midnight() -> None:
    rules = replace(HOME_HELP, evening_to=time())
    assert visit("2026-03-17T17:00", "2026-03-18T01:00", rules) == [("weekday", 60), ("evening", 360), ("weekday", 60)]


def test_a_length_is_rounded_once_before_it_is_split() -> None:
    # 17:55–18:05 is 10 minutes, so 15: 5 of the day and 10 of the evening, never 15 of each.
    assert visit("2026-03-17T17:55", "2026-03-17T18:05") == [("weekday", 5), ("evening", 10)]
    assert visit("2026-03-17T17:50", "2026-03-17T17:51") == [("weekday", 10), ("evening", 5)]
    down = replace(HOME_HELP, rounding=Rounding.DOWN)
    assert visit("2026-03-17T17:50", "2026-03-17T18:14", down) == [("weekday", 10), ("evening", 5)]
    nearest = replace(HOME_HELP, rounding=Rounding.NEAREST)
    assert visit("2026-03-17T10:00", "2026-03-17T10:22", nearest) == [("weekday", 15)]
    assert visit("2026-03-17T10:00", "2026-03-17T10:23", nearest) == [("weekday", 30)]


def test_a_visit_rounded_down_to_nothing_has_a_part_of_nothing() -> None:
    down = replace(HOME_HELP, rounding=Rounding.DOWN)
    assert visit("2026-03-17T19:00", "2026-03-17T19:14", down) == [("evening", 0)]


def test_where_money_is_granted_the_parts_are_minutes_whatever_the_step() -> None:
    rules = replace(HOME_HELP, unit=Unit.CENTS, step=50)
    assert visit("2026-03-17T17:50", "2026-03-17T18:07", rules) == [("weekday", 10), ("evening", 7)]


@pytest.mark.parametrize("unit", [Unit.VISITS, Unit.SESSIONS])
def test_a_counted_visit_belongs_to_the_band_in_which_it_begins(unit: Unit) -> None:
    rules = replace(HOME_HELP, unit=unit, step=1)
    assert visit("2026-03-17T17:59", "2026-03-17T19:00", rules) == [("weekday", 1)]
    assert visit("2026-03-17T18:00", "2026-03-17T23:00", rules) == [("evening", 1)]
    starts_at = read_time("starts_at", "2026-03-21T23:00")
    two = split_visit(starts_at, starts_at + timedelta(hours=2), rules=rules, visits=2)
    assert two == Visit(date(2026, 3, 21), ("saturday",), (2,))


def test_the_service_date_is_the_day_in_finland_on_which_the_visit_began() -> None:
    times = read_visit_times("2026-03-17T22:30:00Z", "2026-03-17T23:30:00Z")
    assert times is not None
    assert split_visit(*times, rules=HOME_HELP).service_date == date(2026, 3, 18)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-17T14:30", "2026-03-17T12:30"),
        ("2026-03-17 14:30", "2026-03-17T12:30"),
        ("2026-07-17T14:30:59.999", "2026-07-17T11:30"),
        ("2026-03-17T14:30Z", "2026-03-17T14:30"),
        ("2026-03-17t14:30:59z", "2026-03-17T14:30"),
        ("2026-03-17T14:30:00,123456789+02:00", "2026-03-17T12:30"),
        ("2026-03-17T14:30-0500", "2026-03-17T19:30"),
        ("2026-03-17T14:30+02", "2026-03-17T12:30"),
        ("2026-03-29T02:59", "2026-03-29T00:59"),
        ("2026-03-29T04:00", "2026-03-29T01:00"),
        ("2026-10-25T02:59", "2026-10-24T23:59"),
        ("2026-10-25T04:00", "2026-10-25T02:00"),
    ],
)
def test_a_time_is_read_as_clients_write_it(text: str, moment: str) -> None:
    assert read_time("starts_at", text) == datetime.fromisoformat(moment).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("2026-03-29T03:00", VisitTimeSkipped),
        ("2026-03-29T03:59:59", VisitTimeSkipped),
        ("2026-10-25T03:00", VisitTimeAmbiguous),
        ("2026-10-25T03:59", VisitTimeAmbiguous),
        ("", VisitTimeMalformed),
        ("2026-03-17", VisitTimeMalformed),
        ("14:30", VisitTimeMalformed),
        ("2026-02-30T14:30", VisitTimeMalformed),
        ("2026-03-17T24:00", VisitTimeMalformed),
        ("2026-03-17T14:60", VisitTimeMalformed),
        ("2026-03-17T14:30+99:00", VisitTimeMalformed),
        ("2026-W12-2T14:30", VisitTimeMalformed),
        ("20260317T1430", VisitTimeMalformed),
        ("0001-01-01T00:00+14:00", VisitTimeMalformed),
        ("9999-12-31T23:59-12:00", VisitTimeMalformed),
        ("٢٠٢٦-03-17T14:30", VisitTimeMalformed),
        ("2026-03-17T14:30\n", VisitTimeMalformed),
    ],
)
def test_a_time_that_is_none_is_told_from_one_that_needs_an_offset(text: str, error: type[Invalid]) -> None:
    with pytest.raises(error) as raised:
        read_time("ends_at", text)
    assert raised.value.details == {"field": "ends_at"}


@given(st.text(max_size=30) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.{0,12}"))
@example("2000-01-01T00:00+23:59")
@example("2199-12-31T23:59-23:59")
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with suppress(VisitTimeMalformed, VisitTimeSkipped, VisitTimeAmbiguous):
        assert read_time("starts_at", text).tzinfo is UTC


def test_both_times_are_told_or_neither() -> None:
    assert read_visit_times(None, None) is None
    for times in (("2026-03-17T14:30", None), (None, "2026-03-17T14:30")):
        with pytest.raises(VisitTimesIncomplete):
            read_visit_times(*times)


@pytest.mark.parametrize(
    ("starts_at", "ends_at", "error"),
    [
        ("2026-03-17T14:30", "2026-03-17T14:30", VisitTimesBackwards),
        ("2026-03-17T14:30:00", "2026-03-17T14:30:59", VisitTimesBackwards),  # seconds are not charged
        ("2026-03-17T22:00", "2026-03-17T02:00", VisitTimesBackwards),
        ("2026-10-25T03:30+02:00", "2026-10-25T03:59+03:00", VisitTimesBackwards),
        ("2026-03-17T14:30", "2026-03-18T14:31", VisitTooLong),
    ],
)
def test_a_visit_is_longer_than_nothing_and_not_than_a_day(starts_at: str, ends_at: str, error: type[Invalid]) -> None:
    with pytest.raises(error):
        read_visit_times(starts_at, ends_at)


def test_bands_of_days_agree_with_holidays() -> None:
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(365)]
    holidays, eves = holidays_among(days), eves_among(days)
    for day in days:
        for eves_count in (False, True):
            is_sunday = day.weekday() == 6 or day in holidays or (eves_count and day in eves)
            expected = "sunday" if is_sunday else "saturday" if day.weekday() == 5 else "weekday"
            assert band_of_day(day, eves_are_holidays=eves_count) == expected


async def test_the_database_has_the_same_bands_of_days(db: Connection) -> None:
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(3 * 366)]
    for eves_count in (False, True):
        told = await db.fetch(
            "SELECT tariff_band(d, $2, $3, $4) FROM unnest($1::date[]) WITH ORDINALITY AS t (d, i) ORDER BY i",
            days,
            holidays_among(days),
            eves_among(days),
            eves_count,
        )
        assert [each[0] for each in told] == [band_of_day(day, eves_are_holidays=eves_count) for day in days]


# Beginnings near the days where something happens, as often as anywhere else.
NEAR = [
    date(2026, 3, 28),
    date(2026, 10, 24),
    date(2026, 6, 18),
    date(2026, 12, 23),
    date(2025, 12, 31),
    date(2026, 4, 2),
]
days = st.sampled_from(NEAR) | st.dates(date(2020, 1, 1), date(2030, 12, 31))
begin = st.builds(
    lambda day, minute: datetime.combine(day, time(), UTC) + timedelta(minutes=minute), days, st.integers(0, 4 * 1440)
)
lengths = st.integers(1, 1440)
clocks = st.builds(time, st.integers(0, 23), st.sampled_from([0, 1, 15, 30, 59]))
evenings = st.none() | st.tuples(clocks, clocks).filter(lambda pair: pair[0] != pair[1])
rules_of_minutes = st.builds(
    lambda step, rounding, evening, eves: TariffRules(
        unit=Unit.MINUTES,
        step=step,
        rounding=rounding,
        evening_from=evening and evening[0],
        evening_to=evening and evening[1],
        eves_are_holidays=eves,
    ),
    st.sampled_from([1, 5, 15, 20, 30, 60]),
    st.sampled_from(Rounding),
    evenings,
    st.booleans(),
)


def band_by_the_clock(moment: datetime, rules: TariffRules) -> str:
    """What a person with a calendar and a clock on the wall would say."""
    local = moment.astimezone(HELSINKI)
    if (
        local.weekday() == 6
        or holidays_among([local.date()])
        or (rules.eves_are_holidays and eves_among([local.date()]))
    ):
        return "sunday"
    if local.weekday() == 5:
        return "saturday"
    if rules.evening_from is None or rules.evening_to is None:
        return "weekday"
    clock, begins, ends = (60 * each.hour + each.minute for each in (local, rules.evening_from, rules.evening_to))
    return "evening" if (clock - begins) % 1440 < (ends - begins) % 1440 else "weekday"


def minute_by_minute(starts_at: datetime, minutes: int, rules: TariffRules) -> list[tuple[str, int]]:
    bands = [band_by_the_clock(starts_at + timedelta(minutes=n), rules) for n in range(minutes)]
    return [(band, len(list(run))) for band, run in groupby(bands)]


@given(begin, lengths, rules_of_minutes)
def test_the_parts_are_those_of_a_count_minute_by_minute(starts_at: datetime, length: int, rules: TariffRules) -> None:
    rounded = round_minutes(length, step=rules.step, rounding=rules.rounding)
    split = split_visit(starts_at, starts_at + timedelta(minutes=length), rules=rules)
    assert split.amount == rounded
    if rounded:
        assert parts(split) == minute_by_minute(starts_at, rounded, rules)


@given(lengths, st.integers(1, 90), st.sampled_from(Rounding))
def test_rounding_moves_a_length_by_less_than_a_step(length: int, step: int, rounding: Rounding) -> None:
    rounded = round_minutes(length, step=step, rounding=rounding)
    assert rounded % step == 0
    added = rounded - length
    assert {
        Rounding.UP: 0 <= added < step,
        Rounding.DOWN: -step < added <= 0,
        Rounding.NEAREST: -step < 2 * added <= step,
    }[rounding]


@given(begin, lengths, st.integers(0, 1440), rules_of_minutes)
def test_two_visits_back_to_back_cost_what_one_does(
    starts_at: datetime, length: int, cut: int, rules: TariffRules
) -> None:
    rules = replace(rules, step=1)
    cut = min(cut, length)
    ends_at, between = starts_at + timedelta(minutes=length), starts_at + timedelta(minutes=cut)
    totals: dict[str, int] = {}
    for one, other in ((starts_at, between), (between, ends_at)):
        for band, amount in parts(split_visit(one, other, rules=rules)) if one < other else ():
            totals[band] = totals.get(band, 0) + amount
    whole: dict[str, int] = {}
    for band, amount in parts(split_visit(starts_at, ends_at, rules=rules)):
        whole[band] = whole.get(band, 0) + amount
    assert totals == whole


@given(begin, lengths, rules_of_minutes)
def test_neighbouring_parts_are_of_different_bands_and_none_is_empty(
    starts_at: datetime, length: int, rules: TariffRules
) -> None:
    split = split_visit(starts_at, starts_at + timedelta(minutes=length), rules=replace(rules, step=1))
    assert all(amount > 0 for amount in split.amounts)
    assert all(one != other for one, other in zip(split.bands, split.bands[1:], strict=False))
