"""The JSON of a voucher's messages: what became of each, in words that a caseworker can say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from service.channels.operations import Pause
from service.channels.operations.outbox import ShownMessage
from service.vouchers import timeline
from service.web import AnswerModel


class ReceiptAnswer(AnswerModel):
    status: Annotated[str, Field(description="In the gateway's words")]
    error_code: str | None
    received_at: datetime
    told: str


class AttemptAnswer(AnswerModel):
    attempt_id: UUID
    gateway: str
    outcome: str | None
    reference: str | None
    error_code: str | None
    parts: int | None
    encoding: str | None
    started_at: datetime
    answered_at: datetime | None
    told: str
    receipts: Sequence[ReceiptAnswer]


class MessageAnswer(AnswerModel):
    """`told` is what a caseworker can say to the family, in the language that was asked for."""

    message_id: UUID
    kind: Annotated[str, Field(description="voucher, debit_receipt, reminder_unused, …; new ones may come")]
    channel: str
    language: str
    recipient_hint: str
    fallback_of: UUID | None
    state: str
    reason: str | None
    requested_by: str
    requested_because: Annotated[
        str | None, Field(description="The reason given with a resend, a new code or a change of contact")
    ]
    created_at: datetime
    due_at: datetime | None
    accepted_at: datetime | None
    delivered_at: datetime | None
    told: str
    attempts: Sequence[AttemptAnswer]


class TimelineAnswer(AnswerModel):
    """Every message about the voucher, oldest first."""

    voucher_id: UUID
    messages: Sequence[MessageAnswer]

    @classmethod
    def of(
        cls,
        voucher_id: UUID,
        messages: Sequence[ShownMessage],
        language: str,
        *,
        paused: Mapping[str, Pause],
        because: Mapping[UUID, str],
    ) -> TimelineAnswer:
        """`paused`: by channel; `because`: the reasons given, by message."""
        return cls(
            voucher_id=voucher_id,
            messages=[
                _message(message, language, paused.get(message.channel), because.get(message.message_id))
                for message in messages
            ],
        )


def _message(message: ShownMessage, language: str, paused: Pause | None, because: str | None) -> MessageAnswer:
    return MessageAnswer(
        message_id=message.message_id,
        kind=message.kind,
        channel=message.channel,
        language=message.language,
        recipient_hint=message.recipient_hint,
        fallback_of=message.fallback_of,
        state=message.state,
        reason=message.reason,
        requested_by=message.requested_by,
        requested_because=because,
        created_at=message.created_at,
        due_at=message.due_at,
        accepted_at=message.accepted_at,
        delivered_at=message.delivered_at,
        told=timeline.tell_message(message, language, paused),
        attempts=[
            AttemptAnswer(
                attempt_id=attempt.attempt_id,
                gateway=attempt.gateway,
                outcome=attempt.outcome,
                reference=attempt.reference,
                error_code=attempt.error_code,
                parts=attempt.parts,
                encoding=attempt.encoding,
                started_at=attempt.started_at,
                answered_at=attempt.answered_at,
                told=timeline.tell_attempt(attempt, language),
                receipts=[
                    ReceiptAnswer(
                        status=receipt.status,
                        error_code=receipt.error_code,
                        received_at=receipt.received_at,
                        told=timeline.tell_receipt(receipt, language),
                    )
                    for receipt in attempt.receipts
                ],
            )
            for attempt in message.attempts
        ],
    )
