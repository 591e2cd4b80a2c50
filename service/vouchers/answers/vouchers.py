"""The JSON of decisions and vouchers: what comes in, what goes out, and how one is made from the other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from service.channels.gateway import ChannelName
from service.channels.languages import LanguageCode
from service.channels.suppressions import SuppressionReason
from service.money import MAX_AMOUNT, Unit
from service.vouchers.answers.changes import (
    CapVersionAnswer,
    DecisionVersionAnswer,
    OpenHoldsAnswer,
    ValueChangeAnswer,
)
from service.vouchers.changes import AskedChange, Cap, VoucherHistory
from service.vouchers.decisions import (
    CONTACT_MAX,
    INITIALS_MAX,
    MAX_WEEKLY,
    MUNICIPALITY_MAX,
    REF_MAX,
    PostedDecision,
)
from service.vouchers.model import (
    REASON_MAX,
    ContactChange,
    DecisionStatus,
    Issued,
    ShownState,
    Voucher,
    VoucherView,
)
from service.web import AnswerModel, QueryModel, RequestModel

Ref = Annotated[str, Field(min_length=1, max_length=REF_MAX)]
Contact = Annotated[str, Field(min_length=1, max_length=CONTACT_MAX)]
ReasonText = Annotated[str, Field(min_length=1, max_length=REASON_MAX, description="Kept in the audit log")]
Weekly = Annotated[int, Field(gt=0, le=MAX_WEEKLY)]
CAPS = ("weekly_visits", "weekly_minutes")


class BeneficiaryModel(RequestModel):
    """The family: a mobile phone, an e-mail address, or both; with both the phone is tried first, or the preferred."""

    phone: Contact | None = None
    email: Contact | None = None
    preferred: ChannelName | None = None
    language: LanguageCode | None = None
    initials: Annotated[str, Field(max_length=INITIALS_MAX, description="Shown to providers")] | None = None
    municipality: Annotated[str, Field(max_length=MUNICIPALITY_MAX, description="Shown to providers")] | None = None


class WeeklyModel(RequestModel):
    """The most that may be used in one week, Monday to Sunday. Without either, what the programme says."""

    visits: Weekly | None = None
    minutes: Weekly | None = None


class DecisionRequest(RequestModel):
    """An approved decision. The same decision_ref with the same content may be sent again at any time."""

    decision_ref: Annotated[Ref, Field(description="The decision's number in the case system; providers see it")]
    programme: Annotated[str, Field(min_length=1, max_length=40)]
    status: DecisionStatus
    client_ref: Annotated[Ref, Field(description="Opaque; never a personal identity code")]
    beneficiary: BeneficiaryModel
    granted: Annotated[int, Field(gt=0, le=MAX_AMOUNT, description="Whole cents, minutes, visits or sessions")]
    weekly: WeeklyModel | None = None
    valid_from: date
    valid_to: Annotated[date, Field(description="The last day of validity, until midnight in Finland")]

    def posted(self) -> PostedDecision:
        family, weekly = self.beneficiary, self.weekly or WeeklyModel()
        return PostedDecision(
            decision_ref=self.decision_ref,
            programme=self.programme,
            status=self.status.value,
            client_ref=self.client_ref,
            phone=family.phone,
            email=family.email,
            language=family.language,
            initials=family.initials,
            municipality=family.municipality,
            granted=self.granted,
            weekly_visits=weekly.visits,
            weekly_minutes=weekly.minutes,
            valid_from=self.valid_from,
            valid_to=self.valid_to,
            preferred=family.preferred,
        )


class DecisionAnswer(AnswerModel):
    """The voucher of the decision, and the message that tells the family its code."""

    decision_ref: str
    decision_status: DecisionStatus
    voucher_id: UUID
    state: ShownState
    message_id: UUID
    message_state: str
    programme: str
    unit: Unit
    granted: int
    available: int
    valid_from: date
    valid_to: date

    @classmethod
    def of(cls, issued: Issued, voucher: Voucher, today: date) -> DecisionAnswer:
        return cls(
            decision_ref=voucher.decision_ref,
            decision_status=voucher.status,
            voucher_id=voucher.voucher_id,
            state=voucher.shown_state(today),
            message_id=issued.message_id,
            message_state=issued.message_state,
            programme=voucher.programme,
            unit=voucher.unit,
            granted=voucher.granted,
            available=voucher.available,
            valid_from=voucher.valid_from,
            valid_to=voucher.valid_to,
        )


class ReasonRequest(RequestModel):
    reason: ReasonText


class CancelRequest(RequestModel):
    reason: ReasonText
    from_date: Annotated[
        date | None,
        Field(
            description="The first day that is not paid any more; today if none. Another one corrects the day of a "
            "voucher that is cancelled and not closed"
        ),
    ] = None


class ChangeRequest(RequestModel):
    """A later decision: what is left out stays. The same decision_ref with the same content changes nothing."""

    decision_ref: Annotated[Ref, Field(description="The later decision's own number in the case system")]
    reason: ReasonText
    from_date: Annotated[date | None, Field(description="The day it begins on; today if none")] = None
    granted: Annotated[
        int | None, Field(gt=0, le=MAX_AMOUNT, description="The new total, what is used of it included")
    ] = None
    weekly_visits: Annotated[Weekly | None, Field(description="For visits from from_date on; null lifts the cap")] = (
        None
    )
    weekly_minutes: Annotated[Weekly | None, Field(description="As weekly_visits")] = None
    valid_to: Annotated[date | None, Field(description="The new last day, later than before")] = None

    @model_validator(mode="after")
    def _has_a_change(self) -> Self:
        if self.granted is None and self.valid_to is None and not self.model_fields_set & {*CAPS}:
            raise PydanticCustomError("no_change", "a new granted, weekly_visits, weekly_minutes or valid_to is needed")
        if not self.decision_ref.isprintable():
            raise PydanticCustomError("unprintable", "decision_ref: printable characters only")
        return self

    def asked(self) -> AskedChange:
        caps = {name: Cap(getattr(self, name)) for name in CAPS if name in self.model_fields_set}
        return AskedChange(
            decision_ref=self.decision_ref,
            from_date=self.from_date,
            granted=self.granted,
            weekly_visits=caps.get("weekly_visits"),
            weekly_minutes=caps.get("weekly_minutes"),
            valid_to=self.valid_to,
        )


class ContactRequest(RequestModel):
    """What is given replaces what was, null removes it, what is left out stays; the code is replaced too."""

    phone: Contact | None = None
    email: Contact | None = None
    language: LanguageCode | None = None
    preferred: ChannelName | None = None
    reason: ReasonText

    @model_validator(mode="after")
    def _has_a_change(self) -> Self:
        if not self.model_fields_set & {"phone", "email", "language", "preferred"}:
            raise PydanticCustomError("no_contact_change", "a phone, email, language or preferred is needed")
        return self

    def change(self) -> ContactChange:
        removed = {name for name in ("phone", "email") if name in self.model_fields_set and getattr(self, name) is None}
        return ContactChange(self.phone, self.email, self.language, self.preferred, frozenset(removed))


class LiftRequest(RequestModel):
    """Say why. After a STOP only if the family has asked for it: the STOP may have been said to another organiser."""

    channel: ChannelName
    reason: ReasonText
    asked_by_family: Annotated[bool, Field(description="Needed after a STOP; it is recorded who said so")] = False


class SearchRequest(RequestModel):
    """By phone. It is in the body, because addresses are logged all over the world."""

    phone: Contact
    cursor: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class VouchersQuery(QueryModel):
    decision_ref: Ref | None = None
    client_ref: Ref | None = None
    cursor: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class SupersededCode(AnswerModel):
    last_four: str
    created_at: datetime
    superseded_at: datetime | None


class VoucherSummary(AnswerModel):
    """A voucher in a list. Amounts are in the programme's unit."""

    voucher_id: UUID
    state: ShownState
    decision_ref: str
    decision_status: DecisionStatus
    client_ref: str
    programme: str
    unit: Unit
    granted: int
    available: int
    held: int
    debited: int
    expired: int
    cancelled: int
    weekly_visits: int | None
    weekly_minutes: int | None
    valid_from: date
    valid_to: date
    cancelled_from: date | None
    late_entry_stopped: Annotated[
        bool,
        Field(description="Cancelled, and suspended besides: earlier visits are refused, too, until it is resumed"),
    ]
    created_at: datetime
    confirmed_at: datetime | None

    @classmethod
    def of(cls, voucher: Voucher, today: date) -> VoucherSummary:
        return cls.model_validate(summary_fields(voucher, voucher.shown_state(today)))


