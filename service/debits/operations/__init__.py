"""What providers do: charge, take back, hold, validate, look up. One database call each, or two."""

from service.debits.operations.charging import DebitGroup, charge, debit, debit_group, reverse, validate
from service.debits.operations.history import (
    LongReads,
    Names,
    export_history,
    find_debit,
    history,
    history_sums,
    names,
)
from service.debits.operations.holds import capture, find_hold, hold, list_holds, void
from service.debits.operations.lookups import Lookup, Made, count_refused, find_lookup, keep_lookup, remember_made
from service.debits.operations.of_voucher import (
    VisitsPage,
    WeekUse,
    disputed_visits,
    movements_of_voucher,
    visit_of_voucher,
    visits_of_voucher,
    week_of_voucher,
)
from service.debits.operations.verdicts import Verdict
from service.debits.operations.visits import order_under, question

__all__ = [
    "DebitGroup",
    "LongReads",
    "Lookup",
    "Made",
    "Names",
    "Verdict",
    "VisitsPage",
    "WeekUse",
    "capture",
    "charge",
    "count_refused",
    "debit",
    "debit_group",
    "disputed_visits",
    "export_history",
    "find_debit",
    "find_hold",
    "find_lookup",
    "history",
    "history_sums",
    "hold",
    "keep_lookup",
    "list_holds",
    "movements_of_voucher",
    "names",
    "order_under",
    "question",
    "remember_made",
    "reverse",
    "validate",
    "visit_of_voucher",
    "visits_of_voucher",
    "void",
    "week_of_voucher",
]
