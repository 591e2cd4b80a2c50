"""Rows of a file become decisions and vouchers: the one engine behind the command line's files and uploaded ones.

Where the rows come from, how many are taken at a time and where the rejected ones go is the caller's. A chunk is
granted in the caller's transaction, so whatever else the caller writes about it is true when the chunk is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, TypeVar
from uuid import UUID

from service.crypto import Keys
from service.db import Connection
from service.errors import RequestInFlight, SeteliError
from service.organisers.model import Organiser, Programme, ProgrammeUnknown
from service.vouchers import decision_rows
from service.vouchers.decision_rows import Header, Row
from service.vouchers.decisions import NewDecision, read_decision
from service.vouchers.operations.bulk import BULK_PRIORITY, Fate, Rivalry, foresee_vouchers, issue_vouchers

# A rival's chunk takes a fraction of a second and the lock is waited for; more rounds than this are no rivalry.
CHUNK_ROUNDS = 10
RIVAL_WAIT_S = 0.05

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was not granted, and the error that says why. The row holds contacts: it goes to no log."""

    row: Row
    error: SeteliError


class ReadRow(NamedTuple):
    """A row and the decision that it is. A tuple, because imports make very many."""

    row: Row
    decision: NewDecision


@dataclass(frozen=True, slots=True)
class Granted:
    """What came of a chunk. Every row of it is in exactly one of the three."""

    issued: int
    already_there: int
    rejected: Sequence[Rejected]
    first_message_id: UUID | None


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What would come of rows. Every row is in exactly one of the four."""

    granted: Sequence[Row]
    there: int
    repeated: int
    rejected: Sequence[Rejected]


@dataclass(frozen=True)
class Intake:
    """What makes a decision of a row, the same for every row of a file."""

    keys: Keys
    organiser: Organiser
    programmes: Mapping[str, Programme]
    header: Header
    countries: tuple[str, ...]
    created_by: str
    today: date
    code_digits: int
    priority: int = BULK_PRIORITY
    """Of the families' messages: BULK_PRIORITY, or PATIENT_PRIORITY for what keeps the quiet hours."""

    def read(self, rows: Sequence[Row]) -> tuple[list[ReadRow], list[Rejected]]:
        """What the rows say by themselves; whether the rules of the day allow it is asked when it is granted."""
        good: list[ReadRow] = []
        rejected: list[Rejected] = []
        for row in rows:
            try:
                posted = decision_rows.read_row(row, self.header)
                programme = self.programmes.get(posted.programme)
                if programme is None:
                    raise ProgrammeUnknown(programme=posted.programme[:40])
                decision = read_decision(
                    posted, programme, default_language=self.organiser.default_language, countries=self.countries
                )
            except SeteliError as error:
                rejected.append(Rejected(row, error))
            else:
                good.append(ReadRow(row, decision))
        return good, rejected

    async def foresee(self, conn: Connection, rows: Sequence[Row]) -> Foreseen:
        """What would come of these rows if they were granted now, before all others of their file."""
        good, rejected = self.read(rows)
        fates = await foresee_vouchers(
            conn, self.keys, [each.decision for each in good], organiser=self.organiser, today=self.today
        )
        granted: list[Row] = []
        for (row, _), fate in zip(good, fates, strict=True):
            if isinstance(fate, SeteliError):
                rejected.append(Rejected(row, fate))
            elif fate is Fate.GRANTED:
                granted.append(row)
        return Foreseen(
            granted=granted,
            there=fates.count(Fate.THERE),
            repeated=fates.count(Fate.REPEATED),
            rejected=sorted(rejected, key=lambda each: each.row.line),
        )

    async def grant(self, conn: Connection, rows: Sequence[ReadRow]) -> Granted:
        """Grant what is new; of rows with one decision_ref the first one counts.

        Idempotent by decision_ref. Raises Rivalry: roll back and call again (`in_rounds`).
        """
        issued = already_there = 0
        rejected: list[Rejected] = []
        first_message_id: UUID | None = None
        while rows:
            first = {each.decision.decision_ref: each for each in reversed(rows)}
            stored = await issue_vouchers(
                conn,
                self.keys,
                [each.decision for each in first.values()],
                organiser=self.organiser,
                created_by=self.created_by,
                today=self.today,
                code_digits=self.code_digits,
                priority=self.priority,
            )
            issued += stored.issued
            already_there += stored.already_there
            rejected += [Rejected(first[ref].row, error) for ref, error in stored.refused.items()]
            first_message_id = first_message_id or stored.first_message_id
            taken = {id(each) for each in first.values()}
            rows = [each for each in rows if id(each) not in taken] if len(first) < len(rows) else ()
        return Granted(issued, already_there, rejected, first_message_id)


async def in_rounds(work: Callable[[], Awaitable[T]]) -> T:
    """Do a transaction's work again while a rival gets in its way. Raises RequestInFlight when that does not end."""
    for _ in range(CHUNK_ROUNDS):
        try:
            return await work()
        except Rivalry:
            await asyncio.sleep(RIVAL_WAIT_S)
    raise RequestInFlight
