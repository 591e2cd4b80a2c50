"""Take in what mail servers report about mails of ours."""

from __future__ import annotations

from uuid import UUID

import structlog
from uuid_utils.compat import uuid7

from service.channels.bounces import Bounce, Said, action_after_bounce
from service.channels.gateway import ReceiptMeaning, ReceiptState
from service.channels.model import MessageState, after_receipt
from service.channels.operations.outbox import contact_context
from service.channels.operations.suppressions import suppress
from service.channels.queries import bounces as queries
from service.channels.queries.receipts import Effect, ReceiptRow, record_receipts
from service.channels.suppressions import SuppressionReason, suppression_after
from service.crypto import Keys, SealBroken
from service.db import Connection, Pool, transaction

log = structlog.get_logger()


async def take_bounce(pool: Pool, keys: Keys, bounce: Bounce) -> Effect:
    """Journal a report, move its mail along the legal moves, and suppress an address that is gone; what that did.

    One transaction, idempotent by (attempt, what was said): a report that comes again changes nothing, nor does one for
    a token that nobody has. What a failure leads to (again, the other channel, a person) follows from the row, as for
    every failure. Raises DatabaseUnavailable and OutcomeUnknown; the same report may then be taken again.
    """
    async with transaction(pool) as conn:
        mail = await queries.select_mail(conn, organiser_id=bounce.organiser_id, token=bounce.token)
        if mail is None:
            log.warning("bounce_ignored", effect=Effect.UNKNOWN_ATTEMPT.value)
            return Effect.UNKNOWN_ATTEMPT
        message_id: UUID = mail["message_id"]
        row = _receipt_row(bounce, reference=mail["reference"] or _reference(message_id, bounce.message_id))
        [recorded] = await record_receipts(conn, receipts=[row])
        is_new = recorded.effect in (Effect.MOVED, Effect.NO_MOVE)
        reason = _suppression(bounce)
        if is_new and reason is not None:
            await _suppress(conn, keys, bounce.organiser_id, message_id, mail["recipient_sealed"], reason)
    log.info(
        "bounce_taken",
        message_id=message_id,
        status=bounce.said.value,
        error_code=bounce.code,
        effect=recorded.effect.value,
    )
    return recorded.effect


def _suppression(bounce: Bounce) -> SuppressionReason | None:
    if bounce.said is not Said.BOUNCED:
        return None
    return suppression_after("email", action_after_bounce(bounce.code), bounce.code)


def _reference(message_id: UUID, returned: str | None) -> str:
    """What our own answer calls the mail when it is written down after the report: its Message-ID."""
    return returned if returned is not None and returned.startswith(f"{message_id.hex}@") else message_id.hex


def _receipt_row(bounce: Bounce, *, reference: str) -> ReceiptRow:
    if bounce.said is Said.BOUNCED:
        move = after_receipt(ReceiptMeaning(ReceiptState.UNDELIVERED, action_after_bounce(bounce.code)))
        state, reason, due_in_s = move.state, move.reason, move.due_in_s
    elif bounce.said is Said.DELIVERED:
        state, reason, due_in_s = MessageState.DELIVERED, None, None
    else:
        # A server has it: moves a mail of unknown outcome, and then there is nothing to ask anybody about.
        state, reason, due_in_s = MessageState.SENT, None, None
    return ReceiptRow(
        organiser_id=bounce.organiser_id,
        token=bounce.token,
        receipt_id=uuid7(),
        reference=reference,
        status=bounce.said.value,
        error_code=bounce.code,
        state=state,
        reason=reason,
        due_in_s=due_in_s,
    )


async def _suppress(
    conn: Connection, keys: Keys, organiser_id: UUID, message_id: UUID, sealed: bytes, reason: SuppressionReason
) -> None:
    """Nothing more is sent to the address that we wrote to, whatever address the report names."""
    try:
        email = keys.sealer.open(sealed, contact_context(organiser_id))
    except SealBroken:
        log.error("contact_unreadable", message_id=message_id)
        return
    await suppress(conn, keys, channel="email", contact=email, reason=reason)
