"""Weeks, periods, and what the cells of an organiser's weeks come to. Pure: no I/O, no clock.

A figure about fewer than FAMILIES_MIN families is not told (`Few`). Sums here are made of what is told, and shares are
such that nobody who knows the whole works a small part out. What a region tells is in `disclosure`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Protocol

from service.errors import NotFound

FAMILIES_MIN = 5
"""k: the figures leave the house on paper, and a figure about one family is about that family."""
TAIL_MIN = WHOM_MAX = 20
"""Of fewer, the slowest twentieth is one family, or none. More than so many are never asked for (`Cell.whom`)."""
WEEK = timedelta(days=7)
LENGTHS = (4, 12, 26, 52)
YEARS_SHOWN = 3


class OverviewTableUnknown(NotFound):
    """The overview has no table of this name."""

    code = "overview_table_unknown"


@dataclass(frozen=True, slots=True)
class Few:
    """1 to 4 families: more is not said. Nothing at all is a plain 0."""


FEW = Few()
Told = int | Few | None
"""A figure; `FEW`; or None where there is nothing that it could be about."""


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def week_name(week: date) -> str:
    """As calendars in Finland number it: 2026-W53, which begins on 28 December 2026."""
    year, number, _ = week.isocalendar()
    return f"{year}-W{number:02}"


@dataclass(frozen=True, slots=True)
class Period:
    """Whole weeks, the Mondays of the first and the last of them; `name` is what the address says."""

    name: str
    first: date
    last: date

    @property
    def weeks(self) -> Sequence[date]:
        return [self.first + WEEK * number for number in range((self.last - self.first) // WEEK + 1)]

    @property
    def last_day(self) -> date:
        return self.last + timedelta(days=6)


def read_period(text: str | None, today: date) -> Period:
    """The last 4, 12, 26 or 52 weeks with this one (`12w`), or a year of ISO weeks (`2026`). Else: 12 weeks."""
    return {period.name: period for period in periods(today)}.get(text or "", periods(today)[1])


def periods(today: date) -> Sequence[Period]:
    """All that can be chosen."""
    this = monday(today)
    recent = [Period(f"{length}w", this - WEEK * (length - 1), this) for length in LENGTHS]
    year = today.isocalendar().year
    return [*recent, *(_year(each, this) for each in range(year, year - YEARS_SHOWN, -1))]


def _year(year: int, this: date) -> Period:
    """Its weeks, 52 or 53, of the running year those until now."""
    first = date.fromisocalendar(year, 1, 1)
    return Period(str(year), first, min(this, date.fromisocalendar(year + 1, 1, 1) - WEEK))


def percentile(counts: Mapping[int, int], percent: int) -> int | None:
    """The smallest value that at least so many in a hundred do not exceed (nearest rank); None of nothing."""
    total = sum(counts.values())
    if not total:
        return None
    rank, seen = -(-total * percent // 100), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= max(rank, 1):
            return value
    raise AssertionError("the ranks end with the total")


def told(number: int, families: int) -> Told:
    """The number, if it is about enough families; that there is nothing can be said."""
    return number if families >= FAMILIES_MIN or (families == 0 and number == 0) else FEW


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A sum of what is told; `is_whole`: nothing was left out."""

    number: int
    is_whole: bool


def total(cells: Iterable[Told]) -> AtLeast:
    """Hidden cells count as 1, the least they can be, so that the sum says nothing about them that they do not."""
    cells = list(cells)
    hidden = sum(cell is FEW for cell in cells)
    return AtLeast(sum(cell for cell in cells if isinstance(cell, int)) + hidden, hidden == 0)


@dataclass(frozen=True, slots=True)
class Part:
    """Of a whole: how many, of how many families."""

    number: int
    families: int

    @property
    def is_small(self) -> bool:
        return told(self.number, self.families) is FEW


