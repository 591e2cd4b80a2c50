"""The same over the API, for whoever supports the installation. The page for people is in pages.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from service.db import autocommit, transaction
from service.guessing import operations
from service.guessing.model import (
    REASON_MAX,
    SUPPORT_READ,
    SUPPORT_WRITE,
    BlockUnknown,
    BreakerNeverTripped,
    CredentialKind,
)
from service.web import AnswerModel, Call, Reply, RequestModel, Route, once


class SupportReason(RequestModel):
    reason: Annotated[
        str, Field(min_length=1, max_length=REASON_MAX, description="What the matter was; kept in the audit log")
    ]


class SuspectModel(AnswerModel):
    """Whose requests asked for codes that are not theirs. `name` and `hint` are None for a key that is gone."""

    credential_id: UUID
    kind: Annotated[
        CredentialKind,
        Field(description="An API key, a worker who charges by text, or a person signed in to the pages"),
    ]
    name: str | None
    hint: Annotated[str | None, Field(description="The key's or the phone number's last characters")]
    provider_id: UUID | None
    business_id: str | None
    provider_name: str | None
    misses_last_hour: int
    misses_last_day: int


class BlockModel(SuspectModel):
    """Stopped: `credential_blocked` answers whatever it asks with a code."""

    blocked_at: datetime
    blocked_until: datetime


class BreakerModel(AnswerModel):
    """`is_tripped` until a person acknowledges it: then stricter limits hold for everybody, and nobody is stopped."""

    is_tripped: bool
    tripped_at: datetime | None
    misses_that_tripped: int | None
    misses_today: Annotated[int, Field(description="Of the whole installation in the last 24 hours")]
    misses_counted: Annotated[int, Field(description="Of those, since it was last acknowledged")]
    misses_of_all: Annotated[int, Field(description="So many of those counted trip it")]
    misses_an_hour: Annotated[int, Field(description="So many stop a credential for an hour")]
    misses_an_hour_tripped: Annotated[int, Field(description="The same while the breaker is tripped")]
    misses_a_day: Annotated[int, Field(description="So many stop a credential for a day")]


class BlockList(AnswerModel):
    """Newest block first; `others` have misses in the last 24 hours and are not stopped. At most 1,000 of both."""

    blocks: Sequence[BlockModel]
    others: Sequence[SuspectModel]
    breaker: BreakerModel


class LiftingAnswer(AnswerModel):
    credential_id: UUID
    lifted_at: datetime
    lifted_by: str
    reason: str


class AcknowledgementAnswer(AnswerModel):
    tripped_at: datetime
    misses: int
    acknowledged_at: datetime
    acknowledged_by: str
    reason: str


async def get_blocks(call: Call) -> Reply:
    """Who is stopped for guessing, since when and until when, and whether the breaker is tripped."""
    async with autocommit(call.resources.pool) as conn:
        seen = await operations.overview(conn)
    return Reply(
        body=BlockList(
            blocks=[BlockModel.model_validate(block, from_attributes=True) for block in seen.blocks],
            others=[SuspectModel.model_validate(other, from_attributes=True) for other in seen.others],
            breaker=BreakerModel.model_validate(seen.breaker, from_attributes=True),
        )
    )


async def post_lift(call: Call) -> Reply:
    """Let a credential go on and forgive its misses. Again, until it is stopped anew: the first lifting."""
    credential_id = call.path_id("credential_id", BlockUnknown)
    async with transaction(call.resources.pool) as conn:

        async def write() -> LiftingAnswer:
            lifting = await operations.lift_block(
                conn,
                credential_id=credential_id,
                actor=call.caller.actor,
                reason=call.body_as(SupportReason).reason,
            )
            return LiftingAnswer.model_validate(lifting, from_attributes=True)

        return await once(call, conn, write)


async def post_acknowledge(call: Call) -> Reply:
    """End the breaker's alarm. Again, until it trips anew: the last acknowledgement."""
    async with transaction(call.resources.pool) as conn:

        async def write() -> AcknowledgementAnswer:
            done = await operations.acknowledge_breaker(
                conn, actor=call.caller.actor, reason=call.body_as(SupportReason).reason
            )
            return AcknowledgementAnswer.model_validate(done, from_attributes=True)

        return await once(call, conn, write)


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/v1/support/blocks",
        get_blocks,
        SUPPORT_READ,
        "Who is stopped for guessing codes, and the state of the breaker",
        answer=BlockList,
    ),
    Route(
        "POST",
        "/v1/support/blocks/{credential_id}/lift",
        post_lift,
        SUPPORT_WRITE,
        "Let a stopped credential go on, and say why",
        body=SupportReason,
        answer=LiftingAnswer,
        errors=(BlockUnknown,),
        idempotency="optional",
    ),
    Route(
        "POST",
        "/v1/support/breaker/acknowledge",
        post_acknowledge,
        SUPPORT_WRITE,
        "End the breaker's alarm, and say what it was",
        body=SupportReason,
        answer=AcknowledgementAnswer,
        errors=(BreakerNeverTripped,),
        idempotency="optional",
    ),
)
