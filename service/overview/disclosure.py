"""What a region may be told of its organisers together, so that none can work out another's figures (I9). Pure.

Whoever reads a region's total knows their own part of it and can subtract it. So a total is told only if, for each of
its organisers:

- what is left without it is of at least FAMILIES_MIN families, and
- it says no other organiser's part to within TAKEN_APART percent: without the reader's, the largest other part is
  hidden behind those of third ones (the p % rule of statistical offices; two organisers never have a total).

A total and its programmes tell more together than each alone: what is not told of the programmes is the difference, as
one total of its own. So it has to pass, too, or more is left untold until it does. Totals of periods that overlap
would be subtracted as well: a region has periods of thirteen weeks that do not overlap (`blocks`), and those that are
told never change (`queries.SELECT_CONTRIBUTIONS`), so that today's and tomorrow's look have no difference.

Two organisers that put their heads together know what they would have told each other; against that nothing helps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from service.overview.model import FAMILIES_MIN, TAIL_MIN, WEEK, Period, percentile

TAKEN_APART = 20
KNOWN_AFTER_WEEKS = 4
"""A block is told when visits that are entered late have had so long."""
BLOCK_WEEKS = 13
BLOCKS_SHOWN = 4
LATEST_S = 14 * 24 * 3600
"""A code that arrives later than this is not counted as arrived: it would change what was told."""

Parts = Mapping[UUID, int]
Cell = tuple[Parts, Parts]
"""By organiser: how much, and of how many families at least."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """One organiser's part: of what, about how many families, how much."""

    organiser_id: UUID
    programme: str
    unit: str
    figure: str
    detail: str
    value: int
    families: int
    amount: int


@dataclass(frozen=True, slots=True)
class RegionLine:
    """One programme of a region, or all (`programme` None). None: not told. Amounts are in `unit`."""

    programme: str | None
    unit: str | None
    decisions: int | None
    visits: int | None
    granted: int | None
    used: int | None
    median_s: int | None
    slowest_s: int | None
    arrived_percent: int | None

    @property
    def is_empty(self) -> bool:
        return all(figure is None for figure in (self.decisions, self.visits, self.granted, self.used, self.median_s))


def blocks(today: date) -> Sequence[Period]:
    """The newest blocks that can be told, the newest first: weeks 1–13, 14–26, 27–39 and from 40 to the year's end."""
    year, found = today.isocalendar().year, []
    for each in range(year, year - 3, -1):
        for quarter in (3, 2, 1, 0):
            first = date.fromisocalendar(each, 1 + quarter * BLOCK_WEEKS, 1)
            after = (
                date.fromisocalendar(each + 1, 1, 1)
                if quarter == 3
                else date.fromisocalendar(each, 1 + (quarter + 1) * BLOCK_WEEKS, 1)
            )
            if after + WEEK * KNOWN_AFTER_WEEKS < today:
                found.append(Period(f"{each}-{quarter + 1}", first, after - WEEK))
    return found[:BLOCKS_SHOWN]


def is_safe(amount: Parts, families: Parts) -> bool:
    """Whether the sum may be told to each of those who are in it."""
    parts = sorted((part for part in amount.values() if part > 0), reverse=True)
    people = sorted((part for part in families.values() if part > 0), reverse=True)
    if len(parts) < 3 or sum(people[1:]) < FAMILIES_MIN or any(part < 0 for part in amount.values()):
        return False
    return sum(parts[2:]) * 100 >= parts[0] * TAKEN_APART


def tell_each(cells: Mapping[str, Cell], shown: Iterable[str]) -> dict[str, int]:
    """The sums of those programmes among `shown` that may be told, where no sum of all is."""
    return {name: _size(cells[name]) for name in shown if name in cells and is_safe(*cells[name])}


def tell(cells: Mapping[str, Cell], shown: Iterable[str]) -> tuple[dict[str, int], int | None]:
    """The sums of those programmes among `shown` that may be told, and the sum of all programmes if it may.

    The least is given up: the smallest programmes that are still told, until the rest is safe as one.
    """
    everything, telling = set(cells), set(tell_each(cells, shown))
    if not is_safe(*_together(cells, everything)):
        return tell_each(cells, telling), None
    while telling:
        untold = _together(cells, everything - telling)
        if is_safe(*untold) or not any(untold[0].values()):
            break
        telling.remove(min(telling, key=lambda name: (_size(cells[name]), name)))
    return tell_each(cells, telling), _size(_together(cells, everything))


def _size(cell: Cell) -> int:
    return sum(cell[0].values())


def _together(cells: Mapping[str, Cell], names: set[str]) -> Cell:
    amount: dict[UUID, int] = defaultdict(int)
    families: dict[UUID, int] = defaultdict(int)
    for name in names:
        for into, parts in zip((amount, families), cells[name], strict=True):
            for organiser_id, part in parts.items():
                into[organiser_id] += part
    return amount, families


def region_lines(contributions: Sequence[Contribution], own: Mapping[str, str]) -> Sequence[RegionLine]:
    """A block of a region, for an organiser with the programmes `own` (with their units): all, then each of its own."""
    decisions, all_decisions = tell(_cells(contributions, "decisions", by_families=True), own)
    visits, all_visits = tell(_cells(contributions, "visit_count", families_of="visits"), own)
    arrived, all_arrived = tell(_cells(contributions, "arrived", by_families=True), own)
    same_unit = {name for name in own if len({each.unit for each in contributions if each.programme == name}) == 1}
    granted = tell_each(_cells(contributions, "decisions"), same_unit)
    used = tell_each(_cells(contributions, "visits"), same_unit)
    lines = []
    for programme in (None, *sorted(own)):
        made = all_decisions if programme is None else decisions.get(programme)
        came = all_arrived if programme is None else arrived.get(programme)
        times = _times(contributions, programme) if came is not None else {}
        lines.append(
            RegionLine(
                programme,
                own[programme] if programme is not None else None,
                decisions=made,
                visits=all_visits if programme is None else visits.get(programme),
                granted=granted.get(programme) if programme is not None else None,
                used=used.get(programme) if programme is not None else None,
                median_s=percentile(times, 50),
                slowest_s=percentile(times, 95) if sum(times.values()) >= TAIL_MIN else None,
                arrived_percent=came * 100 // made if came is not None and made else None,
            )
        )
    return lines


def _cells(
    contributions: Sequence[Contribution], figure: str, *, by_families: bool = False, families_of: str | None = None
) -> Mapping[str, Cell]:
    cells: dict[str, tuple[dict[UUID, int], dict[UUID, int]]] = defaultdict(
        lambda: (defaultdict(int), defaultdict(int))
    )
    for each in contributions:
        if not _counts(each):
            continue
        if each.figure == figure:
            cells[each.programme][0][each.organiser_id] += each.families if by_families else each.amount
        if each.figure == (families_of or figure) and each.detail != "no_show":
            cells[each.programme][1][each.organiser_id] += each.families
    return {name: (dict(amount), dict(families)) for name, (amount, families) in cells.items()}


def _counts(each: Contribution) -> bool:
    match each.figure:
        case "decisions":
            return each.detail == "new"
        case "visits":
            return True  # a visit that the family was not at home for is paid, too
        case "visit_count":
            return each.detail == "visit"
        case "arrived":
            return each.value <= LATEST_S
    return False


def _times(contributions: Sequence[Contribution], programme: str | None) -> Mapping[int, int]:
    counts: dict[int, int] = defaultdict(int)
    for each in contributions:
        if each.figure == "arrived" and _counts(each) and programme in (None, each.programme):
            counts[each.value] += each.families
    return counts
