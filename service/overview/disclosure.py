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
People = Mapping[UUID, frozenset[int]]
Cell = tuple[Parts, People]
"""By organiser: how much, and of whom (all, or enough of them: `model.WHOM_MAX`)."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """One organiser's part: of what, how many, how much."""

    organiser_id: UUID
    programme: str
    unit: str
    figure: str
    detail: str
    value: int
    number: int
    amount: int


@dataclass(frozen=True, slots=True)
class Concerned:
    """The families that one organiser's part is about: all, or enough of them."""

    organiser_id: UUID
    programme: str
    figure: str
    detail: str
    whom: frozenset[int]


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """A block of a region, as it was counted: what each organiser contributed, and whom that is about."""

    contributions: Sequence[Contribution]
    concerned: Sequence[Concerned]


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


def is_safe(amount: Parts, whom: People) -> bool:
    """Whether the sum may be told to each of those who are in it."""
    parts = sorted((part for part in amount.values() if part > 0), reverse=True)
    people = sorted((len(each) for each in whom.values()), reverse=True)
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
    whom: dict[UUID, frozenset[int]] = defaultdict(frozenset)
    for name in names:
        for organiser_id, part in cells[name][0].items():
            amount[organiser_id] += part
        for organiser_id, people in cells[name][1].items():
            whom[organiser_id] |= people
    return amount, whom


def region_lines(facts: BlockFacts, own: Mapping[str, str]) -> Sequence[RegionLine]:
    """A block of a region, for an organiser with the programmes `own` (with their units): all, then each of its own."""
    contributions = facts.contributions
    decisions, all_decisions = tell(_cells(facts, "decisions", by_number=True), own)
    visits, all_visits = tell(_cells(facts, "visit_count", whom_of="visits"), own)
    arrived, all_arrived = tell(_cells(facts, "arrived", by_number=True), own)
    same_unit = {name for name in own if len({each.unit for each in contributions if each.programme == name}) == 1}
    granted = tell_each(_cells(facts, "decisions"), same_unit)
    used = tell_each(_cells(facts, "visits"), same_unit)
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
    facts: BlockFacts, figure: str, *, by_number: bool = False, whom_of: str | None = None
) -> Mapping[str, Cell]:
    amounts: dict[str, dict[UUID, int]] = defaultdict(lambda: defaultdict(int))
    people: dict[str, dict[UUID, frozenset[int]]] = defaultdict(lambda: defaultdict(frozenset))
    for each in facts.contributions:
        if each.figure == figure and _counts(each):
            amounts[each.programme][each.organiser_id] += each.number if by_number else each.amount
    for one in facts.concerned:
        # Of decisions only new ones are told; a visit that nobody was at home for is in what was used, and is no visit.
        is_of_it = one.detail == "new" if figure == "decisions" else figure != "visit_count" or one.detail == "visit"
        if one.figure == (whom_of or figure) and is_of_it:
            people[one.programme][one.organiser_id] |= one.whom
    return {name: (dict(amount), dict(people[name])) for name, amount in amounts.items()}


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
            counts[each.value] += each.number
    return counts
