"""From a visit's times to what is charged: so much of the day, the evening, the Saturday, the Sunday. Pure.

The order of work, which everybody who checks a bill has to know:
1. The time that passed, in whole minutes: a night in March has an hour less, a night in October an hour more.
2. Rounded to the programme's step, once, by moving the visit's end.
3. Split at midnight and where the evening begins and ends, by the clock in Helsinki.
A visit that is counted and not timed (visits, sessions) is not split: it belongs to the band in which it begins.

Prices are not known here: `check_charge` (migrations/0060) multiplies. It also knows the bands of whole days, in
`tariff_band`; a test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from service.errors import Invalid
from service.money import Unit
from service.organisers.rules import Rounding
from service.public_holidays import eves_among, holidays_among

HELSINKI = ZoneInfo("Europe/Helsinki")
VISIT_MAX_MINUTES = 24 * 60
YEAR_MIN, YEAR_MAX = 2000, 2199
_TIME = re.compile(
    r"(\d{4})-\d{2}-\d{2}[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d([.,]\d{1,9})?)?(Z|[+-]\d{2}(:?\d{2})?)?",
    re.ASCII | re.IGNORECASE,
)


class VisitTimesIncomplete(Invalid):
    """A visit's beginning and its end are told both, or neither."""

    code = "visit_times_incomplete"


class VisitTimeMalformed(Invalid):
    """A time is ISO 8601 with an offset, or the local time in Finland without one; `field` says which is not."""

    code = "visit_time_malformed"


class VisitTimeSkipped(Invalid):
    """No clock in Finland showed this time: that night it went from three to four (`field`)."""

    code = "visit_time_skipped"


class VisitTimeAmbiguous(Invalid):
    """The clocks in Finland showed this time twice that night (`field`): only an offset tells which is meant."""

    code = "visit_time_ambiguous"


class VisitTimesBackwards(Invalid):
    """A visit ends at least a minute after it begins."""

    code = "visit_times_backwards"


class VisitTooLong(Invalid):
    """A visit is at most a day and a night (`max_hours`)."""

    code = "visit_too_long"


