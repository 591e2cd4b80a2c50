"""What providers do: charge, take back, hold, validate, look up. One database call each, or two."""

from service.debits.operations.charging import DebitGroup, charge, debit, debit_group, reverse, validate
from service.debits.operations.history import LongReads, export_history, history, history_sums
from service.debits.operations.holds import capture, hold, list_holds, void
from service.debits.operations.verdicts import Verdict

__all__ = [
    "DebitGroup",
    "LongReads",
    "Verdict",
    "capture",
    "charge",
    "debit",
    "debit_group",
    "export_history",
    "history",
    "history_sums",
    "hold",
    "list_holds",
    "reverse",
    "validate",
    "void",
]
