"""The JSON of what has happened to a voucher besides charges, and of what is held of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from service.vouchers.changes import CapVersion, DecisionVersion, OpenHold, ValueChange
from service.web import AnswerModel


class OpenHoldAnswer(AnswerModel):
    hold_id: UUID
    provider: str
    amount: int
    service_date: date
    starts_at: datetime | None
    ends_at: datetime | None
    lapses_at: datetime


class OpenHoldsAnswer(AnswerModel):
    """What providers keep for visits that are booked."""

    count: int
    amount: int
    holds: Annotated[Sequence[OpenHoldAnswer], Field(description="By the day of the visit")]

    @classmethod
    def of(cls, holds: Sequence[OpenHold]) -> OpenHoldsAnswer:
        return cls(
            count=len(holds),
            amount=sum(hold.amount for hold in holds),
            holds=[OpenHoldAnswer.model_validate(asdict(hold)) for hold in holds],
        )


class CapVersionAnswer(AnswerModel):
    """The most of a week, for visits from a day on."""

    from_date: date
    weekly_visits: int | None
    weekly_minutes: int | None

    @classmethod
    def of(cls, caps: CapVersion) -> CapVersionAnswer:
        return cls(from_date=caps.starts_on, weekly_visits=caps.weekly_visits, weekly_minutes=caps.weekly_minutes)


class ValueChangeAnswer(AnswerModel):
    """Raised or lowered by a later decision, or returned to the budget."""

    kind: Annotated[str, Field(description="raised, lowered, expired or cancelled")]
    amount: int
    effective_on: date
    decision_ref: str | None
    actor: str
    reason: str | None
    recorded_at: datetime

    @classmethod
    def of(cls, change: ValueChange) -> ValueChangeAnswer:
        return cls.model_validate(asdict(change))


class DecisionVersionAnswer(AnswerModel):
    """A later decision. `changes` says which of the following it has set; a cap of null is lifted."""

    decision_ref: str
    from_date: date
    changes: Sequence[str]
    granted: int | None
    weekly_visits: int | None
    weekly_minutes: int | None
    valid_to: date | None
    state: Annotated[str, Field(description="waiting for its day, applied, or dropped because the voucher had ended")]
    granted_after: Annotated[int | None, Field(description="More than asked when so much was used by its day")]
    reason: str
    actor: str
    created_at: datetime

    @classmethod
    def of(cls, version: DecisionVersion) -> DecisionVersionAnswer:
        asked = version.asked
        names = ("granted", "weekly_visits", "weekly_minutes", "valid_to")
        return cls(
            decision_ref=asked.decision_ref,
            from_date=version.starts_on,
            changes=[name for name in names if getattr(asked, name) is not None],
            granted=asked.granted,
            weekly_visits=asked.weekly_visits.limit if asked.weekly_visits else None,
            weekly_minutes=asked.weekly_minutes.limit if asked.weekly_minutes else None,
            valid_to=asked.valid_to,
            state=version.outcome or "waiting",
            granted_after=version.granted_after,
            reason=version.reason,
            actor=version.created_by,
            created_at=version.created_at,
        )
