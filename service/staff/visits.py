"""When the visit of a text was: its day, and its times if the text tells them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from service.debits.tariffs import VisitTimeAmbiguous, VisitTimeSkipped, read_time
from service.public_holidays import eves_among, holidays_among
from service.staff.grammar import DAY_MINUTES, Clock, Day, day_of
from service.staff.model import Answer
from service.vouchers.decisions import helsinki_day


@dataclass(frozen=True, slots=True)
class Visit:
    """`is_today`: no day was told, and so it is the day of whoever charges."""

    service_date: date
    is_today: bool
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    @property
    def minutes(self) -> int:
        """That passed between its times; 0 without them."""
        if self.starts_at is None or self.ends_at is None:
            return 0
        return int((self.ends_at - self.starts_at).total_seconds()) // 60


def when(day: Day | None, clock: Clock | None, now: datetime) -> Visit | Answer:
    """The visit that is meant, or what is unclear about its time.

    Times without a day are today's; over midnight they are last night's, if that visit is over (what is texted at one
    was yesterday evening). Times that are still to come are for the rule book to refuse, not to be moved.
    """
    today = helsinki_day(now)
    service_date = day_of(day, today)
    if service_date is None:
        return Answer.DAY_UNCLEAR
    if clock is None:
        return Visit(service_date, is_today=day is None)
    visit = _at(service_date, clock)
    goes_over_midnight = clock.ends <= clock.starts
    if day is None and goes_over_midnight and isinstance(visit, Visit) and visit.starts_at and visit.starts_at > now:
        return _at(service_date - timedelta(days=1), clock)
    return visit


def is_weekday(day: date) -> bool:
    """True on days that have an evening of their own, whatever a programme's rules say of eves."""
    return day.isoweekday() < 6 and not holidays_among([day]) and not eves_among([day])


def _at(day: date, clock: Clock) -> Visit | Answer:
    ends = clock.ends if clock.ends > clock.starts else clock.ends + DAY_MINUTES
    try:
        return Visit(day, False, _moment("starts_at", day, clock.starts), _moment("ends_at", day, ends))
    except (VisitTimeSkipped, VisitTimeAmbiguous):
        return Answer.CLOCK_UNCLEAR


def _moment(field: str, day: date, minute: int) -> datetime:
    """By the clock in Helsinki; minutes of the next day go on from midnight."""
    day += timedelta(days=minute // DAY_MINUTES)
    return read_time(field, f"{day.isoformat()}T{minute % DAY_MINUTES // 60:02}:{minute % 60:02}")
