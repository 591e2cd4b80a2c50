"""Decisions and vouchers as values, their states, and every reason to say no. Pure: no I/O, no clock.

What cancelling does to the value: `cancel` sets the state and the day, and leaves `available` as it is, because a visit
made before that day may still be entered for as long as the programme's rules say (late_entry_days, 30 as a rule) and
must find value to be paid from. Closing, by schedule when that time is over, moves what is left from `available` to
`cancelled`. The same holds for expiry: a voucher is `expired` from the day after its last one, and its value moves to
`expired` when it is closed. Until then the debit function refuses by state and dates, not by an empty balance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from service.channels.gateway import ChannelName
from service.channels.suppressions import Suppression
from service.errors import Conflict, Invalid, NotFound, Refused
from service.money import Unit

REASON_MAX = 300


class VoucherUnknown(NotFound):
    """This organiser has no such voucher, whoever else may have it (I9)."""

    code = "voucher_unknown"


class DecisionDiffers(Conflict):
    """The decision_ref came before with other content; what came first stands."""

    code = "decision_differs"


class ContactMissing(Invalid):
    """A voucher goes to a mobile phone or an e-mail address; at least one is needed."""

    code = "contact_missing"


class GrantedNotInSteps(Invalid):
    """What is granted must be a multiple of the programme's `step`, or the rest could never be used."""

    code = "granted_not_in_steps"


class WeeklyNotInSteps(Invalid):
    """A weekly cap in minutes must be a multiple of the programme's `step`, or its rest could never be used."""

    code = "weekly_not_in_steps"


class ValidityBackwards(Invalid):
    """valid_to is before valid_from."""

    code = "validity_backwards"


class ValidityOver(Invalid):
    """valid_to is in the past: nobody could use the voucher."""

    code = "validity_over"


class ValidityTooLong(Invalid):
    """A voucher is valid for three years at most."""

    code = "validity_too_long"


class ValidityFarOff(Invalid):
    """valid_from is more than a year ahead: a slip of the pen, most likely."""

    code = "validity_far_off"


class TooManyResends(Refused):
    """The text was sent again as often as a day allows; `retry_at` says when it may be again."""

    code = "too_many_resends"


class VoucherNotOpen(Refused):
    """The voucher's `state` does not allow this."""

    code = "voucher_not_open"


class SuppressionIsWish(Refused):
    """The family itself wants no messages on this `channel`; only the family can take that back."""

    code = "suppression_is_wish"


class CancelDateUnfit(Invalid):
    """A voucher is cancelled from a day within its validity."""

    code = "cancel_date_unfit"


class ChangeDateUnfit(Invalid):
    """A change begins on a day of the voucher's validity, a renewal on the day after it at the latest."""

    code = "change_date_unfit"


class RenewalNotLater(Invalid):
    """A renewal ends later than the voucher does; to end one earlier is to cancel it from a day."""

    code = "renewal_not_later"


class GrantedBelowUsed(Refused):
    """What is charged, held or returned cannot be taken back; `lowest` is the least that the voucher may be granted."""

    code = "granted_below_used"


class CapTightenedInPast(Refused):
    """A weekly cap is tightened from today on only: visits that kept to the cap of their day can still be entered."""

    code = "cap_tightened_in_past"


class VoucherHoldUnknown(NotFound):
    """The voucher has no such hold."""

    code = "voucher_hold_unknown"


class VoucherHoldEnded(Refused):
    """The hold was charged or has lapsed: there is nothing left to void."""

    code = "voucher_hold_ended"


class DecisionStatus(StrEnum):
    PROVISIONAL = "provisional"
    CONFIRMED = "confirmed"


class VoucherState(StrEnum):
    """The stored states; `exhausted` is seen from the balance, and `expired` also from the date.

    A schedule writes `expired` within minutes of midnight; what is suspended or cancelled by then stays so until it is
    closed.
    """

    ISSUED = "issued"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    CLOSED = "closed"


class ShownState(StrEnum):
    """What people are told, in order of precedence."""

    CLOSED = "closed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    EXHAUSTED = "exhausted"
    ISSUED = "issued"


