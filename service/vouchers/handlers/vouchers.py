"""What an organiser's case system calls: decisions in, and what a caseworker does to a voucher and its messages."""

from __future__ import annotations

from datetime import date
from typing import Protocol, cast
from uuid import UUID

from service.channels.contacts import EmailInvalid, PhoneNotMobile, parse_mobile
from service.channels.operations import Delivery, list_pauses
from service.db import Connection, autocommit, transaction
from service.identity_codes import PersonalIdentityCode
from service.organisers.model import Organiser, ProgrammeUnknown
from service.organisers.operations import find_programme, organiser_by_id
from service.vouchers import operations
from service.vouchers.answers.timeline import TimelineAnswer
from service.vouchers.answers.vouchers import (
    ContactRequest,
    DecisionAnswer,
    DecisionRequest,
    LiftRequest,
    ReasonRequest,
    SearchRequest,
    VoucherAnswer,
    VoucherList,
    VouchersQuery,
)
from service.vouchers.decisions import read_decision
from service.vouchers.handlers.actions import action, change_once, helsinki_today, path_voucher
from service.vouchers.model import (
    ContactMissing,
    DecisionDiffers,
    GrantedNotInSteps,
    Search,
    TooManyResends,
    ValidityBackwards,
    ValidityFarOff,
    ValidityOver,
    ValidityTooLong,
    VoucherUnknown,
    WeeklyNotInSteps,
)
from service.vouchers.operations import Sent
from service.web import Call, EdgeResources, Reply, Route


class DeliveringResources(EdgeResources, Protocol):
    @property
    def delivery(self) -> Delivery: ...


async def post_decision(call: Call) -> Reply:
    """Grant a decision in one transaction; the worker is woken after the commit. The answer never holds the code."""
    body, resources, today = call.body_as(DecisionRequest), call.resources, helsinki_today()
    async with transaction(resources.pool) as conn:
        organiser = await organiser_by_id(conn, call.caller.owner_id)
        decision = read_decision(
            body.posted(),
            await find_programme(conn, organiser.organiser_id, body.programme),
            default_language=organiser.default_language,
            countries=resources.settings.sms_countries,
        )
        issued = await operations.issue_voucher(
            conn,
            resources.keys,
            decision,
            organiser=organiser,
            created_by=call.caller.actor,
            today=today,
            code_digits=resources.settings.code_digits,
        )
        voucher = await operations.find_voucher(conn, organiser_id=organiser.organiser_id, voucher_id=issued.voucher_id)
    if issued.created:
        resources.wakeups.wake(issued.message_id)
    return Reply(status=201 if issued.created else 200, body=DecisionAnswer.of(issued, voucher, today))


