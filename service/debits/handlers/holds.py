"""Hold, capture, void, and the list of holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from service.debits import operations
from service.debits.handlers.charging import VISIT_REFUSALS, DebitAnswer
from service.debits.handlers.visits import (
    MONEY_ERRORS,
    TIME_ERRORS,
    Amount,
    CodeVisit,
    Reason,
    Reference,
    TaskType,
    VisitTimes,
    Worker,
    code_order,
    required_claim,
    verdict_reply,
)
from service.debits.model import (
    CODE_REFUSALS,
    DEBIT_REFUSALS,
    CaptureOnAnotherDay,
    HoldEnded,
    HoldNotFound,
    HoldTooLate,
    NoShowNotAllowed,
    RulesChanging,
    ServiceDateInFuture,
    VisitNotOver,
    VisitType,
)
from service.money import Unit
from service.vouchers.codes import CodeCheckDigit, CodeLength
from service.web import AnswerModel, Call, QueryModel, Reply, RequestModel, Route

HoldState = Literal["held", "captured", "voided", "lapsed"]
NOT_OF_HOLDS = (ServiceDateInFuture, VisitNotOver, NoShowNotAllowed)


class HoldRequest(CodeVisit):
    task_type: TaskType = None
    worker: Worker = None
    reference: Reference = None
    on_insufficient: Annotated[
        Literal["refuse", "partial"], Field(description="partial: hold what is left, in whole steps, if it is less")
    ] = "refuse"
    allow_duplicate: bool = False


class HoldAnswer(AnswerModel):
    """Value, and a place in the week, are kept for the visit until `lapses_at`."""

    hold_id: UUID
    voucher_id: UUID
    programme: str
    state: Literal["held"]
    amount: int
    unit: Unit
    not_covered: int
    service_date: date
    starts_at: datetime | None
    ends_at: datetime | None
    task_type: str | None
    worker: str | None
    reference: str | None
    voucher_pays_cents: int | None
    family_pays_cents: int | None
    created_at: datetime
    lapses_at: datetime
    available: int


class CaptureRequest(VisitTimes):
    """What is left out is as it was held."""

    amount: Amount | None = None
    visit_type: VisitType = "visit"
    task_type: TaskType = None
    worker: Worker = None
    reference: Reference = None
    allow_duplicate: Annotated[
        bool, Field(description="Another visit did begin at the moment that is told here: charge this one, too")
    ] = False


class VoidRequest(RequestModel):
    reason: Reason = None


class VoidAnswer(AnswerModel):
    """The hold is dropped, and its value is free."""

    hold_id: UUID
    voucher_id: UUID
    state: Literal["voided"]
    amount: int
    unit: Unit
    ended_at: datetime
    available: int


class HoldsQuery(QueryModel):
    cursor: UUID | None = None
    state: HoldState | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class HoldItem(AnswerModel):
    hold_id: UUID
    voucher_id: UUID
    organiser: str
    programme: str
    state: HoldState
    amount: int
    unit: Unit
    service_date: date
    starts_at: datetime | None
    ends_at: datetime | None
    task_type: str | None
    worker: str | None
    reference: str | None
    code_last_four: str
    decision_ref: str
    created_at: datetime
    lapses_at: datetime
    ended_at: datetime | None
    reason: str | None


class HoldsAnswer(AnswerModel):
    """Newest first. `next_cursor` is there when there is more."""

    holds: list[HoldItem]
    next_cursor: UUID | None


async def post_hold(call: Call) -> Reply:
    """Keep value for a visit."""
    asked = call.body_as(HoldRequest)
    order = replace(
        code_order(call, asked, required_claim(call)),
        task_type=asked.task_type,
        worker=asked.worker,
        reference=asked.reference,
        partial=asked.on_insufficient == "partial",
        duplicate_ok=asked.allow_duplicate,
    )
    return verdict_reply(await operations.hold(call.resources.pool, order))


async def post_capture(call: Call) -> Reply:
    """Charge a visit that was held."""
    asked = call.body_as(CaptureRequest)
    claim = required_claim(call)
    starts_at, ends_at = asked.read() or (None, None)
    order = replace(
        operations.order_under(claim, call.caller.key_id),
        amount=asked.amount,
        starts_at=starts_at,
        ends_at=ends_at,
        visit_type=asked.visit_type,
        task_type=asked.task_type,
        worker=asked.worker,
        reference=asked.reference,
        duplicate_ok=asked.allow_duplicate,
    )
    verdict = await operations.capture(
        call.resources.pool,
        order,
        hold_id=call.path_id("hold_id", HoldNotFound),
        quiet=call.resources.settings.quiet_hours,
    )
    return verdict_reply(verdict)


async def post_void(call: Call) -> Reply:
    """Drop a hold."""
    asked = call.body_as(VoidRequest)
    verdict = await operations.void(
        call.resources.pool,
        required_claim(call),
        credential_id=call.caller.key_id,
        hold_id=call.path_id("hold_id", HoldNotFound),
        reason=asked.reason,
    )
    return verdict_reply(verdict, status=200)


async def get_holds(call: Call) -> Reply:
    """The provider's own holds."""
    asked = call.query_as(HoldsQuery)
    rows = await operations.list_holds(
        call.resources.pool,
        provider_id=call.caller.owner_id,
        before=asked.cursor,
        state=asked.state,
        limit=asked.limit + 1,
    )
    items = [HoldItem.model_validate({**dict(row), "code_last_four": row["last_four"]}) for row in rows[: asked.limit]]
    return Reply(body=HoldsAnswer(holds=items, next_cursor=items[-1].hold_id if len(rows) > asked.limit else None))


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/holds",
        post_hold,
        permission="debits:write",
        summary="Keep value and a place in the week for a booked visit",
        body=HoldRequest,
        answer=HoldAnswer,
        status=201,
        errors=(
            CodeLength,
            CodeCheckDigit,
            *TIME_ERRORS,
            *CODE_REFUSALS,
            *(error for error in VISIT_REFUSALS if error not in NOT_OF_HOLDS),
            HoldTooLate,
            RulesChanging,
            *MONEY_ERRORS,
        ),
        idempotency="required",
    ),
    Route(
        "POST",
        "/v1/holds/{hold_id}/capture",
        post_capture,
        permission="debits:write",
        summary="Charge a held visit: as much as was held, or less",
        body=CaptureRequest,
        answer=DebitAnswer,
        status=201,
        errors=(
            *TIME_ERRORS,
            HoldNotFound,
            HoldEnded,
            CaptureOnAnotherDay,
            *DEBIT_REFUSALS,
            RulesChanging,
            *MONEY_ERRORS,
        ),
        idempotency="required",
    ),
    Route(
        "POST",
        "/v1/holds/{hold_id}/void",
        post_void,
        permission="debits:write",
        summary="Drop a hold",
        body=VoidRequest,
        answer=VoidAnswer,
        errors=(HoldNotFound, HoldEnded, *MONEY_ERRORS),
        idempotency="required",
    ),
    Route(
        "GET",
        "/v1/holds",
        get_holds,
        permission="debits:read",
        summary="Your holds, newest first",
        query=HoldsQuery,
        answer=HoldsAnswer,
    ),
)
