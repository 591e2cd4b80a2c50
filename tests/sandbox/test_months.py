"""The months before the demo: the same each time, within every rule, and enough for a region to be told something."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from itertools import pairwise
from uuid import UUID

import pytest

from service.overview.disclosure import Cell, blocks, tell
from service.sandbox.months import HELSINKI, PlannedVoucher, plan_months
from service.sandbox.neighbours import ISLAND_TOWN, SHORE_TOWN
from service.sandbox.sample import CLEANING, COUNTY, COUPLE_THERAPY, HOME_HELP, TOWN

ORGANISERS = {slug: UUID(int=number) for number, slug in enumerate((COUNTY, TOWN, ISLAND_TOWN, SHORE_TOWN))}
DAYS = [date(2026, 11, 28), date(2027, 1, 2), date(2027, 2, 23), date(2027, 7, 31)]


def test_the_same_day_has_the_same_months_and_every_reference_is_used_once() -> None:
    planned = plan_months(COUNTY, DAYS[0])
    assert planned == plan_months(COUNTY, DAYS[0])
    everybody = [*planned, *(each for slug in (TOWN, ISLAND_TOWN, SHORE_TOWN) for each in plan_months(slug, DAYS[0]))]
    refs, phones = [each.decision_ref for each in everybody], [each.phone for each in everybody if each.phone]
    assert len(set(refs)) == len(refs) > 1000
    assert len(set(phones)) == len(phones)
    assert {len(phone) for phone in phones} == {len("+358405551000")}


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_nothing_is_of_the_day_itself_or_beyond_what_was_granted(day: date) -> None:
    for planned in plan_months(TOWN, day):
        moments = [planned.decided_at, *(visit.entered_at for visit in planned.visits)]
        moments += [planned.taken_back_at] if planned.taken_back_at else []
        assert all(at.astimezone(HELSINKI).date() < day for at in moments)
        assert all(planned.valid_from < visit.on <= planned.valid_to for visit in planned.visits)
        assert sum(visit.amount for visit in planned.visits) <= planned.granted
        assert all(earlier.on < later.on for earlier, later in pairwise(planned.visits))


def test_most_texts_arrive_some_families_get_mail_and_some_never_come() -> None:
    planned = plan_months(COUNTY, DAYS[0])
    arrivals = Counter(each.arrival for each in planned)
    assert arrivals["sms"] > arrivals["email"] > arrivals["email_after_sms"] > 0
    assert sorted(each.arrived_after for each in planned)[len(planned) // 2] < timedelta(seconds=30)
    assert 0 < sum(not each.visits for each in planned) < len(planned) / 4
    assert any(each.taken_back_at for each in planned)


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_the_region_is_told_a_sum_and_home_help_for_two_quarters_and_never_what_two_alone_have(day: date) -> None:
    plans = {slug: plan_months(slug, day) for slug in ORGANISERS}
    for block in blocks(day)[:2]:
        cells = {name: _cell(plans, name, block.first, block.last) for name in (HOME_HELP, COUPLE_THERAPY, CLEANING)}
        programmes, everything = tell(cells, cells)
        assert everything is not None
        assert programmes.get(HOME_HELP, 0) > 50
        assert COUPLE_THERAPY not in programmes  # only the county and one town have it


def _cell(plans: dict[str, list[PlannedVoucher]], programme: str, first: date, last: date) -> Cell:
    counts = {
        ORGANISERS[slug]: sum(
            each.programme == programme and first <= each.decided_at.date() < last + timedelta(days=7) for each in plan
        )
        for slug, plan in plans.items()
    }
    return counts, {organiser_id: frozenset(range(count)) for organiser_id, count in counts.items()}
