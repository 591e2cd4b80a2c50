"""What the region's organisers decided and its providers did in the months before the demo was started. Pure.

The same for the same day, drawn with a seed. A year has its seasons: few decisions in July, and a little more of them
each month. Most families come soon and often, some late, some never; most texts arrive in seconds, a few numbers are
dead and the mail takes over. Nobody of them exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from random import Random
from typing import Literal
from zoneinfo import ZoneInfo

from service.public_holidays import eves_among, holidays_among
from service.sandbox.neighbours import ISLAND_TOWN, SHORE_TOWN
from service.sandbox.sample import CLEANING, COUNTY, COUPLE_THERAPY, HOME_HELP, TOWN

Arrival = Literal["sms", "email", "email_after_sms"]

WEEKS = 45
"""So that two of the region's quarters can be told, whatever the day of the start: two of 13 weeks, four weeks after
their end, and the part of one that has just begun."""
LATE_ENTRY = timedelta(days=30)
HELSINKI = ZoneInfo("Europe/Helsinki")

_A_WEEK = {
    COUNTY: {HOME_HELP: 7.0, COUPLE_THERAPY: 3.0, CLEANING: 3.0},
    TOWN: {HOME_HELP: 4.5, COUPLE_THERAPY: 2.0, CLEANING: 2.0},
    ISLAND_TOWN: {HOME_HELP: 3.5, CLEANING: 2.0},
    SHORE_TOWN: {HOME_HELP: 2.5, CLEANING: 1.5},
}
_LETTERS = {COUNTY: "KP", TOWN: "LP", ISLAND_TOWN: "VS", SHORE_TOWN: "LR"}
_FIRST_PHONE = {COUNTY: 1000, TOWN: 3000, ISLAND_TOWN: 5000, SHORE_TOWN: 7000}
_PROVIDERS = {
    HOME_HELP: ("9000101-4", "9000101-4", "9000202-5"),  # two families of three choose the first
    COUPLE_THERAPY: ("9000101-4", "9000303-6"),
    CLEANING: ("9000202-5", "9000505-8"),
}
_WORKERS = {
    "9000101-4": ("Leena Lehto", "Anna Aalto", "Sari Sund"),
    "9000202-5": ("Mari Metsä", "Tuula Tuomi"),
    "9000303-6": ("Kaisa Koski",),
    "9000505-8": ("Jonna Järvi",),
}
_TASKS = ("lastenhoito", "ruoanlaitto", "siivous")
_MUNICIPALITIES = ("Leppälahti", "Kuusijärvi", "Pihlajaniemi")
_LETTERS_OF_NAMES = "AEHJKLMNPRSTV"
_GRANTED = {HOME_HELP: (600, 900, 1440), COUPLE_THERAPY: (5, 8), CLEANING: (30_000, 40_000)}
_AMOUNTS = {HOME_HELP: (60, 90, 120, 120), COUPLE_THERAPY: (1,), CLEANING: (5_500, 6_250, 7_000)}
_DAYS_BETWEEN = {HOME_HELP: (4, 10), COUPLE_THERAPY: (7, 21), CLEANING: (7, 14)}
_VALID_DAYS = (60, 90, 90, 120)


@dataclass(frozen=True, slots=True)
class PlannedVisit:
    """A visit that was charged. `starts_at` where the programme's visits have times."""

    on: date
    starts_at: datetime | None
    amount: int
    worker: str
    task_type: str | None
    entered_at: datetime


@dataclass(frozen=True, slots=True)
class PlannedVoucher:
    """A decision, how its code arrived, and the visits on it. `taken_back_at`: when the last visit was."""

    organiser: str
    programme: str
    decision_ref: str
    client_ref: str
    decided_at: datetime
    language: str
    phone: str | None
    email: str | None
    initials: str
    municipality: str
    granted: int
    valid_from: date
    valid_to: date
    arrival: Arrival
    arrived_after: timedelta
    provider: str
    visits: Sequence[PlannedVisit]
    taken_back_at: datetime | None

    @property
    def used(self) -> int:
        """What was charged and not taken back."""
        taken_back = self.visits[-1].amount if self.taken_back_at is not None else 0
        return sum(visit.amount for visit in self.visits) - taken_back

    def is_unused_on(self, day: date) -> bool:
        """Whether no visit had been on or before the day."""
        return not self.visits or self.visits[0].on > day

    @property
    def closed_on(self) -> date:
        """The day on which what is left of it goes back to the budget."""
        return self.valid_to + LATE_ENTRY + timedelta(days=1)


def plan_months(organiser: str, day: date) -> Sequence[PlannedVoucher]:
    """One organiser's decisions of the WEEKS before `day`, the oldest first, and what became of them until then."""
    rng = Random(f"{organiser} {day}")  # noqa: S311 - a sample, drawn the same each time
    moments = sorted(_moments(rng, organiser, day))
    return [_voucher(rng, organiser, programme, at, number, day) for number, (at, programme) in enumerate(moments, 1)]