class VoucherList(AnswerModel):
    """Newest first. `next_cursor` is there when there is more."""

    vouchers: Sequence[VoucherSummary]
    next_cursor: UUID | None

    @classmethod
    def of(cls, vouchers: Sequence[Voucher], *, limit: int, today: date) -> VoucherList:
        """From one voucher more than the page holds, if there are that many."""
        page = vouchers[:limit]
        return cls(
            vouchers=[VoucherSummary.of(voucher, today) for voucher in page],
            next_cursor=page[-1].voucher_id if len(vouchers) > limit else None,
        )


class SuppressionAnswer(AnswerModel):
    """Why nothing is sent to the voucher's contact of a channel: `opted_out` (they texted STOP) and the like."""

    channel: ChannelName
    reason: SuppressionReason
    since: datetime


class VoucherAnswer(VoucherSummary):
    """A voucher as its organiser sees it: hints of the contacts, the last digits of the codes."""

    phone_hint: str | None
    email_hint: str | None
    language: LanguageCode
    preferred: ChannelName
    initials: str | None
    municipality: str | None
    code_last_four: str
    superseded_codes: Sequence[SupersededCode]
    suppressions: Sequence[SuppressionAnswer]
    open_holds: OpenHoldsAnswer
    later_decisions: Annotated[Sequence[DecisionVersionAnswer], Field(description="Oldest first")]
    value_changes: Annotated[Sequence[ValueChangeAnswer], Field(description="Besides charges; oldest first")]
    cap_versions: Annotated[Sequence[CapVersionAnswer], Field(description="By their first day")]

    @classmethod
    def of_view(cls, view: VoucherView, history: VoucherHistory) -> VoucherAnswer:
        live, *superseded = view.codes
        return cls.model_validate(
            summary_fields(view.voucher, view.state)
            | {
                "phone_hint": view.phone_hint,
                "email_hint": view.email_hint,
                "language": view.language,
                "preferred": view.preferred,
                "initials": view.initials,
                "municipality": view.municipality,
                "code_last_four": live.last_four,
                "superseded_codes": [
                    SupersededCode(
                        last_four=code.last_four, created_at=code.created_at, superseded_at=code.superseded_at
                    )
                    for code in superseded
                ],
                "suppressions": [
                    SuppressionAnswer(channel=found.channel, reason=found.reason, since=found.since)
                    for found in view.suppressions
                ],
                "open_holds": OpenHoldsAnswer.of(history.holds),
                "later_decisions": [DecisionVersionAnswer.of(version) for version in history.versions],
                "value_changes": [ValueChangeAnswer.of(change) for change in history.value_changes],
                "cap_versions": [CapVersionAnswer.of(caps) for caps in history.caps],
            }
        )


class ChangeAnswer(VoucherSummary):
    """The voucher after a change. Kept with its Idempotency-Key for ever, so there is nothing of the family in it."""

    code_last_four: str
    message_id: Annotated[UUID | None, Field(description="The message that this call has queued")] = None

    @classmethod
    def of_view(cls, view: VoucherView, message_id: UUID | None) -> ChangeAnswer:
        live = view.codes[0]
        return cls.model_validate(
            summary_fields(view.voucher, view.state) | {"code_last_four": live.last_four, "message_id": message_id}
        )


def summary_fields(voucher: Voucher, state: ShownState) -> dict[str, object]:
    names = VoucherSummary.model_fields.keys() - {"state", "decision_status"}
    return {name: getattr(voucher, name) for name in names} | {"state": state, "decision_status": voucher.status}
