"""Why a code or a charge is refused, in order of precedence, and what is asked of the rule book. Pure.

SeteliError
├── CodeUnknown            not this provider's business, whatever the reason: one answer, counted as a miss
├── CredentialBlocked      too many misses
├── NotApprovedOnDate      approved today, but not on the day of the visit
├── CodeSuperseded         the family has a newer code
├── DebitNotFound, HoldNotFound      none of this provider's
├── AlreadyReversed, DebitSettled, ReversalAboveDebit
├── HoldEnded, HoldTooLate, CaptureOnAnotherDay
├── VisitDayDiffers        what else is wrong with times is in tariffs.py
├── RulesChanging          the rules changed three times while one visit was worked out
├── LookupUnknown, LookupUsed        of the pages: the code was typed too long ago, or was charged with already
└── DebitRefused           a rule of the voucher or its programme says no
    ├── VoucherClosed … PossibleDuplicate, in the order below

The rules themselves run in the database, in `check_charge` (migrations/0060), on the row that is being charged.
tests/debits/rule_model.py says the same in Python, and random histories hold the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from operator import attrgetter
from typing import Literal
from uuid import UUID

from service.errors import Conflict, IdempotencyKeyReused, Invalid, NotFound, Refused, SeteliError

VisitType = Literal["visit", "no_show"]
RULES_CHANGED = "rules_changed"
"""The outcome of an order whose times were worked out under rules that are no longer in force: work them out again."""


class CodeUnknown(NotFound):
    """There is no voucher with this code that this provider may charge."""

    code = "code_unknown"


class CredentialBlocked(Refused):
    """This key asked for too many codes that were not its business, and may ask again at `retry_at`."""

    code = "credential_blocked"


class CodeSuperseded(Refused):
    """The code was replaced by a newer one; the family has it."""

    code = "code_superseded"


class NotApprovedOnDate(Refused):
    """The provider is approved for this service now, but was not on the day of the visit."""

    code = "not_approved_on_date"


class DebitNotFound(NotFound):
    """This provider has made no debit with this id."""

    code = "debit_not_found"


class AlreadyReversed(Conflict):
    """The debit was reversed before, by another request."""

    code = "already_reversed"


class DebitSettled(Refused):
    """The debit is settled: what was paid for it is credited, not reversed."""

    code = "debit_settled"


class ReversalAboveDebit(Refused):
    """More was to be taken back (`requested`) than is left of the debit (`left`)."""

    code = "reversal_above_debit"


class HoldNotFound(NotFound):
    """This provider has made no hold with this id."""

    code = "hold_not_found"


class HoldEnded(Conflict):
    """The hold was captured, voided or has lapsed before (`state`)."""

    code = "hold_ended"


class HoldTooLate(Refused):
    """A hold for that day would have lapsed already: charge the visit instead."""

    code = "hold_too_late"


class CaptureOnAnotherDay(Refused):
    """A hold is for a visit on its own day (`service_date`)."""

    code = "capture_on_another_day"


class VisitDayDiffers(Invalid):
    """The service date is not the day in Finland on which the visit began (`day`)."""

    code = "visit_day_differs"


class RulesChanging(Conflict):
    """The programme's rules were changed while the visit was worked out; nothing was charged."""

    code = "rules_changing"


class LookupUnknown(NotFound):
    """This person has looked up no code here in the last hours."""

    code = "lookup_unknown"


class LookupUsed(Conflict):
    """Another visit was charged or booked with this look-up of a code; each is for one."""

    code = "lookup_used"


class DebitRefused(Refused):
    """A rule of the voucher says no; the details tell what is left and when it is valid.

    `similar_debit`, with a full week and with too little value: a visit like this one is charged or held already.
    """


class VoucherClosed(DebitRefused):
    """The voucher has ended and its value has gone back."""

    code = "voucher_closed"


class VoucherSuspended(DebitRefused):
    """A caseworker has suspended the voucher."""

    code = "voucher_suspended"


class VoucherCancelled(DebitRefused):
    """The visit was on or after the day from which the voucher is cancelled (`cancelled_from`)."""

    code = "voucher_cancelled"


class ServiceDateInFuture(DebitRefused):
    """A visit is charged when it has been made."""

    code = "service_date_in_future"


class VisitNotOver(DebitRefused):
    """A visit is charged when it has been made; this one ends later than a quarter of an hour from now."""

    code = "visit_not_over"


class VoucherNotYetValid(DebitRefused):
    """The visit was before the voucher's first day (`valid_from`)."""

    code = "voucher_not_yet_valid"


class VoucherExpired(DebitRefused):
    """The visit was after the voucher's last day (`valid_to`, until 24:00 Europe/Helsinki)."""

    code = "voucher_expired"


class LateEntryClosed(DebitRefused):
    """Visits may be entered for some days after the voucher's end, until `late_entry_until`."""

    code = "late_entry_closed"


