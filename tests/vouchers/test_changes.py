"""What a later decision may change: the rules, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from service.errors import SeteliError
from service.money import Unit
from service.vouchers.changes import AskedChange, Cap, CapVersion, check_change, lowest_granted
from service.vouchers.model import (
    SENDABLE,
    CapTightenedInPast,
    ChangeDateUnfit,
    DecisionStatus,
    GrantedBelowUsed,
    GrantedNotInSteps,
    RenewalNotLater,
    ValidityOver,
    ValidityTooLong,
    Voucher,
    VoucherNotOpen,
    VoucherState,
    WeeklyNotInSteps,
)

TODAY = date(2026, 12, 28)  # a Monday whose week ends in the next year
DAY = timedelta(days=1)
ID = UUID(int=1)

# Ten hours; two are charged and one is held, so three is the least. Twice a week.
VOUCHER = Voucher(
    organiser_id=ID,
    voucher_id=ID,
    decision_id=ID,
    decision_ref="KH-1",
    client_ref="perhe-1",
    status=DecisionStatus.CONFIRMED,
    programme="kotipalvelu",
    unit=Unit.MINUTES,
    code_id=ID,
    state=VoucherState.ISSUED,
    granted=600,
    available=420,
    held=60,
    debited=120,
    expired=0,
    cancelled=0,
    weekly_visits=2,
    weekly_minutes=None,
    valid_from=TODAY - 60 * DAY,
    valid_to=TODAY + 30 * DAY,
    cancelled_from=None,
    late_entry_stopped=False,
    created_at=datetime(2026, 10, 1, tzinfo=UTC),
    confirmed_at=None,
)
ENDED_YESTERDAY = {"valid_to": TODAY - DAY, "state": VoucherState.EXPIRED}


def asked(**changes: Any) -> AskedChange:
    return AskedChange(decision_ref="KH-2", **changes)


def check(change: AskedChange, step: int = 15, **voucher: Any) -> None:
    """Against a voucher that has had two visits a week since its first day."""
    caps = [CapVersion(change.starts_on(TODAY), 2, None)] if change.starts_on(TODAY) < TODAY else []
    check_change(replace(VOUCHER, **voucher), change, today=TODAY, step=step, caps_before=caps)


@pytest.mark.parametrize(
    ("change", "voucher"),
    [
        (asked(granted=900), {}),
        (asked(granted=180), {}),  # all that is left is taken
        (asked(granted=600), {}),
        (asked(granted=480, from_date=TODAY + DAY), {}),
        (asked(granted=900, from_date=VOUCHER.valid_to), {}),
        (asked(granted=900, from_date=VOUCHER.valid_from), {}),
        (asked(granted=900), {"state": VoucherState.SUSPENDED}),
        (asked(granted=900), ENDED_YESTERDAY),  # for a visit that is entered late
        (asked(granted=900), {"valid_from": TODAY + 7 * DAY}),  # before its first day
        (asked(valid_to=VOUCHER.valid_to + DAY), {}),
        (asked(valid_to=TODAY + 90 * DAY, from_date=VOUCHER.valid_to + DAY), {}),
        (asked(valid_to=TODAY), ENDED_YESTERDAY),
        (asked(valid_to=TODAY + 1096 * DAY), {}),
        (asked(weekly_visits=Cap(1)), {}),
        (asked(weekly_visits=Cap(None)), {}),
        (asked(weekly_visits=Cap(3), from_date=TODAY - DAY), {}),
        (asked(weekly_visits=Cap(None), from_date=TODAY - DAY), {}),
        (asked(weekly_minutes=Cap(60), from_date=TODAY + DAY), {}),
    ],
)
def test_a_change_that_breaks_nothing_is_allowed(change: AskedChange, voucher: dict[str, Any]) -> None:
    check(change, **voucher)


@pytest.mark.parametrize(
    ("change", "voucher", "error", "details"),
    [
        (asked(granted=900), {"state": VoucherState.CLOSED}, VoucherNotOpen, {"state": "closed"}),
        (
            asked(valid_to=VOUCHER.valid_to + DAY),
            {"state": VoucherState.CANCELLED, "cancelled_from": TODAY},
            VoucherNotOpen,
            {"state": "cancelled"},
        ),
        (asked(granted=900, from_date=VOUCHER.valid_from - DAY), {}, ChangeDateUnfit, {"first": "2026-10-29"}),
        (asked(granted=900, from_date=VOUCHER.valid_to + DAY), {}, ChangeDateUnfit, {"last": "2027-01-27"}),
        (
            asked(valid_to=TODAY + 90 * DAY, from_date=VOUCHER.valid_to + 2 * DAY),  # a day between would be valid, too
            {},
            ChangeDateUnfit,
            {"last": "2027-01-28"},
        ),
        (asked(valid_to=VOUCHER.valid_to), {}, RenewalNotLater, {"valid_to": "2027-01-27"}),
        (asked(valid_to=VOUCHER.valid_to - DAY), {}, RenewalNotLater, {}),
        (
            asked(valid_to=TODAY - DAY),
            {"valid_to": TODAY - 5 * DAY, "state": VoucherState.EXPIRED},
            ValidityOver,
            {},
        ),
        (asked(valid_to=TODAY + 1097 * DAY), {}, ValidityTooLong, {"valid_from": "2026-12-28"}),
        (asked(granted=910), {}, GrantedNotInSteps, {"step": 15, "unit": "minutes"}),
        (asked(granted=165), {}, GrantedBelowUsed, {"lowest": 180, "unit": "minutes"}),
        (asked(granted=165, from_date=TODAY + DAY), {}, GrantedBelowUsed, {"lowest": 180}),
        (asked(weekly_minutes=Cap(100), from_date=TODAY + DAY), {}, WeeklyNotInSteps, {"step": 15}),
        (asked(weekly_visits=Cap(1), from_date=TODAY - DAY), {}, CapTightenedInPast, {}),
        (asked(weekly_minutes=Cap(9000), from_date=TODAY - DAY), {}, CapTightenedInPast, {}),  # there was none
    ],
)
def test_a_change_that_does_not_fit_says_why(
    change: AskedChange, voucher: dict[str, Any], error: type[SeteliError], details: dict[str, Any]
) -> None:
    with pytest.raises(error) as refused:
        check(change, **voucher)
    assert details.items() <= refused.value.details.items()


@pytest.mark.parametrize(
    ("available", "step", "lowest"), [(600, 15, 15), (420, 15, 180), (420, 50, 200), (0, 15, 600), (420, 7, 182)]
)
def test_the_lowest_grant_is_what_is_used_in_whole_steps(available: int, step: int, lowest: int) -> None:
    assert lowest_granted(replace(VOUCHER, available=available), step) == lowest


@pytest.mark.parametrize("state", [VoucherState.EXPIRED, VoucherState.CLOSED, VoucherState.CANCELLED])
def test_the_code_of_what_has_ended_is_told_to_nobody_and_no_balance_of_it(state: VoucherState) -> None:
    for valid_to in (TODAY - DAY, TODAY):
        assert replace(VOUCHER, state=state, valid_to=valid_to).shown_state(TODAY) not in SENDABLE
