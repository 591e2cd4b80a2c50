"""What a provider asks of its history, where a page goes on, and a debit as a line of a table. Pure.

SeteliError
├── HistoryTooWide    so much would have to be read that it takes too long
└── HistoryBusy       others are reading a lot
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from service.errors import Refused, Unavailable
from service.money import Unit

DebitState = Literal["captured", "partly_reversed", "reversed", "disputed", "settled"]


class HistoryTooWide(Refused):
    """It took too long to look through so many debits: fewer days, or another filter."""

    code = "history_too_wide"


class HistoryBusy(Unavailable):
    """As many sums and exports are under way as are let at once; try again."""

    code = "history_busy"


class HistoryOrder(StrEnum):
    """Newest first: which time counts."""

    ENTERED = "entered"
    SERVED = "served"


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """What is looked for; everything that is None, everything. Days are of Helsinki, the last included."""

    service_from: date | None = None
    service_to: date | None = None
    entered_from: date | None = None
    entered_to: date | None = None
    programme: str | None = None
    organiser: str | None = None
    worker: str | None = None
    state: DebitState | None = None
    last_four: str | None = None
    decision_ref: str | None = None
    credential_id: UUID | None = None
    """Of the key, the worker or the person that charged."""
    debit_id: UUID | None = None

    @property
    def order(self) -> HistoryOrder:
        """Whoever asks by days of service gets the newest visit first: that is the order of the index, too."""
        by_service = self.service_from is not None or self.service_to is not None
        return HistoryOrder.SERVED if by_service else HistoryOrder.ENTERED


@dataclass(frozen=True, slots=True)
class HistoryPlace:
    """Behind a debit in one of the orders: `service_date` is there when that counts first."""

    entry_id: UUID
    service_date: date | None = None

    @property
    def order(self) -> HistoryOrder:
        return HistoryOrder.ENTERED if self.service_date is None else HistoryOrder.SERVED


def write_cursor(place: HistoryPlace) -> str:
    """A place as a caller keeps it: nothing to read or to make."""
    day = b"" if place.service_date is None else place.service_date.toordinal().to_bytes(4, "big")
    return base64.urlsafe_b64encode(place.entry_id.bytes + day).decode().rstrip("=")


def read_cursor(text: str) -> HistoryPlace | None:
    """None: no cursor of ours."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        day = date.fromordinal(int.from_bytes(content[16:], "big")) if len(content) == 20 else None
    except (binascii.Error, ValueError, OverflowError):
        return None
    return HistoryPlace(UUID(bytes=content[:16]), day) if len(content) in (16, 20) else None


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One debit, with what became of it. The cents are those that are left of it, so that they may be added up."""

    debit_id: UUID
    entered_at: datetime
    service_date: date
    starts_at: datetime | None
    ends_at: datetime | None
    visit_type: Literal["visit", "no_show"]
    task_type: str | None
    worker: str | None
    reference: str | None
    organiser: str
    programme: str
    decision_ref: str
    voucher_id: UUID
    code_last_four: str
    hold_id: UUID | None
    unit: Unit
    amount: int
    amount_left: int
    reversed_amount: int
    reversed_at: datetime | None
    voucher_pays_cents: int | None
    family_pays_cents: int | None
    state: DebitState
    disputed: bool

    def place_in(self, order: HistoryOrder) -> HistoryPlace:
        """Where what comes behind it begins."""
        return HistoryPlace(self.debit_id, self.service_date if order is HistoryOrder.SERVED else None)


@dataclass(frozen=True, slots=True)
class HistorySum:
    """What many debits come to. `programme` None: all of the unit. The cents are what is left after reversals."""

    unit: Unit
    programme: str | None
    debits: int
    amount: int
    reversed_amount: int
    voucher_pays_cents: int | None
    family_pays_cents: int | None


COLUMNS = tuple(field.name for field in fields(HistoryLine))
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
"""With one of these at its front a text is a formula to spreadsheets, and whoever wrote it could make it do things."""


def csv_header() -> bytes:
    """The names of the columns, as a line of CSV."""
    return _csv([COLUMNS])


def csv_lines(lines: Iterable[HistoryLine]) -> bytes:
    """RFC 4180, UTF-8. A text that a spreadsheet would run begins with an apostrophe instead."""
    return _csv([_cell(getattr(line, name)) for name in COLUMNS] for line in lines)


def _csv(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case str() if value.startswith(FORMULA_SIGNS):
            return f"'{value}"
        case _:
            return str(value)