class NoShowNotAllowed(DebitRefused):
    """The programme pays for visits that were made, not for a family that was not at home."""

    code = "no_show_not_allowed"


class TaskTypeUnknown(DebitRefused):
    """The programme's visits are for other things (`task_types`)."""

    code = "task_type_unknown"


class TimesRequired(DebitRefused):
    """The evening is worth something else than the day: when the visit began and ended must be told."""

    code = "times_required"


class AmountRequired(DebitRefused):
    """Neither an amount was given nor times that it could be worked out from."""

    code = "amount_required"


class AmountDiffersFromTimes(DebitRefused):
    """An amount and times were given, and they do not say the same."""

    code = "amount_differs_from_times"


class AmountNotInSteps(DebitRefused):
    """The amount is no multiple of the programme's step (`step`)."""

    code = "amount_not_in_steps"


class CaptureAboveHold(DebitRefused):
    """A hold pays for as much as it held (`held`), or less."""

    code = "capture_above_hold"


class OwnContributionNotAllowed(DebitRefused):
    """The service is free for families by law, and here one would have to pay (`family_pays_cents`)."""

    code = "own_contribution_not_allowed"


class WeeklyVisitsUsed(DebitRefused):
    """`used_visits` of the week's `weekly_visits` are used or held; there is room from `next_allowed_date` on.
    `similar_debit` true: it may be by this very visit, for one like it is charged or held already."""

    code = "weekly_visits_used"


class WeeklyMinutesUsed(DebitRefused):
    """`used_minutes` of the week's `weekly_minutes` are used or held; there is room from `next_allowed_date` on.
    `similar_debit` true: it may be by this very visit, for one like it is charged or held already."""

    code = "weekly_minutes_used"


class InsufficientValue(DebitRefused):
    """Less is left (`available`) than was asked for (`requested`). `similar_debit` true: a visit like this one is
    charged or held already."""

    code = "insufficient_value"


class PossibleDuplicate(DebitRefused):
    """A visit that began at the same moment is charged or held already; or, where no times are told, one that is like
    this one in all that is told. `allow_duplicate` says that this is another. A question, so it comes last."""

    code = "possible_duplicate"


DEBIT_REFUSALS: tuple[type[DebitRefused], ...] = (
    VoucherClosed,
    VoucherSuspended,
    VoucherCancelled,
    ServiceDateInFuture,
    VisitNotOver,
    VoucherNotYetValid,
    VoucherExpired,
    LateEntryClosed,
    NoShowNotAllowed,
    TaskTypeUnknown,
    TimesRequired,
    AmountRequired,
    CaptureAboveHold,
    AmountDiffersFromTimes,
    AmountNotInSteps,
    OwnContributionNotAllowed,
    WeeklyVisitsUsed,
    WeeklyMinutesUsed,
    InsufficientValue,
    PossibleDuplicate,
)
CODE_REFUSALS: tuple[type[SeteliError], ...] = (CredentialBlocked, CodeUnknown, NotApprovedOnDate, CodeSuperseded)


@dataclass(frozen=True, slots=True)
class ChargeOrder:
    """One request to charge, to hold or to validate, as the database's type `charge_order` has it.

    The code is here only as its keyed index. `segment_bands` and `segment_amounts` are worked out from the times, under
    the rules that began on `rules_from`; without times all three are None, and the database takes the day's band.
    """

    provider_id: UUID
    credential_id: UUID
    key: str
    fingerprint: bytes
    previous_fingerprint: bytes | None
    language: str
    code_index: bytes
    previous_code_index: bytes | None
    new_id: UUID
    """Of the entry or the hold that it becomes."""
    amount: int | None = None
    """None: as long as the times say, or one visit."""
    service_date: date | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    segment_bands: Sequence[str] | None = None
    segment_amounts: Sequence[int] | None = None
    rules_from: date | None = None
    visit_type: VisitType = "visit"
    task_type: str | None = None
    worker: str | None = None
    reference: str | None = None
    partial: bool = False
    duplicate_ok: bool = False

    def as_row(self) -> tuple[object, ...]:
        """The fields in the order of the database's type."""
        return _ROW(self)


_ROW = attrgetter(*(field.name for field in fields(ChargeOrder)))

OUTCOMES: tuple[type[SeteliError], ...] = (
    IdempotencyKeyReused,
    *CODE_REFUSALS,
    *DEBIT_REFUSALS,
    DebitNotFound,
    AlreadyReversed,
    DebitSettled,
    ReversalAboveDebit,
    HoldNotFound,
    HoldEnded,
    HoldTooLate,
    CaptureOnAnotherDay,
)
_BY_CODE = {error.code: error for error in OUTCOMES}


def error_of(outcome: str) -> type[SeteliError]:
    """The error class of an outcome of the database's functions. KeyError for one that nobody wrote down."""
    return _BY_CODE[outcome]