# A family can be told its code as long as the code can still pay for something, now or when the lock is lifted.
SENDABLE = frozenset({ShownState.ISSUED, ShownState.EXHAUSTED, ShownState.SUSPENDED})


def shown_state(state: VoucherState, *, available: int, held: int, valid_to: date, today: date) -> ShownState:
    """A voucher with nothing left is exhausted, until a reversal brings something back; past its last day, expired."""
    if state in (VoucherState.CLOSED, VoucherState.CANCELLED):
        return ShownState(state.value)
    if state is VoucherState.EXPIRED or today > valid_to:
        return ShownState.EXPIRED
    if state is VoucherState.SUSPENDED:
        return ShownState.SUSPENDED
    return ShownState.EXHAUSTED if available == 0 and held == 0 else ShownState.ISSUED


class Contact(NamedTuple):
    """Where a family is reached: phone in E.164, e-mail address; at least one of them."""

    phone: str | None
    email: str | None
    language: str
    preferred: ChannelName = "sms"  # of the two, if there are two

    def __repr__(self) -> str:
        return f"Contact(…, {self.language})"  # never the contact itself: tracebacks are read by many


@dataclass(frozen=True, slots=True)
class Issued:
    """The voucher of a decision, new or from before, and its first message."""

    voucher_id: UUID
    message_id: UUID
    message_state: str
    created: bool


@dataclass(frozen=True, slots=True)
class ContactChange:
    """What to put in place of the old contact; None leaves a part as it is, unless it is `removed`."""

    phone: str | None = None
    email: str | None = None
    language: str | None = None
    preferred: ChannelName | None = None
    removed: frozenset[str] = frozenset()  # of phone, email


@dataclass(frozen=True, slots=True)
class Search:
    """What to find vouchers by: the first one given counts; none of them, and it is all. The phone is in E.164."""

    decision_ref: str | None = None
    client_ref: str | None = None
    phone: str | None = None
    email: str | None = None
    last_four: str | None = None


@dataclass(frozen=True, slots=True)
class CodeView:
    """All that people see of a code."""

    last_four: str
    created_at: datetime
    superseded_at: datetime | None


@dataclass(frozen=True, slots=True)
class Voucher:
    """A voucher with its decision, as stored."""

    organiser_id: UUID
    voucher_id: UUID
    decision_id: UUID
    decision_ref: str
    client_ref: str
    status: DecisionStatus
    programme: str
    unit: Unit
    code_id: UUID
    state: VoucherState
    granted: int
    available: int
    held: int
    debited: int
    expired: int
    cancelled: int
    weekly_visits: int | None
    weekly_minutes: int | None
    valid_from: date
    valid_to: date
    cancelled_from: date | None
    late_entry_stopped: bool
    """Cancelled while suspended, or suspended since: visits before its end are refused, too, until it is resumed."""
    created_at: datetime
    confirmed_at: datetime | None

    @property
    def is_suspended(self) -> bool:
        return self.state is VoucherState.SUSPENDED or self.late_entry_stopped

    def shown_state(self, today: date) -> ShownState:
        return shown_state(self.state, available=self.available, held=self.held, valid_to=self.valid_to, today=today)


@dataclass(frozen=True, slots=True)
class FamilyVoucher:
    """A voucher as its family may be told of it."""

    voucher: Voucher
    last_four: str
    language: str


@dataclass(frozen=True, slots=True)
class FamilyCode:
    """A live code, open, with the voucher that it belongs to and its family's language."""

    voucher_id: UUID
    code: str = field(repr=False)
    language: str


@dataclass(frozen=True, slots=True)
class Beneficiary:
    """The family's row: contacts sealed, never open outside an operation."""

    initials: str | None
    municipality: str | None
    language: str
    phone_sealed: bytes | None
    email_sealed: bytes | None
    preferred: ChannelName


@dataclass(frozen=True, slots=True)
class VoucherView:
    """What an organiser is shown: hints instead of contacts, last digits instead of codes."""

    voucher: Voucher
    state: ShownState
    phone_hint: str | None
    email_hint: str | None
    language: str
    preferred: ChannelName
    initials: str | None
    municipality: str | None
    codes: Sequence[CodeView]
    suppressions: Sequence[Suppression] = ()
