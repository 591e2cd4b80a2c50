"""What an organiser says of a debit: that it was not so, or that it was."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from service.db import transaction
from service.debits import disputes
from service.debits.disputes import DebitDisputed, DebitUnknown, Dispute, DisputeUnknown
from service.debits.model import AlreadyReversed
from service.web import AnswerModel, Call, Reply, RequestModel, Route, once


class DisputeRequest(RequestModel):
    reason: Annotated[str, Field(min_length=1, max_length=500, description="Kept in the audit log")]


class ResolveDisputeRequest(RequestModel):
    resolution: Annotated[str, Field(min_length=1, max_length=500, description="What was found; kept in the audit log")]


class DisputeAnswer(AnswerModel):
    """The payment of this debit waits while `resolved_at` is null; no other's does."""

    debit_id: UUID
    voucher_id: UUID
    raised_by: Annotated[str, Field(description="`family`, or the key of the organiser's system")]
    reason: str | None
    raised_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    resolution: str | None

    @classmethod
    def of(cls, dispute: Dispute) -> DisputeAnswer:
        return cls.model_validate(dispute, from_attributes=True)


async def post_dispute(call: Call) -> Reply:
    """Stop the payment of a debit until it is cleared up; it is on the list of what needs a person meanwhile."""
    debit_id = call.path_id("debit_id", DebitUnknown)
    async with transaction(call.resources.pool) as conn:

        async def write() -> DisputeAnswer:
            return DisputeAnswer.of(
                await disputes.dispute_debit(
                    conn,
                    organiser_id=call.caller.owner_id,
                    debit_id=debit_id,
                    actor=call.caller.actor,
                    reason=call.body_as(DisputeRequest).reason,
                )
            )

        return await once(call, conn, write)


async def post_resolve_dispute(call: Call) -> Reply:
    """It is cleared up, whoever disputed it: the debit may be paid, if it was not taken back."""
    debit_id = call.path_id("debit_id", DebitUnknown)
    async with transaction(call.resources.pool) as conn:

        async def write() -> DisputeAnswer:
            return DisputeAnswer.of(
                await disputes.resolve_dispute(
                    conn,
                    organiser_id=call.caller.owner_id,
                    debit_id=debit_id,
                    actor=call.caller.actor,
                    resolution=call.body_as(ResolveDisputeRequest).resolution,
                )
            )

        return await once(call, conn, write)


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/debits/{debit_id}/dispute",
        post_dispute,
        permission="vouchers:write",
        summary="Say that a visit was not so: its payment waits",
        body=DisputeRequest,
        answer=DisputeAnswer,
        errors=(DebitUnknown, AlreadyReversed, DebitDisputed),
        idempotency="optional",
    ),
    Route(
        "POST",
        "/v1/debits/{debit_id}/resolve-dispute",
        post_resolve_dispute,
        permission="vouchers:write",
        summary="Say that it is cleared up",
        body=ResolveDisputeRequest,
        answer=DisputeAnswer,
        errors=(DebitUnknown, DisputeUnknown),
        idempotency="optional",
    ),
)
