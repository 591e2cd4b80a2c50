"""Granting many decisions in one transaction, for imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from asyncpg import DeadlockDetectedError, LockNotAvailableError, UniqueViolationError

from service.channels.operations import queue_messages
from service.crypto import Keys
from service.db import Connection
from service.errors import Invalid, SeteliError
from service.ids import new_id
from service.organisers.model import Organiser
from service.vouchers import sealing
from service.vouchers.decisions import NewDecision, check_rules, fingerprint_text
from service.vouchers.model import DecisionDiffers
from service.vouchers.operations.issuing import voucher_message
from service.vouchers.queries import bulk as queries
from service.vouchers.queries.bulk import VoucherRow

# Behind the decisions that are made one by one: there a family is on the phone.
BULK_PRIORITY = 6


class Rivalry(Exception):
    """Somebody else stored one of these decisions, or has one of these codes: roll back and try again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What came of a chunk; `refused` is by decision_ref."""

    issued: int
    already_there: int
    refused: Mapping[str, SeteliError]
    first_message_id: UUID | None


async def issue_vouchers(
    conn: Connection,
    keys: Keys,
    decisions: Sequence[NewDecision],
    *,
    organiser: Organiser,
    created_by: str,
    today: date,
    code_digits: int = 12,
    priority: int = BULK_PRIORITY,
) -> Stored:
    """Grant all decisions that are new and within the rules; each decision_ref at most once in `decisions`.

    The outcome for each is that of `issue_voucher`. A rival's decision or code that appears in between raises
    Rivalry: roll back and call again.
    """
    organiser_id = organiser.organiser_id
    known = await queries.select_fingerprints(
        conn, organiser_id=organiser_id, decision_refs=[decision.decision_ref for decision in decisions]
    )
    refused: dict[str, SeteliError] = {}
    new: list[NewDecision] = []
    already_there = 0
    for decision in decisions:
        ref = decision.decision_ref
        try:
            if ref not in known:
                check_rules(decision, today)
                new.append(decision)
            elif (before := known[ref]) is not None and sealing.is_same_content(
                keys, organiser_id, ref, before, fingerprint_text(decision)
            ):
                already_there += 1
            else:
                raise DecisionDiffers(decision_ref=ref)
        except (Invalid, DecisionDiffers) as error:
            refused[ref] = error
    message_ids = await _store(conn, keys, new, organiser, created_by, today, code_digits, priority) if new else []
    return Stored(len(new), already_there, refused, message_ids[0] if message_ids else None)


async def _store(
    conn: Connection,
    keys: Keys,
    decisions: list[NewDecision],
    organiser: Organiser,
    created_by: str,
    today: date,
    code_digits: int,
    priority: int,
) -> Sequence[UUID]:
    # In the order of a unique constraint, so that two imports of one file wait for each other instead of in a circle.
    decisions.sort(key=lambda decision: decision.decision_ref)
    rows = [_row(keys, organiser.organiser_id, decision, code_digits) for decision in decisions]
    now = await queries.select_now(conn)
    try:
        await queries.copy_vouchers(
            conn, organiser_id=organiser.organiser_id, rows=rows, created_by=created_by, now=now
        )
    except (UniqueViolationError, DeadlockDetectedError, LockNotAvailableError) as error:
        raise Rivalry from error
    previous = [row.code.previous_index for row in rows if row.code.previous_index is not None]
    if previous and await queries.any_index_exists(conn, indexes=previous):
        raise Rivalry
    messages = [
        voucher_message(
            row.decision,
            organiser=organiser,
            voucher_id=row.voucher_id,
            code_id=row.code.code_id,
            requested_by=created_by,
            today=today,
            priority=priority,
        )
        for row in rows
    ]
    return await queue_messages(conn, keys, messages)


def _row(keys: Keys, organiser_id: UUID, decision: NewDecision, code_digits: int) -> VoucherRow:
    return VoucherRow(
        decision_id=new_id(),
        voucher_id=new_id(),
        decision=decision,
        fingerprint=sealing.seal_fingerprint(keys, organiser_id, decision.decision_ref, fingerprint_text(decision)),
        contact=sealing.seal_contact(keys, organiser_id, decision.contact),
        code=sealing.draw_code(keys, code_digits),
    )
