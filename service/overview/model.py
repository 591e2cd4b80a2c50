"""Weeks, periods, and what the cells of an organiser's weeks come to. Pure: no I/O, no clock.

A figure about fewer than FAMILIES_MIN families is not told (`Few`), and every sum here is made of what is told: from a
page, or from its tables, a small group cannot be worked out by subtraction. What a region tells is in `disclosure`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from service.errors import NotFound

FAMILIES_MIN = 5
"""k: the figures leave the house on paper, and a figure about one family is about that family."""
TAIL_MIN = 20
"""Of fewer, the slowest twentieth is one family, or none."""
WEEK = timedelta(days=7)
LENGTHS = (4, 12, 26, 52)
DEFAULT_LENGTH = 12
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


def told(number: int, families: int | None = None) -> Told:
    """The number, if it is about enough families; of none it is 0 and can be said."""
    behind = number if families is None else families
    return number if behind >= FAMILIES_MIN or (behind <= 0 and number == 0) else FEW


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


def share(part: Told, others: Sequence[Told]) -> int | None:
    """Whole percent, rounded down, that `part` is at least: hidden others are taken to be as large as they can be."""
    if not isinstance(part, int):
        return None
    most = sum(other if isinstance(other, int) else FAMILIES_MIN - 1 for other in others if other is not None)
    return part * 100 // (part + most) if part + most else None


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of what is counted; `queries` says what its columns are."""

    of_week: date
    programme: str
    figure: str
    detail: str
    value: int
    families: int
    amount: int
    cents: int


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
    """Of a channel's messages with a code, in at least so many percent."""

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
    """Of the decisions of the period, in whole percent; `percent` None: 1 to 4 of them."""

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

    @property
    def is_empty(self) -> bool:
        return not self._by_figure

    def _sum(self, figure: str, detail: str | None = None, **where: object) -> int:
        """Of families, over the cells that have all this."""
        return sum(
            cell.families
            for cell in self._by_figure[figure]
            if (detail is None or cell.detail == detail)
            and all(getattr(cell, key) == is_ for key, is_ in where.items())
        )

    def decisions(self) -> Sequence[WeekOfDecisions]:
        """New ones and later ones (renewals and other changes), by the week in which they were made."""
        counts: dict[tuple[date, str], int] = defaultdict(int)
        for cell in self._by_figure["decisions"]:
            counts[cell.of_week, cell.detail] += cell.families
        return [
            WeekOfDecisions(week, told(counts[week, "new"]), told(counts[week, "later"])) for week in self._period.weeks
        ]

    def minutes(self) -> Sequence[Minutes]:
        """By the week of the decision; a code that has not arrived has no time yet, and is left out."""
        by_week: dict[date, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for cell in self._by_figure["arrived"]:
            by_week[cell.of_week][cell.value] += cell.families
        return [_minutes(week, by_week[week]) for week in self._period.weeks]

    def minutes_of_all(self) -> Minutes:
        counts: dict[int, int] = defaultdict(int)
        for cell in self._by_figure["arrived"]:
            counts[cell.value] += cell.families
        return _minutes(self._period.first, counts)

    def waiting(self) -> Told:
        """Decisions whose code has not arrived."""
        return told(self._sum("waiting"))

    def channels(self) -> Sequence[ChannelShare]:
        """Of the messages that carry the codes of the period's decisions, sent again or by the other channel, too."""
        return [self._channel(channel) for channel in ("sms", "email")]

    def _channel(self, channel: str) -> ChannelShare:
        arrived, under_way, failed = (
            told(self._sum("messages", f"{channel}:{outcome}")) for outcome in ("arrived", "under_way", "failed")
        )
        as_other = told(self._sum("messages", f"{channel}:arrived", value=1))
        as_first = told(self._sum("messages", f"{channel}:arrived", value=0))
        return ChannelShare(
            channel,
            arrived=share(arrived, (under_way, failed)),
            under_way=share(under_way, (arrived, failed)),
            failed=share(failed, (arrived, under_way)),
            as_other=share(as_other, (as_first,)),
        )

    def value(self, expiring: Mapping[str, tuple[int, int]]) -> Sequence[Value]:
        """By programme; `expiring`: families and amount of each that end within four weeks."""
        programmes = {cell.programme for name in ("decisions", "changes", "visits") for cell in self._by_figure[name]}
        return [self._value(each, expiring.get(each, (0, 0))) for each in sorted(programmes | set(expiring))]

    def _value(self, programme: str, expiring: tuple[int, int]) -> Value:
        granted = _amounts(self._by_figure["decisions"], programme, {"new": 1})
        changed = _amounts(self._by_figure["changes"], programme, {"raised": 1, "lowered": -1})
        returned = _amounts(self._by_figure["changes"], programme, {"expired": 1, "cancelled": 1})
        visits = [cell for cell in self._by_figure["visits"] if cell.programme == programme]
        using = self._families_using(programme, visits)
        return Value(
            programme,
            granted=told(granted[1] + changed[1], max(granted[0], changed[0])),
            used=told(sum(cell.amount for cell in visits), using),
            returned=told(returned[1], returned[0]),
            expiring=told(expiring[1], expiring[0]),
            paid_cents=told(sum(cell.cents for cell in visits), using),
        )

    def _families_using(self, programme: str, visits: Sequence[Cell]) -> int:
        """How many families there are behind the use, at least: those of the week with the most, or those whose first
        visit is known to lie in the period. A family comes again the next week, so weeks do not add up."""
        by_week: dict[date, int] = defaultdict(int)
        for cell in visits:
            by_week[cell.of_week] += cell.families
        began = sum(
            cell.families
            for cell in self._by_figure["used"]
            if cell.programme == programme and cell.of_week + timedelta(days=6 + cell.value) <= self._period.last_day
        )
        return max([began, *by_week.values()]) if visits else 0

    def visits(self) -> Mapping[str, Sequence[Told]]:
        """By programme, for each week of the period: visits less those taken back, by the day of the visit."""
        counts: dict[tuple[str, date], int] = defaultdict(int)
        families: dict[tuple[str, date], int] = defaultdict(int)
        for cell in self._by_figure["visit_count"]:
            if cell.detail == "visit":
                counts[cell.programme, cell.of_week] += cell.amount
        for cell in self._by_figure["visits"]:
            if cell.detail == "visit":
                families[cell.programme, cell.of_week] += cell.families
        return {
            programme: [told(counts[programme, week], families[programme, week]) for week in self._period.weeks]
            for programme in sorted({programme for programme, _ in counts})
        }

    def first_use(self) -> Sequence[FirstUse]:
        """Days from the decision to the first visit that was not taken back, in bands; the last: not used yet."""
        days: dict[int, int] = defaultdict(int)
        for cell in self._by_figure["used"]:
            days[cell.value] += cell.families
        bands = [
            sum(count for day, count in days.items() if day >= first and (last is None or day <= last))
            for first, last in FIRST_USE_BANDS
        ]
        bands.append(self._sum("unused"))
        cells, all_of_them = [told(count) for count in bands], sum(bands)
        if all_of_them < FAMILIES_MIN:
            return []
        percents = [share(cell, [*cells[:at], *cells[at + 1 :]]) for at, cell in enumerate(cells)]
        ends: Sequence[tuple[int | None, int | None]] = (*FIRST_USE_BANDS, (None, None))
        return [FirstUse(first, last, percent) for (first, last), percent in zip(ends, percents, strict=True)]

    def median_days(self) -> Told:
        """To the first visit, of those decisions that have been used."""
        days: dict[int, int] = defaultdict(int)
        for cell in self._by_figure["used"]:
            days[cell.value] += cell.families
        return None if not days else _if_enough(days, 50, FAMILIES_MIN)


def _amounts(cells: Iterable[Cell], programme: str, signs: Mapping[str, int]) -> tuple[int, int]:
    """How many families at least, and the signed amount, of a programme's cells with one of these details.

    A voucher is decided once, and comes to its end once; raised and lowered it may be in each week.
    """
    chosen = [cell for cell in cells if cell.programme == programme and cell.detail in signs]
    families = [cell.families for cell in chosen]
    at_least = max(families, default=0) if "raised" in signs else sum(families)
    return at_least, sum(signs[cell.detail] * cell.amount for cell in chosen)


def _minutes(week: date, counts: Mapping[int, int]) -> Minutes:
    if not counts:
        return Minutes(week, None, None)
    return Minutes(week, _if_enough(counts, 50, FAMILIES_MIN), _if_enough(counts, 95, TAIL_MIN))


def _if_enough(counts: Mapping[int, int], percent: int, least: int) -> Told:
    return percentile(counts, percent) if sum(counts.values()) >= least else FEW
