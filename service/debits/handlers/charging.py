"""Validate, charge, take back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Annotated, Any, Literal, Protocol, cast
from uuid import UUID

from pydantic import Field
from uuid_utils.compat import uuid7

from service import metrics
from service.debits import operations
from service.debits.handlers.visits import (
    MONEY_ERRORS,
    TIME_ERRORS,
    Amount,
    CodeVisit,
    Reason,
    Reference,
    TaskType,
    Worker,
    code_order,
    required_claim,
    verdict_reply,
)
from service.debits.model import (
    CODE_REFUSALS,
    DEBIT_REFUSALS,
    AlreadyReversed,
    AmountNotInSteps,
    CaptureAboveHold,
    ChargeOrder,
    DebitNotFound,
    DebitSettled,
    ReversalAboveDebit,
    RulesChanging,
    VisitType,
    error_of,
)
from service.debits.operations import DebitGroup
from service.money import Unit
from service.problems import problem
from service.vouchers.codes import CodeCheckDigit, CodeLength
from service.web import AnswerModel, Call, Reply, RequestModel, Route

VISIT_REFUSALS = tuple(error for error in DEBIT_REFUSALS if error is not CaptureAboveHold)


class ValidateRequest(CodeVisit):
    visit_type: VisitType = "visit"
    task_type: TaskType = None
    on_insufficient: Annotated[
        Literal["refuse", "partial"], Field(description="partial: charge what is left, in whole steps, if it is less")
    ] = "refuse"
    allow_duplicate: Annotated[
        bool,
        Field(
            description="Another visit did begin at the same moment, or was like this one, without times: charge this "
            "one, too"
        ),
    ] = False
    worker: Worker = None
    reference: Reference = None


class RefusalModel(AnswerModel):
    code: str
    detail: str
    next_step: str


class RateModel(AnswerModel):
    """For an hour, a visit or a session in one tariff band."""

    band: Literal["weekday", "evening", "saturday", "sunday"]
    voucher_pays_cents: int
    family_pays_cents: int


class ValidateAnswer(AnswerModel):
    """What the code is good for now. Not a promise: the value may be spent before it is charged; a hold is one."""

    usable: bool
    refusal: RefusalModel | None
    voucher_id: UUID
    organiser: str
    organiser_name: str
    programme: str
    programme_name: str
    unit: Unit
    step: int
    granted: int
    available: int
    held: int
    weekly_visits: int | None
    weekly_minutes: int | None
    used_visits: Annotated[int | None, Field(description="Of the week of the visit, by all providers, holds included")]
    used_minutes: int | None
    next_allowed_date: Annotated[date | None, Field(description="When the week is full: the next day with room")]
    valid_from: date
    valid_to: date
    initials: str | None
    municipality: str | None
    decision_ref: str
    decision_status: Literal["provisional", "confirmed"]
    task_types: Annotated[list[str], Field(description="What a visit may be for; none: it is not asked")]
    no_show_allowed: bool
    free_by_law: bool
    times_asked: Annotated[bool, Field(description="On weekdays the visit's times must be told when it is charged")]
    amount: Annotated[int | None, Field(description="Of the visit asked about; None without an amount and times")]
    voucher_pays_cents: int | None
    family_pays_cents: int | None
    rates: Annotated[list[RateModel] | None, Field(description="None when the programme has no value for a unit")]


class DebitRequest(ValidateRequest):
    """Two visits of a day that are alike and have no times are told apart by their `worker` or `reference`."""


class DebitAnswer(AnswerModel):
    """The visit is charged."""

    debit_id: UUID
    voucher_id: UUID
    organiser: str
    programme: str
    amount: int
    unit: Unit
    not_covered: Annotated[int, Field(description="Of what was asked, what the voucher could not pay")]
    service_date: date
    starts_at: datetime | None
    ends_at: datetime | None
    visit_type: VisitType
    task_type: str | None
    worker: str | None
    hold_id: UUID | None
    voucher_pays_cents: Annotated[int | None, Field(description="By the prices of the day; None: no value is set")]
    family_pays_cents: Annotated[int | None, Field(description="The own contribution, not_covered included")]
    entered_at: datetime
    reference: str | None
    available: int
    valid_to: date
    decision_ref: str
    decision_status: Literal["provisional", "confirmed"]


class ReverseRequest(RequestModel):
    amount: Annotated[Amount | None, Field(description="A part of the debit; all that is left of it when left out")] = (
        None
    )
    reason: Reason = None


class ReverseAnswer(AnswerModel):
    """The debit, or a part of it, is undone, and the value is back."""

    reversal_id: UUID
    debit_id: UUID
    voucher_id: UUID
    amount: int
    left: Annotated[int, Field(description="Of the debit, after this and earlier reversals")]
    unit: Unit
    entered_at: datetime
    available: int


class DebitResources(Protocol):
    @property
    def debit_group(self) -> DebitGroup: ...


async def post_validate(call: Call) -> Reply:
    """Say what a code is good for."""
    asked = call.body_as(ValidateRequest)
    order = code_order(call, asked, None)
    found = await operations.validate(call.resources.pool, _as_visit(order, asked))
    refusal = _refusal(found, call.language)
    known = {name: value for name, value in found.items() if name in ValidateAnswer.model_fields and name != "refusal"}
    names: Mapping[str, str] = found["programme_names"]
    return Reply(
        body=ValidateAnswer(
            **known, usable=refusal is None, refusal=refusal, programme_name=names.get(call.language, names["fi"])
        )
    )


async def post_debit(call: Call) -> Reply:
    """Charge a visit."""
    started = time.perf_counter()
    asked = call.body_as(DebitRequest)
    order = code_order(call, asked, required_claim(call))
    order = _as_visit(order, asked)
    group = cast(DebitResources, call.resources).debit_group
    verdict = await operations.debit(group, call.resources.pool, order)
    metrics.debit_s.labels("ok" if verdict.is_success else "refused").observe(time.perf_counter() - started)
    return verdict_reply(verdict)


async def post_reverse(call: Call) -> Reply:
    """Take a debit back."""
    asked = call.body_as(ReverseRequest)
    verdict = await operations.reverse(
        call.resources.pool,
        required_claim(call),
        credential_id=call.caller.key_id,
        entry_id=uuid7(),
        debit_id=call.path_id("debit_id", DebitNotFound),
        amount=asked.amount,
        reason=asked.reason,
        quiet=call.resources.settings.quiet_hours,
    )
    return verdict_reply(verdict)


def _as_visit(order: ChargeOrder, asked: ValidateRequest) -> ChargeOrder:
    return replace(
        order,
        visit_type=asked.visit_type,
        task_type=asked.task_type,
        worker=asked.worker,
        reference=asked.reference,
        partial=asked.on_insufficient == "partial",
        duplicate_ok=asked.allow_duplicate,
    )


def _refusal(found: Mapping[str, Any], language: str) -> RefusalModel | None:
    if found["refusal"] is None:
        return None
    error = error_of(found["refusal"])(**found["refusal_details"])
    words = problem(error.code, error.details, language)
    return RefusalModel(code=error.code, detail=words.detail, next_step=words.next_step)


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/validate",
        post_validate,
        permission="vouchers:validate",
        summary="What a code is good for, for how much, and what the family pays itself",
        body=ValidateRequest,
        answer=ValidateAnswer,
        errors=(CodeLength, CodeCheckDigit, *TIME_ERRORS, *CODE_REFUSALS, RulesChanging),
    ),
    Route(
        "POST",
        "/v1/debits",
        post_debit,
        permission="debits:write",
        summary="Charge a visit",
        body=DebitRequest,
        answer=DebitAnswer,
        status=201,
        errors=(
            CodeLength,
            CodeCheckDigit,
            *TIME_ERRORS,
            *CODE_REFUSALS,
            *VISIT_REFUSALS,
            RulesChanging,
            *MONEY_ERRORS,
        ),
        idempotency="required",
    ),
    Route(
        "POST",
        "/v1/debits/{debit_id}/reverse",
        post_reverse,
        permission="debits:write",
        summary="Take a debit, or a part of it, back before it is settled",
        body=ReverseRequest,
        answer=ReverseAnswer,
        status=201,
        errors=(DebitNotFound, AlreadyReversed, DebitSettled, ReversalAboveDebit, AmountNotInSteps, *MONEY_ERRORS),
        idempotency="required",
    ),
)
