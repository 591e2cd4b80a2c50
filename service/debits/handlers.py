"""What providers call: validate, debit, reverse, history."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, Protocol, cast
from uuid import UUID

from pydantic import Field
from uuid_utils.compat import uuid7

from service import metrics
from service.debits import operations
from service.debits.model import (
    CODE_REFUSALS,
    DEBIT_REFUSALS,
    LATE_ENTRY_DAYS,
    AlreadyReversed,
    DebitNotFound,
    DebitOrder,
    error_of,
)
from service.debits.operations import DebitGroup, Verdict
from service.errors import IdempotencyKeyReused, InvalidRequest, OutcomeUnknown, RequestInFlight
from service.idempotency import Claim
from service.money import MAX_AMOUNT, Unit
from service.problems import problem
from service.vouchers.codes import CodeCheckDigit, CodeLength, normalise_code
from service.web import AnswerModel, Call, QueryModel, Reply, RequestModel, Route, problem_reply

# A voucher's longest validity (vouchers/decisions.py) and the days of late entry after it.
OLDEST_VISIT = timedelta(days=3 * 365 + 1 + LATE_ENTRY_DAYS)

Amount = Annotated[
    int, Field(gt=0, le=MAX_AMOUNT, description="Whole cents, minutes, visits or sessions, as the programme counts")
]
Code = Annotated[str, Field(min_length=1, max_length=64, description="The family's code; spaces and dashes are fine")]
ServiceDate = Annotated[date | None, Field(description="The day of the visit in Finland; today when left out")]


class ValidateRequest(RequestModel):
    code: Code
    amount: Amount | None = None
    service_date: ServiceDate = None


class RefusalModel(AnswerModel):
    code: str
    detail: str
    next_step: str


class ValidateAnswer(AnswerModel):
    """What the code is good for now. Not a promise: the value may be spent before it is charged."""

    usable: bool
    refusal: RefusalModel | None
    voucher_id: UUID
    organiser: str
    organiser_name: str
    programme: str
    programme_name: str
    unit: Unit
    step: int
    unit_value_cents: int | None
    granted: int
    available: int
    weekly_visits: int | None
    weekly_minutes: int | None
    valid_from: date
    valid_to: date
    initials: str | None
    municipality: str | None
    decision_ref: str
    decision_status: Literal["provisional", "confirmed"]


class DebitRequest(RequestModel):
    code: Code
    amount: Amount
    service_date: ServiceDate = None
    reference: Annotated[str, Field(min_length=1, max_length=100, description="Your own, for your books")] | None = None


class DebitAnswer(AnswerModel):
    """The visit is charged."""

    debit_id: UUID
    voucher_id: UUID
    organiser: str
    programme: str
    amount: int
    unit: Unit
    service_date: date
    entered_at: datetime
    reference: str | None
    available: int
    valid_to: date
    decision_ref: str
    decision_status: Literal["provisional", "confirmed"]


class ReverseRequest(RequestModel):
    reason: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class ReverseAnswer(AnswerModel):
    """The debit is undone, and the value is back."""

    reversal_id: UUID
    debit_id: UUID
    voucher_id: UUID
    amount: int
    unit: Unit
    entered_at: datetime
    available: int


class HistoryQuery(QueryModel):
    cursor: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class HistoryItem(AnswerModel):
    debit_id: UUID
    voucher_id: UUID
    organiser: str
    programme: str
    amount: int
    unit: Unit
    service_date: date
    entered_at: datetime
    reference: str | None
    code_last_four: str
    decision_ref: str
    state: Literal["captured", "reversed"]
    reversed_at: datetime | None


class HistoryAnswer(AnswerModel):
    """Newest first. `next_cursor` is there when there is more."""

    debits: list[HistoryItem]
    next_cursor: UUID | None


class DebitResources(Protocol):
    @property
    def debit_group(self) -> DebitGroup: ...


async def post_validate(call: Call) -> Reply:
    """Say what a code is good for."""
    asked = call.body_as(ValidateRequest)
    _check_service_date(asked.service_date)
    index, previous = _code_indexes(call, asked.code)
    found = await operations.validate(
        call.resources.pool,
        provider_id=call.caller.owner_id,
        credential_id=call.caller.key_id,
        code_index=index,
        previous_code_index=previous,
        amount=asked.amount,
        service_date=asked.service_date,
    )
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
    _check_service_date(asked.service_date)
    index, previous = _code_indexes(call, asked.code)
    claim = _claim(call)
    order = DebitOrder(
        provider_id=call.caller.owner_id,
        credential_id=call.caller.key_id,
        key=claim.key,
        fingerprint=claim.fingerprint,
        previous_fingerprint=claim.previous_fingerprint,
        code_index=index,
        previous_code_index=previous,
        entry_id=uuid7(),
        amount=asked.amount,
        service_date=asked.service_date,
        reference=asked.reference,
        language=call.language,
        quiet=call.resources.settings.quiet_hours,
    )
    group = cast(DebitResources, call.resources).debit_group
    verdict = await operations.debit(group, call.resources.pool, order)
    metrics.debit_s.labels("ok" if verdict.is_success else "refused").observe(time.perf_counter() - started)
    return _verdict_reply(verdict)


async def post_reverse(call: Call) -> Reply:
    """Take a debit back."""
    asked = call.body_as(ReverseRequest)
    claim = _claim(call)
    verdict = await operations.reverse(
        call.resources.pool,
        provider_id=call.caller.owner_id,
        credential_id=call.caller.key_id,
        key=claim.key,
        fingerprint=claim.fingerprint,
        previous_fingerprint=claim.previous_fingerprint,
        entry_id=uuid7(),
        debit_id=call.path_id("debit_id", DebitNotFound),
        reason=asked.reason,
        language=call.language,
        quiet=call.resources.settings.quiet_hours,
    )
    return _verdict_reply(verdict)


async def get_debits(call: Call) -> Reply:
    """The provider's own debits."""
    asked = call.query_as(HistoryQuery)
    rows = await operations.history(
        call.resources.pool, provider_id=call.caller.owner_id, before=asked.cursor, limit=asked.limit + 1
    )
    items = [
        HistoryItem(
            debit_id=row["entry_id"],
            voucher_id=row["voucher_id"],
            organiser=row["organiser"],
            programme=row["programme"],
            amount=row["amount"],
            unit=row["unit"],
            service_date=row["service_date"],
            entered_at=row["entered_at"],
            reference=row["reference"],
            code_last_four=row["last_four"],
            decision_ref=row["decision_ref"],
            state="reversed" if row["reversed_by"] else "captured",
            reversed_at=row["reversed_at"],
        )
        for row in rows[: asked.limit]
    ]
    more = len(rows) > asked.limit
    return Reply(body=HistoryAnswer(debits=items, next_cursor=items[-1].debit_id if more else None))


