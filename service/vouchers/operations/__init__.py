"""The use cases of vouchers, each in its caller's transaction; the caller wakes the worker after commit."""

from service.vouchers.operations.changing import change_voucher, void_hold, voucher_history
from service.vouchers.operations.issuing import CODE_DRAWS, CodesExhausted, issue_voucher, store_new_code
from service.vouchers.operations.repair import queue_missing_messages
from service.vouchers.operations.schedules import schedules
from service.vouchers.operations.sending import (
    Sent,
    change_contact,
    find_family_code,
    replace_code,
    resend,
    secret_fields,
)
from service.vouchers.operations.states import cancel, confirm, lift_suppression, resume, suspend
from service.vouchers.operations.viewing import (
    find_voucher,
    find_voucher_of_ref,
    reasons_given,
    search_vouchers,
    voucher_messages,
    voucher_view,
)

__all__ = [
    "CODE_DRAWS",
    "CodesExhausted",
    "Sent",
    "cancel",
    "change_contact",
    "change_voucher",
    "confirm",
    "find_family_code",
    "find_voucher",
    "find_voucher_of_ref",
    "issue_voucher",
    "lift_suppression",
    "queue_missing_messages",
    "reasons_given",
    "replace_code",
    "resend",
    "resume",
    "schedules",
    "search_vouchers",
    "secret_fields",
    "store_new_code",
    "suspend",
    "void_hold",
    "voucher_history",
    "voucher_messages",
    "voucher_view",
]
