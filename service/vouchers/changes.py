"""What a later decision may change of a voucher: a renewal, another value, other weekly caps, from a day on. Pure.

No change breaks an earlier visit: what is charged stays charged, a cap counts for visits from its day on, and what is
used, held or gone cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from service.vouchers.decisions import VALIDITY_MAX_DAYS, check_weekly_steps
from service.vouchers.model import (
    CapTightenedInPast,
    ChangeDateUnfit,
    GrantedBelowUsed,
    GrantedNotInSteps,
    RenewalNotLater,
    ValidityOver,
    ValidityTooLong,
    Voucher,
    VoucherNotOpen,
    VoucherState,
)

ENDED = frozenset({VoucherState.CANCELLED, VoucherState.CLOSED})


@dataclass(frozen=True, slots=True)
class Cap:
    """The most of a week; a limit of None lifts it."""

    limit: int | None

    def tightens(self, before: int | None) -> bool:
        return self.limit is not None and (before is None or self.limit < before)


@dataclass(frozen=True, slots=True)
class AskedChange:
    """What a later decision says; None leaves a part as it is."""

    decision_ref: str
    from_date: date | None = None  # today
    granted: int | None = None
    weekly_visits: Cap | None = None
    weekly_minutes: Cap | None = None
    valid_to: date | None = None

    def starts_on(self, today: date) -> date:
        return self.from_date or today

    @property
    def has_caps(self) -> bool:
        return self.weekly_visits is not None or self.weekly_minutes is not None


@dataclass(frozen=True, slots=True)
class CapVersion:
    """The weekly caps for visits from a day on."""

    starts_on: date
    weekly_visits: int | None
    weekly_minutes: int | None


@dataclass(frozen=True, slots=True)
class DecisionVersion:
    """A later decision as it is kept. `outcome`: None while its day has not come, `applied`, or `dropped`."""

    version_id: UUID
    voucher_id: UUID
    asked: AskedChange
    starts_on: date
    outcome: str | None
    granted_after: int | None
    reason: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ValueChange:
    """What happened to a voucher's value besides charges. kind: raised, lowered, expired, cancelled."""

    kind: str
    amount: int
    effective_on: date
    decision_ref: str | None
    actor: str
    reason: str | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class OpenHold:
    """A visit that value is kept for."""

    hold_id: UUID
    provider: str
    amount: int
    service_date: date
    starts_at: datetime | None
    ends_at: datetime | None
    lapses_at: datetime


@dataclass(frozen=True, slots=True)
class VoucherHistory:
    """What has happened to a voucher besides charges, oldest first, and what is held."""

    versions: Sequence[DecisionVersion]
    value_changes: Sequence[ValueChange]
    caps: Sequence[CapVersion]
    holds: Sequence[OpenHold]


def check_change(
    voucher: Voucher, asked: AskedChange, *, today: date, step: int, caps_before: Sequence[CapVersion]
) -> None:
    """Whether the change can be made to the voucher as it is now.

    `step`: of the programme's rules on the change's day; `caps_before`: those in force on any day from there until
    yesterday. Raises, in this order, VoucherNotOpen, ChangeDateUnfit, RenewalNotLater, ValidityOver, ValidityTooLong,
    GrantedNotInSteps, GrantedBelowUsed, WeeklyNotInSteps, CapTightenedInPast.
    """
    if voucher.state in ENDED:
        raise VoucherNotOpen(state=voucher.state.value)
    starts_on = asked.starts_on(today)
    _check_days(voucher, asked, starts_on, today)
    if asked.granted is not None:
        _check_value(voucher, asked.granted, step)
    if asked.weekly_minutes is not None:
        check_weekly_steps(asked.weekly_minutes.limit, unit=voucher.unit, step=step)
    if any(_is_tightened(asked, before) for before in caps_before):
        raise CapTightenedInPast(from_date=str(starts_on))


def lowest_granted(voucher: Voucher, step: int) -> int:
    """The least that the voucher may be granted: what is not available any more, in whole steps."""
    return max(1, -(-(voucher.granted - voucher.available) // step)) * step


def _check_days(voucher: Voucher, asked: AskedChange, starts_on: date, today: date) -> None:
    first = min(voucher.valid_from, today)
    last = max(voucher.valid_to + timedelta(days=0 if asked.valid_to is None else 1), today)
    if not first <= starts_on <= last:
        raise ChangeDateUnfit(from_date=str(starts_on), first=str(first), last=str(last))
    if asked.valid_to is None:
        return
    if asked.valid_to <= voucher.valid_to:
        raise RenewalNotLater(valid_to=str(voucher.valid_to), asked=str(asked.valid_to))
    if asked.valid_to < today:
        raise ValidityOver(valid_to=str(asked.valid_to))
    renewed_from = max(voucher.valid_from, starts_on)
    if (asked.valid_to - renewed_from).days > VALIDITY_MAX_DAYS:
        raise ValidityTooLong(valid_from=str(renewed_from), valid_to=str(asked.valid_to))


def _check_value(voucher: Voucher, granted: int, step: int) -> None:
    if granted % step:
        raise GrantedNotInSteps(step=step, unit=voucher.unit.value)
    lowest = lowest_granted(voucher, step)
    if granted < min(lowest, voucher.granted):
        raise GrantedBelowUsed(lowest=lowest, requested=granted, unit=voucher.unit.value)


def _is_tightened(asked: AskedChange, before: CapVersion) -> bool:
    visits, minutes = asked.weekly_visits, asked.weekly_minutes
    return (visits is not None and visits.tightens(before.weekly_visits)) or (
        minutes is not None and minutes.tightens(before.weekly_minutes)
    )
