"""Granting many decisions in one transaction, for imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
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
        try:
            if _is_new(keys, organiser_id, decision, known, today):
                new.append(decision)
            else:
                already_there += 1
        except (Invalid, DecisionDiffers) as error:
            refused[decision.decision_ref] = error
    message_ids = await _store(conn, keys, new, organiser, created_by, today, code_digits, priority) if new else []
    return Stored(len(new), already_there, refused, message_ids[0] if message_ids else None)


def _is_new(
    keys: Keys, organiser_id: UUID, decision: NewDecision, known: Mapping[str, bytes | None], today: date
) -> bool:
    """Whether it is to be granted; False for what is there. Raises DecisionDiffers, and what `check_rules` does."""
    ref = decision.decision_ref
    if ref not in known:
        check_rules(decision, today)
        return True
    before, content = known[ref], fingerprint_text(decision)
    if before is None or not sealing.is_same_content(keys, organiser_id, ref, before, content):
        raise DecisionDiffers(decision_ref=ref)
    return False


class Fate(Enum):
    """What would come of a decision that is not refused."""

    GRANTED = "granted"
    THERE = "there"
    REPEATED = "repeated"
    """As an earlier one of the same list, that would be granted."""


async def foresee_vouchers(
    conn: Connection, keys: Keys, decisions: Sequence[NewDecision], *, organiser: Organiser, today: date
) -> list[Fate | SeteliError]:
    """What would come of each decision if all were granted now, in this order. Stores nothing.

    As chunks of them are granted: what is refused leaves its decision_ref to the next one that has it.
    """
    organiser_id = organiser.organiser_id
    known = await queries.select_fingerprints(
        conn, organiser_id=organiser_id, decision_refs=[decision.decision_ref for decision in decisions]
    )
    contents: dict[str, str] = {}  # of those that would be granted
    fates: list[Fate | SeteliError] = []
    for decision in decisions:
        ref = decision.decision_ref
        if ref in contents:
            is_same = contents[ref] == fingerprint_text(decision)
            fates.append(Fate.REPEATED if is_same else DecisionDiffers(decision_ref=ref))
            continue
        try:
            if _is_new(keys, organiser_id, decision, known, today):
                contents[ref] = fingerprint_text(decision)
                fates.append(Fate.GRANTED)
            else:
                fates.append(Fate.THERE)
        except (Invalid, DecisionDiffers) as error:
            fates.append(error)
    return fates


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
