"""What requests that charge, hold and validate have in common: a code, a visit, and a verdict to tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from service import metrics
from service.debits.model import ChargeOrder, VisitDayDiffers
from service.debits.operations import Verdict, order_under, question
from service.debits.tariffs import (
    VisitTimeAmbiguous,
    VisitTimeMalformed,
    VisitTimesBackwards,
    VisitTimesIncomplete,
    VisitTimeSkipped,
    VisitTooLong,
    read_visit_times,
)
from service.errors import IdempotencyKeyReused, InvalidRequest, OutcomeUnknown, RequestInFlight
from service.idempotency import Claim
from service.money import MAX_AMOUNT
from service.vouchers.codes import normalise_code
from service.vouchers.decisions import helsinki_day
from service.web import Call, Reply, RequestModel, problem_reply

# A voucher's longest validity (vouchers/decisions.py) and the days of late entry after it.
OLDEST_VISIT = timedelta(days=3 * 365 + 1 + 366)
FARTHEST_VISIT = timedelta(days=4 * 366)
TIME_ERRORS = (
    *(VisitTimesIncomplete, VisitTimeMalformed, VisitTimeSkipped, VisitTimeAmbiguous),
    *(VisitTimesBackwards, VisitTooLong, VisitDayDiffers),
)
MONEY_ERRORS = (IdempotencyKeyReused, RequestInFlight, OutcomeUnknown)


def printable(text: str | None) -> str | None:
    """Histories show these beside other words, which a mark that turns the direction of writing would rearrange."""
    if text is not None and not text.isprintable():
        raise PydanticCustomError("unprintable", "printable characters only")
    return text


Amount = Annotated[
    int, Field(gt=0, le=MAX_AMOUNT, description="Whole cents, minutes, visits or sessions, as the programme counts")
]
Code = Annotated[str, Field(min_length=1, max_length=64, description="The family's code; spaces and dashes are fine")]
ServiceDate = Annotated[date | None, Field(description="The day of the visit in Finland; today when left out")]
VisitTime = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=40,
        description="ISO 8601, to the minute; by the clock in Finland when it has no offset. Both times, or neither",
    ),
]
TaskType = Annotated[str | None, Field(min_length=1, max_length=40, description="One of the programme's task_types")]
Worker = Annotated[
    str | None,
    Field(min_length=1, max_length=100, description="Your own word for who made the visit"),
    AfterValidator(printable),
]
Reference = Annotated[
    str | None,
    Field(min_length=1, max_length=100, description="Your own, for your books"),
    AfterValidator(printable),
]
Reason = Annotated[str | None, Field(min_length=1, max_length=200)]


class VisitTimes(RequestModel):
    starts_at: VisitTime = None
    ends_at: VisitTime = None

    def read(self) -> tuple[datetime, datetime] | None:
        """Raises what tariffs raise for times that cannot be, or for half of them."""
        return read_visit_times(self.starts_at, self.ends_at)


class CodeVisit(VisitTimes):
    code: Code
    amount: Amount | None = None
    service_date: ServiceDate = None


def code_order(call: Call, asked: CodeVisit, claim: Claim | None) -> ChargeOrder:
    """The order that a request with a code asks for, its slips told before anything is looked up: no guess at a code.

    Raises InvalidRequest, VisitDayDiffers, CodeLength, CodeCheckDigit, and what tariffs raise for times that cannot be.
    """
    times = asked.read()
    service_date = asked.service_date
    if times is not None:
        day = helsinki_day(times[0])
        if service_date not in (None, day):
            raise VisitDayDiffers(day=str(day), service_date=str(service_date))
        service_date = day
    today = datetime.now(UTC).date()
    if service_date is not None and not today - OLDEST_VISIT <= service_date <= today + FARTHEST_VISIT:
        field = "service_date" if times is None else "starts_at"
        raise InvalidRequest(fields=[{"field": field, "reason": "no day on which a visit could have been"}])
    code = normalise_code(asked.code, digits=call.resources.settings.code_digits)
    index = call.resources.keys.index
    starts_at, ends_at = times or (None, None)
    claim = claim or question(call.caller.owner_id, call.language)
    return replace(
        order_under(claim, call.caller.key_id),
        code_index=index.current("code", code),
        previous_code_index=index.previous("code", code),
        amount=asked.amount,
        service_date=service_date,
        starts_at=starts_at,
        ends_at=ends_at,
    )


def required_claim(call: Call) -> Claim:
    claim = call.claim()
    assert claim is not None, "the route requires an Idempotency-Key"
    return claim


def verdict_reply(verdict: Verdict, *, status: int = 201) -> Reply:
    """The answer of a success, or the refusal in the language in which it was first told."""
    headers = {"Idempotent-Replayed": "true"} if verdict.replayed else {}
    if verdict.is_success:
        return Reply(status=status, body=verdict.answer.encode(), headers=headers)
    metrics.debit_refusals.labels(verdict.outcome).inc()
    reply = problem_reply(verdict.error(), verdict.language)
    return Reply(
        status=reply.status, body=reply.body, content_type=reply.content_type, headers={**reply.headers, **headers}
    )