def _moments(rng: Random, organiser: str, day: date) -> Iterator[tuple[datetime, str]]:
    """When which decision is made: in office hours, before the week of the day, which has the story's and `past`'s."""
    first = day - timedelta(days=day.weekday(), weeks=WEEKS)
    for week in range(WEEKS):
        monday = first + timedelta(weeks=week)
        season = 0.55 if monday.month == 7 else 0.85 + 0.3 * week / WEEKS
        for programme, usual in _A_WEEK[organiser].items():
            for _ in range(round(usual * season * rng.uniform(0.7, 1.35))):
                on = monday + timedelta(days=rng.randrange(5))
                at = datetime.combine(on, time(8, 15), HELSINKI) + timedelta(minutes=rng.randrange(460))
                if not _is_closed(on):
                    yield at, programme


def _is_closed(day: date) -> bool:
    return day.weekday() >= 5 or bool(holidays_among([day]) or eves_among([day]))


def _voucher(rng: Random, organiser: str, programme: str, at: datetime, number: int, day: date) -> PlannedVoucher:
    arrival: Arrival = rng.choices(("sms", "email", "email_after_sms"), (84, 12, 4))[0]
    valid_from = at.date()
    valid_to = valid_from + timedelta(days=rng.choice(_VALID_DAYS))
    provider, granted = rng.choice(_PROVIDERS[programme]), rng.choice(_GRANTED[programme])
    visits = [
        _visit(rng, programme, provider, on, amount, day)
        for on, amount in _days(rng, programme, granted, valid_from, min(valid_to, day - timedelta(days=1)))
    ]
    is_taken_back = bool(visits) and rng.random() < 0.04
    return PlannedVoucher(
        organiser=organiser,
        programme=programme,
        decision_ref=f"{_LETTERS[organiser]}-{at:%y}-{number:04}",
        client_ref=f"perhe-{at:%y}-{number:04}",
        decided_at=at,
        language=rng.choices(("fi", "sv", "en"), (80, 15, 5))[0],
        phone=None if arrival == "email" else f"+35840555{_FIRST_PHONE[organiser] + number}",
        email=None if arrival == "sms" else f"perhe{number:04}.{organiser}@posti.example",
        initials=f"{rng.choice(_LETTERS_OF_NAMES)}. {rng.choice(_LETTERS_OF_NAMES)}.",
        municipality=rng.choice(_MUNICIPALITIES),
        granted=granted,
        valid_from=valid_from,
        valid_to=valid_to,
        arrival=arrival,
        arrived_after=_arrived_after(rng, arrival),
        provider=provider,
        visits=visits,
        taken_back_at=visits[-1].entered_at + timedelta(hours=2) if is_taken_back else None,
    )


def _arrived_after(rng: Random, arrival: Arrival) -> timedelta:
    match arrival:
        case "sms":
            slow = rng.uniform(60, 900) if rng.random() < 0.05 else 0.0  # a phone that was switched off
            return timedelta(seconds=4 + rng.expovariate(1 / 8) + slow)
        case "email":
            return timedelta(seconds=rng.uniform(2, 9))
        case "email_after_sms":
            return timedelta(minutes=rng.uniform(6, 40))


def _days(rng: Random, programme: str, granted: int, first: date, last: date) -> Iterator[tuple[date, int]]:
    """Days with their amounts, until the voucher is used up, its last day is over, or the family needs no more."""
    if rng.random() < 0.09:
        return  # never used
    left, on = granted, first + timedelta(days=rng.choice((1, 2, 3, 5, 8, 13, 20)))
    while on <= last:
        amount = rng.choice(_AMOUNTS[programme])
        if amount > left or rng.random() < 0.04:
            return
        if not _is_closed(on):
            left -= amount
            yield on, amount
        on += timedelta(days=rng.randint(*_DAYS_BETWEEN[programme]))


def _visit(rng: Random, programme: str, provider: str, on: date, amount: int, day: date) -> PlannedVisit:
    starts_at = datetime.combine(on, time(8 + rng.randrange(7), rng.choice((0, 15, 30))), HELSINKI)
    ends_at = starts_at + timedelta(minutes=amount if programme == HOME_HELP else 75)
    late = timedelta(days=rng.randint(1, 4)) if rng.random() < 0.08 else timedelta()
    return PlannedVisit(
        on=on,
        starts_at=starts_at if programme == HOME_HELP else None,
        amount=amount,
        worker=rng.choice(_WORKERS[provider]),
        task_type=rng.choice(_TASKS) if programme == HOME_HELP else None,
        entered_at=ends_at + timedelta(minutes=rng.randrange(2, 25)) + (late if on + late < day else timedelta()),
    )