@dataclass(frozen=True, slots=True)
class TariffRules:
    """What a visit is split by, of the rules in force on the day it begins."""

    unit: Unit
    step: int
    rounding: Rounding
    evening_from: time | None
    evening_to: time | None
    eves_are_holidays: bool


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit's parts in order: tariff bands, and how much falls into each.

    In minutes, also where money is granted (the database makes the cents); in visits or sessions where those are.
    """

    service_date: date
    """The day in Finland on which it began: the one whose rules, prices and week count for all of it."""
    bands: tuple[str, ...]
    amounts: tuple[int, ...]

    @property
    def amount(self) -> int:
        return sum(self.amounts)


def read_visit_times(starts_at: str | None, ends_at: str | None) -> tuple[datetime, datetime] | None:
    """When a visit began and ended, as a client tells it; None when it does not. To the minute: seconds are dropped.

    Asks nothing but the two texts, so that the answer is the same to everybody, whatever the code.
    Raises VisitTimesIncomplete, VisitTimeMalformed, VisitTimeSkipped, VisitTimeAmbiguous, VisitTimesBackwards,
    VisitTooLong.
    """
    if starts_at is None and ends_at is None:
        return None
    if starts_at is None or ends_at is None:
        raise VisitTimesIncomplete
    times = read_time("starts_at", starts_at), read_time("ends_at", ends_at)
    check_visit_times(*times)
    return times


def read_time(field: str, text: str) -> datetime:
    """A moment from ISO 8601 with an offset, or from a local time in Finland without one; in UTC, to the minute.

    Raises VisitTimeMalformed, VisitTimeSkipped, VisitTimeAmbiguous.
    """
    form = _TIME.fullmatch(text)
    if form is None or not YEAR_MIN <= int(form[1]) <= YEAR_MAX:
        raise VisitTimeMalformed(field=field)
    try:
        told = datetime.fromisoformat(text.upper())
    except ValueError:
        raise VisitTimeMalformed(field=field) from None  # the 30th of February, an offset of 99 hours
    return _whole_minute(told if told.tzinfo else _in_finland(field, told))


def _in_finland(field: str, local: datetime) -> datetime:
    """The only moment at which a clock in Finland showed this."""
    first, second = (local.replace(tzinfo=HELSINKI, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first < second:
        raise VisitTimeAmbiguous(field=field)
    if first > second:
        raise VisitTimeSkipped(field=field)
    return first


def check_visit_times(starts_at: datetime, ends_at: datetime) -> None:
    """Raises VisitTimesBackwards, VisitTooLong."""
    minutes = _minutes_between(starts_at, ends_at)
    if minutes <= 0:
        raise VisitTimesBackwards
    if minutes > VISIT_MAX_MINUTES:
        raise VisitTooLong(max_hours=VISIT_MAX_MINUTES // 60)


def split_visit(starts_at: datetime, ends_at: datetime, *, rules: TariffRules, visits: int = 1) -> Visit:
    """The parts of a visit between two moments; `visits` is how many it counts for, where visits are counted.

    One that is rounded down to nothing has one part of 0, for the rule book to refuse. Raises VisitTimesBackwards,
    VisitTooLong.
    """
    starts_at, ends_at = _whole_minute(starts_at), _whole_minute(ends_at)
    check_visit_times(starts_at, ends_at)
    service_date = starts_at.astimezone(HELSINKI).date()
    if rules.unit in (Unit.VISITS, Unit.SESSIONS):
        return Visit(service_date, (band_at(starts_at, rules),), (visits,))
    minutes = round_minutes(
        _minutes_between(starts_at, ends_at),
        step=rules.step if rules.unit is Unit.MINUTES else 1,  # a step of money is none of time
        rounding=rules.rounding,
    )
    if minutes == 0:
        return Visit(service_date, (band_at(starts_at, rules),), (0,))
    bands: list[str] = []
    amounts: list[int] = []
    ends_at = starts_at + timedelta(minutes=minutes)
    for part_from, part_to in pairwise((starts_at, *_borders(starts_at, ends_at, rules), ends_at)):
        band, amount = band_at(part_from, rules), _minutes_between(part_from, part_to)
        if bands and bands[-1] == band:
            amounts[-1] += amount
        else:
            bands.append(band)
            amounts.append(amount)
    return Visit(service_date, tuple(bands), tuple(amounts))


def round_minutes(minutes: int, *, step: int, rounding: Rounding) -> int:
    """To a multiple of `step`; the middle goes up."""
    added = {Rounding.UP: step - 1, Rounding.NEAREST: step // 2, Rounding.DOWN: 0}[rounding]
    return (minutes + added) // step * step


def band_at(moment: datetime, rules: TariffRules) -> str:
    """The tariff band of a moment. By the calendar day in Finland; only weekdays have evenings."""
    local = moment.astimezone(HELSINKI)
    day = band_of_day(local.date(), eves_are_holidays=rules.eves_are_holidays)
    return "evening" if day == "weekday" and _is_evening(local.time(), rules) else day


def band_of_day(day: date, *, eves_are_holidays: bool) -> str:
    """`weekday`, `saturday` or `sunday`; a public holiday is a Sunday."""
    if day.isoweekday() == 7 or holidays_among([day]) or (eves_are_holidays and eves_among([day])):
        return "sunday"
    return "saturday" if day.isoweekday() == 6 else "weekday"


def _is_evening(clock: time, rules: TariffRules) -> bool:
    begins, ends = rules.evening_from, rules.evening_to
    if begins is None or ends is None:
        return False
    return begins <= clock < ends if begins < ends else clock >= begins or clock < ends


def _borders(starts_at: datetime, ends_at: datetime, rules: TariffRules) -> list[datetime]:
    """The moments within a visit at which the band can change, in order."""
    borders = {
        # In both nights when the clocks change it is Sunday all day, so that only midnight counts, and that is one.
        datetime.combine(day, clock, HELSINKI).astimezone(UTC)
        for day in _days_between(starts_at, ends_at)
        for clock in (time(), rules.evening_from, rules.evening_to)
        if clock is not None
    }
    return sorted(border for border in borders if starts_at < border < ends_at)


def _days_between(starts_at: datetime, ends_at: datetime) -> Iterator[date]:
    day = starts_at.astimezone(HELSINKI).date()
    while day <= ends_at.astimezone(HELSINKI).date():
        yield day
        day += timedelta(days=1)


def _minutes_between(starts_at: datetime, ends_at: datetime) -> int:
    # In UTC: between two times of one zone, datetime subtracts what the clocks show and not what has passed.
    return int((ends_at.astimezone(UTC) - starts_at.astimezone(UTC)) // timedelta(minutes=1))


def _whole_minute(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0)
