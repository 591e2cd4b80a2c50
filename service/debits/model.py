"""Why a code or a debit is refused, in order of precedence. Pure.

SeteliError
├── CodeUnknown            not this provider's business, whatever the reason: one answer, counted as a miss
├── CredentialBlocked      too many misses
├── NotApprovedOnDate      approved today, but not on the day of the visit
├── CodeSuperseded         the family has a newer code
├── DebitNotFound          no such debit of this provider's
├── AlreadyReversed
└── DebitRefused           a rule of the voucher says no
    ├── VoucherClosed … InsufficientValue, in the order below

The rules themselves run in the database, in `debit_refusal` (migrations/0002), on the row that is being charged;
`refusal` here says the same in Python. A test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from service.errors import Conflict, IdempotencyKeyReused, NotFound, Refused, SeteliError
from service.quiet_hours import USUAL, QuietHours

LATE_ENTRY_DAYS = 30


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


class DebitRefused(Refused):
    """A rule of the voucher says no; the details tell what is left and when it is valid."""


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


class VoucherNotYetValid(DebitRefused):
    """The visit was before the voucher's first day (`valid_from`)."""

    code = "voucher_not_yet_valid"


class VoucherExpired(DebitRefused):
    """The visit was after the voucher's last day (`valid_to`, until 24:00 Europe/Helsinki)."""

    code = "voucher_expired"


class LateEntryClosed(DebitRefused):
    """Visits may be entered until 30 days after the voucher's end."""

    code = "late_entry_closed"


class AmountNotInSteps(DebitRefused):
    """The amount is no multiple of the programme's step (`step`)."""

    code = "amount_not_in_steps"


class InsufficientValue(DebitRefused):
    """Less is left (`available`) than was asked for (`requested`)."""

    code = "insufficient_value"


DEBIT_REFUSALS: tuple[type[DebitRefused], ...] = (
    VoucherClosed,
    VoucherSuspended,
    VoucherCancelled,
    ServiceDateInFuture,
    VoucherNotYetValid,
    VoucherExpired,
    LateEntryClosed,
    AmountNotInSteps,
    InsufficientValue,
)
CODE_REFUSALS: tuple[type[SeteliError], ...] = (CredentialBlocked, CodeUnknown, NotApprovedOnDate, CodeSuperseded)


@dataclass(frozen=True, slots=True)
class DebitOrder:
    """One debit as the database's function takes it. The code is here only as its keyed index."""

    provider_id: UUID
    credential_id: UUID
    key: str
    fingerprint: bytes
    previous_fingerprint: bytes | None
    code_index: bytes
    previous_code_index: bytes | None
    entry_id: UUID
    amount: int
    service_date: date | None
    reference: str | None
    language: str
    quiet: QuietHours = USUAL  # hold the family's receipt, not the debit


@dataclass(frozen=True)
class Chargeable:
    """What the rules look at in a voucher."""

    state: str
    available: int
    step: int
    valid_from: date
    valid_to: date
    cancelled_from: date | None = None

    @property
    def ends_on(self) -> date:
        return min(self.valid_to, self.cancelled_from or self.valid_to)


def refusal(voucher: Chargeable, *, amount: int, service_date: date, today: date) -> type[DebitRefused] | None:
    """The first rule that forbids this debit; None when all allow it. `today` is the date in Helsinki."""
    cancelled_from = voucher.cancelled_from if voucher.state == "cancelled" else None
    broken: dict[type[DebitRefused], bool] = {
        VoucherClosed: voucher.state == "closed",
        VoucherSuspended: voucher.state == "suspended",
        VoucherCancelled: cancelled_from is not None and service_date >= cancelled_from,
        ServiceDateInFuture: service_date > today,
        VoucherNotYetValid: service_date < voucher.valid_from,
        VoucherExpired: service_date > voucher.valid_to,
        LateEntryClosed: today > voucher.ends_on + timedelta(days=LATE_ENTRY_DAYS),
        AmountNotInSteps: amount % voucher.step != 0,
        InsufficientValue: amount > voucher.available,
    }
    return next((reason for reason in DEBIT_REFUSALS if broken[reason]), None)


OUTCOMES: tuple[type[SeteliError], ...] = (
    IdempotencyKeyReused,
    *CODE_REFUSALS,
    *DEBIT_REFUSALS,
    DebitNotFound,
    AlreadyReversed,
)
_BY_CODE = {error.code: error for error in OUTCOMES}


def error_of(outcome: str) -> type[SeteliError]:
    """The error class of an outcome of the database's functions. KeyError for one that nobody wrote down."""
    return _BY_CODE[outcome]