def shares(parts: Sequence[Part]) -> Sequence[int | None]:
    """Whole percent of each part, rounded down; None: not told.

    A small part would be the whole less the others. So with one, the largest is told as what is left if each small
    part is as large as it can be, which a reader can work out of the whole and of the rest: it says no more. Where that
    would be too small itself, or a small part is of many messages or decisions of few families, none is told.
    """
    whole, small = sum(part.number for part in parts), [part for part in parts if part.is_small]
    if not whole:
        return [None] * len(parts)
    if not small:
        return [part.number * 100 // whole for part in parts]
    at, largest = max(enumerate(parts), key=lambda each: (not each[1].is_small, each[1].number))
    others = [part.number for number, part in enumerate(parts) if number != at and not part.is_small]
    least = whole - sum(others) - (FAMILIES_MIN - 1) * len(small)
    is_pinned = least < FAMILIES_MIN or least <= max(others, default=0)
    if largest.is_small or is_pinned or any(part.number >= FAMILIES_MIN for part in small):
        return [None] * len(parts)
    numbers = [least if number == at else part.number for number, part in enumerate(parts)]
    return [None if part.is_small else number * 100 // whole for number, part in zip(numbers, parts, strict=True)]


@dataclass(frozen=True, slots=True)
class Cell:
    """What is counted; `queries` says what its columns are. `whom`: all families it is about, or WHOM_MAX of them."""

    of_week: date
    programme: str
    figure: str
    detail: str
    value: int
    number: int
    amount: int
    cents: int
    whom: frozenset[int]


class Row(Protocol):
    """A row with names, as the database gives it."""

    def __getitem__(self, name: str) -> Any: ...


def cells_of(rows: Iterable[Row]) -> Sequence[Cell]:
    """The cells, of the parts that each week of entry has of them, in the order of those weeks.

    Whoever is gone may have been one of more than WHOM_MAX, and come back unnamed: then there are more than are known.
    """
    found: dict[tuple[object, ...], Cell] = {}
    for row in rows:
        key = tuple(row[name] for name in ("of_week", "programme", "figure", "detail", "value"))
        cell = Cell(
            of_week=row["of_week"],
            programme=row["programme"],
            figure=row["figure"],
            detail=row["detail"],
            value=row["value"],
            number=row["number"],
            amount=row["amount"],
            cents=row["cents"],
            whom=frozenset(row["whom"]),
        )
        if (before := found.get(key)) is not None:
            cell = replace(
                cell,
                number=before.number + cell.number,
                amount=before.amount + cell.amount,
                cents=before.cents + cell.cents,
                whom=before.whom - set(row["gone"]) | cell.whom,
            )
        found[key] = cell
    return list(found.values())


def families_of(cells: Iterable[Cell]) -> int:
    """How many different ones they are about together; WHOM_MAX stands for that and more."""
    return len(frozenset[int]().union(*(cell.whom for cell in cells)))


@dataclass(frozen=True, slots=True)
class WeekOfDecisions:
    week: date
    new: Told
    later: Told


@dataclass(frozen=True, slots=True)
class Minutes:
    """Seconds, in fact: from the decision until its code had arrived."""

    week: date
    median_s: Told
    slowest_s: Told


@dataclass(frozen=True, slots=True)
class ChannelShare:
    """Of a channel's messages with a code, in at least so many percent (`shares`)."""

    channel: str
    arrived: int | None
    under_way: int | None
    failed: int | None
    as_other: int | None
    """Of those that arrived: sent after the first channel had failed."""


@dataclass(frozen=True, slots=True)
class Value:
    """Of one programme, in its unit; `paid_cents`: what the organiser pays for what was used."""

    programme: str
    granted: Told
    used: Told
    returned: Told
    expiring: Told
    paid_cents: Told


@dataclass(frozen=True, slots=True)
class FirstUse:
    """Of the decisions of the period, in whole percent; `percent` None: it is not told."""

    first_day: int | None
    last_day: int | None
    percent: int | None


FIRST_USE_BANDS: Sequence[tuple[int, int | None]] = ((0, 0), (1, 3), (4, 7), (8, 14), (15, 28), (29, None))


class Figures:
    """What the cells of a period come to. Each method is one picture, with its table."""

    def __init__(self, cells: Iterable[Cell], period: Period) -> None:
        self._period = period
        self._by_figure: dict[str, list[Cell]] = defaultdict(list)
        for cell in cells:
            self._by_figure[cell.figure].append(cell)

    def _part(self, figure: str, detail: str = "", value: int | None = None) -> Part:
        return _part(
            cell for cell in self._by_figure[figure] if cell.detail == detail and (value is None or cell.value == value)
        )

    def decisions(self) -> Sequence[WeekOfDecisions]:
        """New ones and later ones (renewals and other changes), by the week in which they were made."""
        by_week: dict[tuple[date, str], list[Cell]] = defaultdict(list)
        for cell in self._by_figure["decisions"]:
            by_week[cell.of_week, cell.detail].append(cell)
        return [
            WeekOfDecisions(week, _count(by_week[week, "new"]), _count(by_week[week, "later"]))
            for week in self._period.weeks
        ]

    def minutes(self) -> Sequence[Minutes]:
        """By the week of the decision; a code that has not arrived has no time yet, and is left out."""
        by_week: dict[date, list[Cell]] = defaultdict(list)
        for cell in self._by_figure["arrived"]:
            by_week[cell.of_week].append(cell)
        return [_minutes(week, by_week[week]) for week in self._period.weeks]

    def minutes_of_all(self) -> Minutes:
        return _minutes(self._period.first, self._by_figure["arrived"])

    def waiting(self) -> Told:
        """Decisions whose code has not arrived."""
        return _count(self._by_figure["waiting"])

    def channels(self) -> Sequence[ChannelShare]:
        """Of the messages that carry the codes of the period's decisions, sent again or by the other channel, too."""
        return [self._channel(channel) for channel in ("sms", "email")]

    def _channel(self, channel: str) -> ChannelShare:
        arrived, under_way, failed = shares(
            [self._part("messages", f"{channel}:{outcome}") for outcome in ("arrived", "under_way", "failed")]
        )
        as_other, _as_first = shares([self._part("messages", f"{channel}:arrived", turn) for turn in (1, 0)])
        return ChannelShare(channel, arrived, under_way, failed, as_other)

    def value(self, expiring: Mapping[str, tuple[int, int]]) -> Sequence[Value]:
        """By programme; `expiring`: families and amount of each that end within four weeks."""
        programmes = {cell.programme for name in ("decisions", "changes", "visits") for cell in self._by_figure[name]}
        return [self._value(each, expiring.get(each, (0, 0))) for each in sorted(programmes | set(expiring))]

    def _value(self, programme: str, expiring: tuple[int, int]) -> Value:
        visits = [cell for cell in self._by_figure["visits"] if cell.programme == programme]
        return Value(
            programme,
            granted=self._amount(programme, {"new": 1, "raised": 1, "lowered": -1}),
            used=told(sum(cell.amount for cell in visits), families_of(visits)),
            returned=self._amount(programme, {"expired": 1, "cancelled": 1}),
            expiring=told(expiring[1], expiring[0]),
            paid_cents=told(sum(cell.cents for cell in visits), families_of(visits)),
        )

    def _amount(self, programme: str, signs: Mapping[str, int]) -> Told:
        """Of a programme's decisions and changes with one of these details, each with its sign."""
        chosen = [
            cell
            for cell in (*self._by_figure["decisions"], *self._by_figure["changes"])
            if cell.programme == programme and cell.detail in signs
        ]
        return told(sum(signs[cell.detail] * cell.amount for cell in chosen), families_of(chosen))

    def visits(self) -> Mapping[str, Sequence[Told]]:
        """By programme, for each week of the period: visits less those taken back, by the day of the visit."""
        counts: dict[tuple[str, date], int] = defaultdict(int)
        families: dict[tuple[str, date], int] = defaultdict(int)
        for cell in self._by_figure["visit_count"]:
            if cell.detail == "visit":
                counts[cell.programme, cell.of_week] += cell.amount
        for cell in self._by_figure["visits"]:
            if cell.detail == "visit":
                families[cell.programme, cell.of_week] = families_of([cell])
        return {
            programme: [told(counts[programme, week], families[programme, week]) for week in self._period.weeks]
            for programme in sorted({programme for programme, _ in counts})
        }

    def first_use(self) -> Sequence[FirstUse]:
        """Days from the decision to the first visit that was not taken back, in bands; the last: not used yet."""
        used = self._by_figure["used"]
        bands = [
            _part(cell for cell in used if cell.value >= first and (last is None or cell.value <= last))
            for first, last in FIRST_USE_BANDS
        ]
        bands.append(self._part("unused"))
        if families_of((*used, *self._by_figure["unused"])) < FAMILIES_MIN:
            return []
        ends: Sequence[tuple[int | None, int | None]] = (*FIRST_USE_BANDS, (None, None))
        return [FirstUse(first, last, percent) for (first, last), percent in zip(ends, shares(bands), strict=True)]

    def median_days(self) -> Told:
        """To the first visit, of those decisions that have been used."""
        return _percentile(self._by_figure["used"], 50, FAMILIES_MIN)


def _part(cells: Iterable[Cell]) -> Part:
    cells = list(cells)
    return Part(sum(cell.number for cell in cells), families_of(cells))


def _count(cells: Iterable[Cell]) -> Told:
    part = _part(cells)
    return told(part.number, part.families)


def _minutes(week: date, cells: Sequence[Cell]) -> Minutes:
    return Minutes(week, _percentile(cells, 50, FAMILIES_MIN), _percentile(cells, 95, TAIL_MIN))


def _percentile(cells: Sequence[Cell], percent: int, least: int) -> Told:
    """Of the cells' values; None of no cell."""
    if families_of(cells) < least:
        return FEW if cells else None
    counts: dict[int, int] = defaultdict(int)
    for cell in cells:
        counts[cell.value] += cell.number
    return percentile(counts, percent)
