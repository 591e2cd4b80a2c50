"""When families are left alone. A voucher that was decided by itself never waits; what is told besides does.

Only the hours are here; which moment they allow is reckoned in the database, by its clock (`not_in_quiet_hours`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From one whole hour of the clock in Helsinki until another, over midnight if the first is later; equal: none."""

    from_hour: int = 21
    to_hour: int = 8


USUAL = QuietHours()
