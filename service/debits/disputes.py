"""A visit that somebody says was none, or another: the family by answering EI, or the organiser. Of that line alone.

SeteliError
├── DebitUnknown      this organiser has no such debit
├── DebitDisputed     a dispute of it is open
├── DisputeTooLate    the family's time to say so by itself is over
└── DisputeUnknown    none is

An open dispute is an item on the caseworkers' list, too. Whichever of the two is resolved, the other is with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from asyncpg import Record

from service import audit
from service.attention import operations as attention
from service.attention.model import DISPUTED
from service.db import Connection
from service.debits.model import AlreadyReversed
from service.debits.queries import disputes as queries
from service.errors import Conflict, NotFound, Refused
from service.money import Unit
from service.vouchers.operations.replies import ToldDebit

FAMILY = "family"


class DebitUnknown(NotFound):
    """This organiser has no debit with this id."""

    code = "debit_unknown"


class DebitDisputed(Conflict):
    """A dispute of this debit is open."""

    code = "debit_disputed"


class DisputeTooLate(Refused):
    """The visit was entered more than 14 days ago: a person looks into it then."""

    code = "dispute_too_late"


class DisputeUnknown(NotFound):
    """No dispute of this debit is open."""

    code = "dispute_unknown"


@dataclass(frozen=True, slots=True)
class Dispute:
    """Of one debit; open until it is resolved."""

    debit_id: UUID
    voucher_id: UUID
    raised_by: str
    reason: str | None
    raised_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    resolution: str | None


async def find_told_debit(
    conn: Connection, phone_indexes: Sequence[bytes], vouchers: Sequence[tuple[UUID, UUID]]
) -> ToldDebit | None:
    """The newest charge of these (organiser, voucher) pairs that this number was texted of in the last 14 days.

    One that was taken back whole since is no matter for a dispute any more.
    """
    row = await queries.select_told_debit(
        conn,
        phone_indexes=phone_indexes,
        organiser_ids=[organiser_id for organiser_id, _ in vouchers],
        voucher_ids=[voucher_id for _, voucher_id in vouchers],
    )
    return None if row is None else ToldDebit(**dict(row) | {"unit": Unit(row["unit"])})


async def dispute_told_debit(conn: Connection, debit: ToldDebit) -> None:
    """The family says it was not so, in the caller's transaction. Idempotent while the dispute is open.

    Unlike a form that is sent once more, a text that comes after it was cleared up is meant: it is disputed again, and
    what was said before is kept.
    """
    opened = await queries.open_dispute(
        conn, organiser_id=debit.organiser_id, debit_id=debit.entry_id, raised_by=FAMILY, reason=None
    )
    if opened is None:
        return
    await _ask_for_person(conn, debit.organiser_id, debit.voucher_id, debit.entry_id)
    await audit.record(
        conn,
        organiser_id=debit.organiser_id,
        actor=FAMILY,
        action="debit.dispute",
        subject_id=debit.entry_id,
        reason=None,
    )


async def dispute_visit(
    conn: Connection, *, organiser_id: UUID, voucher_id: UUID, debit_id: UUID, reason: str | None
) -> None:
    """The family says, on its page, that a visit of its voucher was not so; `reason` is a sentence of its own, or none.

    As by text, of what was entered in the last 14 days and is not taken back. Idempotent for good: a visit that was
    disputed before is in a person's hands, and a form that is sent once more does not open it again. Raises
    DebitUnknown, also for another voucher's visit, AlreadyReversed, DisputeTooLate.
    """
    debit = await _debit(conn, organiser_id, debit_id)
    if debit["voucher_id"] != voucher_id:
        raise DebitUnknown
    if debit["was_disputed"]:
        return
    if debit["amount_left"] == 0:
        raise AlreadyReversed
    if not debit["is_recent"]:
        raise DisputeTooLate
    opened = await queries.open_dispute(
        conn, organiser_id=organiser_id, debit_id=debit_id, raised_by=FAMILY, reason=reason
    )
    if opened is None:  # the other of two taps was first
        return
    await _ask_for_person(conn, organiser_id, voucher_id, debit_id)
    # Without the family's words: the log is for who did what.
    await audit.record(
        conn, organiser_id=organiser_id, actor=FAMILY, action="debit.dispute", subject_id=debit_id, reason=None
    )


async def dispute_debit(conn: Connection, *, organiser_id: UUID, debit_id: UUID, actor: str, reason: str) -> Dispute:
    """The organiser says so. Raises DebitUnknown, AlreadyReversed, DebitDisputed."""
    debit = await _debit(conn, organiser_id, debit_id)
    if debit["amount_left"] == 0:
        raise AlreadyReversed
    row = await queries.open_dispute(conn, organiser_id=organiser_id, debit_id=debit_id, raised_by=actor, reason=reason)
    if row is None:
        raise DebitDisputed
    await _ask_for_person(conn, organiser_id, debit["voucher_id"], debit_id)
    await audit.record(
        conn, organiser_id=organiser_id, actor=actor, action="debit.dispute", subject_id=debit_id, reason=reason
    )
    return Dispute(debit_id=debit_id, voucher_id=debit["voucher_id"], **row)


async def resolve_dispute(
    conn: Connection, *, organiser_id: UUID, debit_id: UUID, actor: str, resolution: str
) -> Dispute:
    """It may be paid after all, or was put right by a reversal. Raises DebitUnknown, DisputeUnknown."""
    debit = await _debit(conn, organiser_id, debit_id)
    row = await queries.resolve_dispute(
        conn, organiser_id=organiser_id, debit_id=debit_id, resolved_by=actor, resolution=resolution
    )
    if row is None:
        raise DisputeUnknown
    await attention.resolve_about_entry(
        conn, organiser_id=organiser_id, reason=DISPUTED, entry_id=debit_id, actor=actor, resolution=resolution
    )
    await audit.record(
        conn,
        organiser_id=organiser_id,
        actor=actor,
        action="debit.resolve_dispute",
        subject_id=debit_id,
        reason=resolution,
    )
    return Dispute(debit_id=debit_id, voucher_id=debit["voucher_id"], **row)


async def _debit(conn: Connection, organiser_id: UUID, debit_id: UUID) -> Record:
    row = await queries.select_debit(conn, organiser_id=organiser_id, debit_id=debit_id)
    if row is None:
        raise DebitUnknown
    return row


async def _ask_for_person(conn: Connection, organiser_id: UUID, voucher_id: UUID, debit_id: UUID) -> None:
    await attention.open_item(
        conn, organiser_id=organiser_id, reason=DISPUTED, subject_id=voucher_id, entry_id=debit_id
    )