async def get_voucher(call: Call) -> Reply:
    """One voucher; another organiser's is answered like one that does not exist."""
    async with autocommit(call.resources.pool) as conn:
        organiser_id, voucher_id = call.caller.owner_id, path_voucher(call)
        view = await operations.voucher_view(
            conn, call.resources.keys, organiser_id=organiser_id, voucher_id=voucher_id, today=helsinki_today()
        )
        history = await operations.voucher_history(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    return Reply(body=VoucherAnswer.of_view(view, history))


async def get_vouchers(call: Call) -> Reply:
    """A page of vouchers, newest first; pass `next_cursor` on as `cursor`."""
    query = call.query_as(VouchersQuery)
    search = Search(decision_ref=query.decision_ref, client_ref=query.client_ref)
    return await _list(call, search, query.cursor, query.limit)


async def search_vouchers(call: Call) -> Reply:
    """A page of the vouchers whose family has this phone number now."""
    body = call.body_as(SearchRequest)
    search = Search(phone=parse_mobile(body.phone, call.resources.settings.sms_countries))
    return await _list(call, search, body.cursor, body.limit)


async def get_messages(call: Call) -> Reply:
    """Messages, attempts and receipts, each with a sentence in the language of Accept-Language."""
    voucher_id = path_voucher(call)
    async with transaction(call.resources.pool) as conn:
        messages = await operations.voucher_messages(conn, organiser_id=call.caller.owner_id, voucher_id=voucher_id)
        because = await operations.reasons_given(conn, organiser_id=call.caller.owner_id, voucher_id=voucher_id)
        pauses = {pause.gateway: pause for pause in await list_pauses(conn)}
    names = cast(DeliveringResources, call.resources).delivery.gateway_names
    paused = {channel: pauses[gateway] for channel, gateway in names.items() if gateway in pauses}
    return Reply(body=TimelineAnswer.of(voucher_id, messages, call.language, paused=paused, because=because))


async def post_resend(call: Call) -> Reply:
    """Same code, same contact, another message. Without an Idempotency-Key each call sends one."""

    async def change(conn: Connection, organiser: Organiser, voucher_id: UUID, today: date) -> Sent:
        return await operations.resend(
            conn,
            call.resources.keys,
            organiser=organiser,
            voucher_id=voucher_id,
            actor=call.caller.actor,
            reason=call.body_as(ReasonRequest).reason,
            today=today,
            per_day=call.resources.settings.resends_per_day,
        )

    return await change_once(call, change)


async def post_replace_code(call: Call) -> Reply:
    """A new code to the same contact. Without an Idempotency-Key each call makes one."""

    async def change(conn: Connection, organiser: Organiser, voucher_id: UUID, today: date) -> Sent:
        return await operations.replace_code(
            conn,
            call.resources.keys,
            organiser=organiser,
            voucher_id=voucher_id,
            actor=call.caller.actor,
            reason=call.body_as(ReasonRequest).reason,
            today=today,
            code_digits=call.resources.settings.code_digits,
        )

    return await change_once(call, change)


async def post_contact(call: Call) -> Reply:
    """Change the contact and replace the code: the old text may be in the wrong hands."""

    async def change(conn: Connection, organiser: Organiser, voucher_id: UUID, today: date) -> Sent:
        body = call.body_as(ContactRequest)
        return await operations.change_contact(
            conn,
            call.resources.keys,
            organiser=organiser,
            voucher_id=voucher_id,
            change=body.change(),
            countries=call.resources.settings.sms_countries,
            actor=call.caller.actor,
            reason=body.reason,
            today=today,
            code_digits=call.resources.settings.code_digits,
        )

    return await change_once(call, change)


async def post_lift_suppression(call: Call) -> Reply:
    """The voucher's contact may be written to again. Sends nothing; again changes nothing."""

    async def change(conn: Connection, organiser: Organiser, voucher_id: UUID, _today: date) -> None:
        body = call.body_as(LiftRequest)
        await operations.lift_suppression(
            conn,
            call.resources.keys,
            organiser=organiser,
            voucher_id=voucher_id,
            channel=body.channel,
            actor=call.caller.actor,
            reason=body.reason,
            asked_by_family=body.asked_by_family,
        )

    return await change_once(call, change)


async def _list(call: Call, search: Search, cursor: UUID | None, limit: int) -> Reply:
    async with autocommit(call.resources.pool) as conn:
        found = await operations.search_vouchers(
            conn,
            call.resources.keys,
            organiser_id=call.caller.owner_id,
            search=search,
            before=cursor,
            limit=limit + 1,
        )
    return Reply(body=VoucherList.of(found, limit=limit, today=helsinki_today()))


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/decisions",
        post_decision,
        "decisions:write",
        "Grant a decision: makes the voucher and sends its code. 200 with the same answer when it was granted before.",
        body=DecisionRequest,
        answer=DecisionAnswer,
        status=201,
        errors=(
            ProgrammeUnknown,
            PersonalIdentityCode,
            ContactMissing,
            PhoneNotMobile,
            EmailInvalid,
            GrantedNotInSteps,
            WeeklyNotInSteps,
            ValidityBackwards,
            ValidityOver,
            ValidityFarOff,
            ValidityTooLong,
            DecisionDiffers,
        ),
    ),
    Route(
        "GET",
        "/v1/vouchers",
        get_vouchers,
        "vouchers:read",
        "Your vouchers, newest first; by decision_ref or client_ref",
        query=VouchersQuery,
        answer=VoucherList,
    ),
    Route(
        "POST",
        "/v1/vouchers/search",
        search_vouchers,
        "vouchers:read",
        "Your vouchers by the family's phone number",
        body=SearchRequest,
        answer=VoucherList,
        errors=(PhoneNotMobile,),
    ),
    Route(
        "GET",
        "/v1/vouchers/{voucher_id}",
        get_voucher,
        "vouchers:read",
        "A voucher: state, balance, hints of the contacts",
        answer=VoucherAnswer,
        errors=(VoucherUnknown,),
    ),
    Route(
        "GET",
        "/v1/vouchers/{voucher_id}/messages",
        get_messages,
        "vouchers:read",
        "What became of every message about a voucher, in plain words",
        answer=TimelineAnswer,
        errors=(VoucherUnknown,),
    ),
    action("resend", post_resend, "Send the same code again to the same contact", ReasonRequest, TooManyResends),
    action("replace-code", post_replace_code, "Make a new code and send it; the old one ends", ReasonRequest),
    action(
        "contact",
        post_contact,
        "Change the contact; makes and sends a new code",
        ContactRequest,
        ContactMissing,
        PhoneNotMobile,
        EmailInvalid,
    ),
    action("lift-suppression", post_lift_suppression, "Write to the family's contact again after a STOP", LiftRequest),
)
