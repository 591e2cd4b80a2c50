"""From an approved decision to a voucher with a code and a queued message."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from uuid_utils.compat import uuid7

from service.channels.model import Contacts, MessageState, NewMessage
from service.channels.operations import queue_message
from service.crypto import Keys
from service.db import Connection
from service.errors import Invalid
from service.organisers.model import Organiser
from service.vouchers import sealing
from service.vouchers.decisions import NewDecision, check_rules, fingerprint_text
from service.vouchers.model import DecisionDiffers, Issued
from service.vouchers.operations.viewing import first_message
from service.vouchers.queries import issuing as queries
from service.vouchers.queries.issuing import SealedCode
from service.vouchers.texts import MESSAGE_KIND, message_fields

# With 10¹¹ codes and a million live ones a draw is taken once in 100 000; five in a row means that something is broken.
CODE_DRAWS = 5


class CodesExhausted(RuntimeError):
    """Draw after draw was taken: `code_digits` is too small for the number of codes, or randomness is broken."""


async def issue_voucher(
    conn: Connection,
    keys: Keys,
    decision: NewDecision,
    *,
    organiser: Organiser,
    created_by: str,
    today: date,
    code_digits: int = 12,
) -> Issued:
    """Grant the decision: voucher, code and message in the caller's transaction.

    Idempotent by decision_ref: the same content gives the voucher that is there and queues nothing, also when the
    programme or the calendar has moved on since. Raises DecisionDiffers for other content, and for a new decision
    what `check_rules` raises.
    """
    try:
        check_rules(decision, today)
    except Invalid:
        earlier = await _find_same(conn, keys, decision, organiser)
        if earlier is None:
            raise
        return earlier
    voucher_id, code = uuid7(), sealing.draw_code(keys, code_digits)
    inserted = await queries.insert_voucher(
        conn,
        organiser_id=organiser.organiser_id,
        decision_id=uuid7(),
        voucher_id=voucher_id,
        decision=decision,
        fingerprint=sealing.seal_fingerprint(
            keys, organiser.organiser_id, decision.decision_ref, fingerprint_text(decision)
        ),
        contact=sealing.seal_contact(keys, organiser.organiser_id, decision.contact),
        code=code,
        created_by=created_by,
    )
    if not inserted.decision:
        earlier = await _find_same(conn, keys, decision, organiser)
        if earlier is None:  # decisions are never deleted: this one has changed a voucher
            raise DecisionDiffers(decision_ref=decision.decision_ref)
        return earlier
    if not inserted.code:
        await _draw_again(conn, keys, organiser.organiser_id, voucher_id, code.code_id, code_digits)
    message = voucher_message(
        decision, organiser=organiser, voucher_id=voucher_id, code_id=code.code_id, requested_by=created_by, today=today
    )
    message_id = await queue_message(conn, keys, message)
    return Issued(voucher_id, message_id, MessageState.PENDING.value, created=True)


def voucher_message(
    decision: NewDecision,
    *,
    organiser: Organiser,
    voucher_id: UUID,
    code_id: UUID,
    requested_by: str,
    today: date,
    priority: int = 5,
) -> NewMessage:
    """The first message of a voucher; the code comes in when it is rendered."""
    contact = decision.contact
    weekly_visits, weekly_minutes = decision.weekly_caps
    return NewMessage(
        organiser_id=organiser.organiser_id,
        kind=MESSAGE_KIND,
        subject_id=voucher_id,
        secret_id=code_id,
        fields=message_fields(
            organiser,
            decision.programme,
            contact.language,
            granted=decision.granted,
            weekly_visits=weekly_visits,
            weekly_minutes=weekly_minutes,
            valid_to=decision.valid_to,
            today=today,
        ),
        language=contact.language,
        contacts=Contacts(phone=contact.phone, email=contact.email, preferred=contact.preferred),
        requested_by=requested_by,
        priority=priority,
    )


async def store_new_code(
    conn: Connection, keys: Keys, *, organiser_id: UUID, voucher_id: UUID, code_digits: int
) -> SealedCode:
    """Make a new live code for a voucher whose old one is superseded."""
    for _ in range(CODE_DRAWS):
        code = sealing.draw_code(keys, code_digits)
        if await queries.insert_lookup(conn, organiser_id=organiser_id, voucher_id=voucher_id, code=code):
            await queries.insert_code(conn, organiser_id=organiser_id, voucher_id=voucher_id, code=code)
            return code
    raise CodesExhausted


async def _draw_again(
    conn: Connection, keys: Keys, organiser_id: UUID, voucher_id: UUID, code_id: UUID, code_digits: int
) -> None:
    """Another code under the same id, for a voucher whose first draw somebody else has."""
    for _ in range(CODE_DRAWS):
        code = sealing.draw_code(keys, code_digits, code_id)
        if await queries.insert_lookup(conn, organiser_id=organiser_id, voucher_id=voucher_id, code=code):
            await queries.update_sealed_code(conn, organiser_id=organiser_id, code=code)
            return
    raise CodesExhausted


async def _find_same(conn: Connection, keys: Keys, decision: NewDecision, organiser: Organiser) -> Issued | None:
    """The voucher that this very decision got earlier; raises DecisionDiffers."""
    found = await queries.select_decision(conn, organiser_id=organiser.organiser_id, decision_ref=decision.decision_ref)
    if found is None:
        return None
    fingerprint, voucher_id = found
    if not sealing.is_same_content(
        keys, organiser.organiser_id, decision.decision_ref, fingerprint, fingerprint_text(decision)
    ):
        raise DecisionDiffers(decision_ref=decision.decision_ref)
    message = await first_message(conn, organiser_id=organiser.organiser_id, voucher_id=voucher_id)
    return Issued(voucher_id, message.message_id, message.state, created=False)
