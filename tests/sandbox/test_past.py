"""The weeks before the demo: enough of everything, the same each time, and of nobody who exists."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest

from service.sandbox.past import LANDLINE, past_vouchers
from service.sandbox.sample import CLEANING, COUPLE_THERAPY, HOME_HELP
from service.sandbox.scene import EMAIL, PHONE

DAYS = [date(2026, 3, 17) + timedelta(days=offset) for offset in range(0, 400, 23)]


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_it_is_the_same_for_the_same_day_and_every_reference_is_used_once(day: date) -> None:
    past = past_vouchers(day)
    assert past == past_vouchers(day)
    assert len({each.decision["decision_ref"] for each in past}) == len(past) == 12
    keys = [visit.key for each in past for visit in each.visits]
    assert len(set(keys)) == len(keys) >= 20


def test_there_are_three_programmes_and_two_providers_and_every_voucher_can_be_used() -> None:
    day = DAYS[0]
    past = past_vouchers(day)
    assert Counter(each.decision["programme"] for each in past) == {HOME_HELP: 8, COUPLE_THERAPY: 2, CLEANING: 2}
    assert {each.is_other for each in past} == {True, False}
    assert all(each.decision["valid_to"] > day.isoformat() for each in past)


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_visits_lie_within_their_voucher_before_the_day_and_two_a_week_at_most(day: date) -> None:
    for each in past_vouchers(day):
        days = [date.fromisoformat(visit.body["service_date"]) for visit in each.visits]
        first, last = (date.fromisoformat(each.decision[name]) for name in ("valid_from", "valid_to"))
        assert all(first <= on <= last and on < day for on in days)
        assert max(Counter(on.isocalendar()[:2] for on in days).values()) <= 2


def test_no_family_of_it_is_the_storys() -> None:
    contacts = {
        each.decision["beneficiary"].get("phone") or each.decision["beneficiary"]["email"]
        for each in past_vouchers(DAYS[0])
    }
    assert not contacts & {PHONE, EMAIL}
    assert LANDLINE in contacts
