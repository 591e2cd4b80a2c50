"""What a provider has charged: looked up page by page, summed, or all of it as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Literal, Protocol, cast
from uuid import UUID

from pydantic import Field

from service.debits import operations
from service.debits.history import (
    DebitState,
    HistoryBusy,
    HistoryFilter,
    HistoryPlace,
    HistoryTooWide,
    read_cursor,
    write_cursor,
)
from service.debits.operations import LongReads
from service.errors import InvalidRequest
from service.money import Unit
from service.web import AnswerModel, Call, QueryModel, Reply, Route, Stream

Text = Annotated[str | None, Field(min_length=1, max_length=100)]


class FilterQuery(QueryModel):
    service_from: Annotated[date | None, Field(description="The day of the visit in Finland")] = None
    service_to: Annotated[date | None, Field(description="… this day included")] = None
    entered_from: Annotated[date | None, Field(description="The day of the charge in Finland")] = None
    entered_to: Annotated[date | None, Field(description="… this day included")] = None
    programme: Text = None
    organiser: Text = None
    worker: Annotated[str | None, Field(min_length=1, max_length=100, description="Exactly as you told it")] = None
    state: DebitState | None = None
    last_four: Annotated[str | None, Field(pattern="^[0-9]{4}$", description="Of the code that was charged")] = None
    decision_ref: Text = None

    def asked(self) -> HistoryFilter:
        """Raises InvalidRequest for days that end before they begin: an empty list would hide the slip."""
        for first, last in (("service_from", "service_to"), ("entered_from", "entered_to")):
            begins, ends = getattr(self, first), getattr(self, last)
            if begins is not None and ends is not None and ends < begins:
                raise InvalidRequest(fields=[{"field": last, "reason": f"is before {first}"}])
        return HistoryFilter(**self.model_dump(exclude={"cursor", "limit"}))


class HistoryQuery(FilterQuery):
    cursor: Annotated[str | None, Field(max_length=40, description="`next_cursor` of the page before")] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


CentsLeft = Annotated[int | None, Field(description="After what was taken back; None: the programme has no price")]


class HistoryItem(AnswerModel):
    debit_id: UUID
    voucher_id: UUID
    organiser: str
    programme: str
    amount: int
    unit: Unit
    amount_left: Annotated[int, Field(description="After what was taken back")]
    reversed_amount: int
    reversed_at: Annotated[datetime | None, Field(description="The last time")]
    service_date: date
    starts_at: datetime | None
    ends_at: datetime | None
    visit_type: Literal["visit", "no_show"]
    task_type: str | None
    worker: str | None
    hold_id: UUID | None
    voucher_pays_cents: CentsLeft
    family_pays_cents: CentsLeft
    entered_at: datetime
    reference: str | None
    code_last_four: str
    decision_ref: str
    state: DebitState
    disputed: Annotated[bool, Field(description="Somebody says it was not so: not paid until resolved")]


class HistoryAnswer(AnswerModel):
    """Newest first; by the day of the visit when days of service are asked for, else by the charge."""

    debits: Sequence[HistoryItem]
    next_cursor: Annotated[str | None, Field(description="There when there is more")]


class SumModel(AnswerModel):
    unit: Unit
    debits: Annotated[int, Field(description="How many")]
    amount: Annotated[int, Field(description="Charged, in the unit")]
    reversed_amount: Annotated[int, Field(description="Of that taken back")]
    voucher_pays_cents: CentsLeft
    family_pays_cents: CentsLeft


class ProgrammeSumModel(SumModel):
    programme: str


class SumsAnswer(AnswerModel):
    """Amounts of different units cannot be added: one line for each."""

    by_unit: Sequence[SumModel]
    by_programme: Sequence[ProgrammeSumModel]


class HistoryResources(Protocol):
    @property
    def long_reads(self) -> LongReads: ...


async def get_debits(call: Call) -> Reply:
    """The provider's own debits, by any of the filters; pass `next_cursor` on as `cursor`, with the same filters."""
    query = call.query_as(HistoryQuery)
    asked = query.asked()
    found = await operations.history(
        call.resources.pool,
        provider_id=call.caller.owner_id,
        asked=asked,
        after=_place(query.cursor, asked),
        limit=query.limit + 1,
    )
    page = found[: query.limit]
    more = len(found) > query.limit
    return Reply(
        body=HistoryAnswer(
            debits=[HistoryItem.model_validate(line, from_attributes=True) for line in page],
            next_cursor=write_cursor(page[-1].place_in(asked.order)) if more else None,
        )
    )


async def get_debit_sums(call: Call) -> Reply:
    """What the debits that the filters find come to."""
    sums = await operations.history_sums(
        call.resources.pool,
        cast(HistoryResources, call.resources).long_reads,
        provider_id=call.caller.owner_id,
        asked=call.query_as(FilterQuery).asked(),
    )
    return Reply(
        body=SumsAnswer(
            by_unit=[SumModel.model_validate(each, from_attributes=True) for each in sums if each.programme is None],
            by_programme=[
                ProgrammeSumModel.model_validate(each, from_attributes=True)
                for each in sums
                if each.programme is not None
            ],
        )
    )


async def get_debits_csv(call: Call) -> Stream:
    """All debits that the filters find, as they were in one moment: the columns of the list, with a line of names.

    When it breaks off (the database went away, or nobody read for ten seconds) the connection is cut, and the last
    chunk of the transfer is missing: take no such file for whole.
    """
    chunks = operations.export_history(
        call.resources.pool,
        cast(HistoryResources, call.resources).long_reads,
        provider_id=call.caller.owner_id,
        asked=call.query_as(FilterQuery).asked(),
    )
    return Stream(
        chunks,
        content_type="text/csv; charset=utf-8; header=present",
        headers={"Content-Disposition": 'attachment; filename="debits.csv"'},
    )


def _place(cursor: str | None, asked: HistoryFilter) -> HistoryPlace | None:
    """A cursor is a place in an order, and good with every filter that has the same one."""
    if cursor is None:
        return None
    place = read_cursor(cursor)
    if place is None or place.order is not asked.order:
        raise InvalidRequest(fields=[{"field": "cursor", "reason": "not a next_cursor of a list with these days"}])
    return place


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/v1/debits",
        get_debits,
        permission="debits:read",
        summary="Your debits, newest first",
        query=HistoryQuery,
        answer=HistoryAnswer,
        errors=(HistoryTooWide,),
    ),
    Route(
        "GET",
        "/v1/debits/sums",
        get_debit_sums,
        permission="debits:read",
        summary="What your debits come to",
        query=FilterQuery,
        answer=SumsAnswer,
        errors=(HistoryTooWide, HistoryBusy),
    ),
    Route(
        "GET",
        "/v1/debits.csv",
        get_debits_csv,
        permission="debits:read",
        summary="Your debits as a table",
        query=FilterQuery,
        streams="text/csv",
        errors=(HistoryTooWide, HistoryBusy),
    ),
)