def _check_service_date(day: date | None) -> None:
    """A year that slipped is a typo: told before anything is looked up, and no guess at a code."""
    today = datetime.now(UTC).date()
    if day is not None and not today - OLDEST_VISIT <= day <= today + timedelta(days=2):
        raise InvalidRequest(fields=[{"field": "service_date", "reason": "no day on which a visit could have been"}])


def _code_indexes(call: Call, text: str) -> tuple[bytes, bytes | None]:
    code = normalise_code(text, digits=call.resources.settings.code_digits)
    index = call.resources.keys.index
    return index.current("code", code), index.previous("code", code)


def _claim(call: Call) -> Claim:
    claim = call.claim()
    assert claim is not None, "the route requires an Idempotency-Key"
    return claim


def _verdict_reply(verdict: Verdict) -> Reply:
    headers = {"Idempotent-Replayed": "true"} if verdict.replayed else {}
    if verdict.is_success:
        return Reply(status=201, body=verdict.answer.encode(), headers=headers)
    metrics.debit_refusals.labels(verdict.outcome).inc()
    reply = problem_reply(verdict.error(), verdict.language)
    return Reply(
        status=reply.status, body=reply.body, content_type=reply.content_type, headers={**reply.headers, **headers}
    )


def _refusal(found: Mapping[str, Any], language: str) -> RefusalModel | None:
    if found["refusal"] is None:
        return None
    error = error_of(found["refusal"])(**found["refusal_details"])
    words = problem(error.code, error.details, language)
    return RefusalModel(code=error.code, detail=words.detail, next_step=words.next_step)


MONEY_ERRORS = (IdempotencyKeyReused, RequestInFlight, OutcomeUnknown)

ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/validate",
        post_validate,
        permission="vouchers:validate",
        summary="What a code is good for, and for how much",
        body=ValidateRequest,
        answer=ValidateAnswer,
        errors=(CodeLength, CodeCheckDigit, *CODE_REFUSALS),
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
        errors=(CodeLength, CodeCheckDigit, *CODE_REFUSALS, *DEBIT_REFUSALS, *MONEY_ERRORS),
        idempotency="required",
    ),
    Route(
        "POST",
        "/v1/debits/{debit_id}/reverse",
        post_reverse,
        permission="debits:write",
        summary="Take a debit back before it is settled",
        body=ReverseRequest,
        answer=ReverseAnswer,
        status=201,
        errors=(DebitNotFound, AlreadyReversed, *MONEY_ERRORS),
        idempotency="required",
    ),
    Route(
        "GET",
        "/v1/debits",
        get_debits,
        permission="debits:read",
        summary="Your debits, newest first",
        query=HistoryQuery,
        answer=HistoryAnswer,
    ),
)
