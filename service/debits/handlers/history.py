"""What a provider has charged: looked up."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from service.debits import operations
from service.money import Unit
from service.web import AnswerModel, Call, QueryModel, Reply, Route


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
    state: Literal["captured", "partly_reversed", "reversed"]
    reversed_at: datetime | None


class HistoryAnswer(AnswerModel):
    """Newest first. `next_cursor` is there when there is more."""

    debits: list[HistoryItem]
    next_cursor: UUID | None


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
            state=_state(row["amount"], row["reversed"]),
            reversed_at=row["reversed_at"],
        )
        for row in rows[: asked.limit]
    ]
    more = len(rows) > asked.limit
    return Reply(body=HistoryAnswer(debits=items, next_cursor=items[-1].debit_id if more else None))


def _state(amount: int, reversed_amount: int) -> Literal["captured", "partly_reversed", "reversed"]:
    if reversed_amount == 0:
        return "captured"
    return "reversed" if reversed_amount == amount else "partly_reversed"


ROUTES: tuple[Route, ...] = (
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
