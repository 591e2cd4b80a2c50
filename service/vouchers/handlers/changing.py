"""What a caseworker does to a voucher itself: its state, later decisions about it, and holds of it."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from service.db import Connection
from service.organisers.model import Organiser
from service.vouchers import operations
from service.vouchers.answers.vouchers import CancelRequest, ChangeRequest, ReasonRequest
from service.vouchers.handlers.actions import action, change_once
from service.vouchers.model import (
    CancelDateUnfit,
    CapTightenedInPast,
    ChangeDateUnfit,
    DecisionDiffers,
    GrantedBelowUsed,
    GrantedNotInSteps,
    RenewalNotLater,
    ValidityOver,
    ValidityTooLong,
    VoucherHoldEnded,
    VoucherHoldUnknown,
    WeeklyNotInSteps,
)
from service.vouchers.operations import Sent
from service.web import Call, Reply, Route


async def post_confirm(call: Call) -> Reply:
    """Providers see the decision as confirmed from now on. Again changes nothing."""

    async def change(conn: Connection, organiser: Organiser, voucher_id: UUID, _today: date) -> None:
        await operations.confirm(conn, organiser=organiser, voucher_id=voucher_id, actor=call.caller.actor)

    return await change_once(call, change)


async def post_suspend(call: Call) -> Reply:
    """Debits are refused until the voucher is resumed. Again changes nothing."""

    async def change(conn: Connection, organiser: Organiser, voucher_id: UUID, _today: date) -> None:
        reason = call.body_as(ReasonRequest).reason
        await operations.suspend(
            conn, organiser=organiser, voucher_id=voucher_id, actor=call.caller.actor, reason=reason
        )

    return await change_once(call, change)


async def post_resume(call: Call) -> Reply:
    """Debits are accepted again. Again changes nothing."""

    async def change(conn: Connection, organiser: Organiser, voucher_id: UUID, _today: date) -> None:
        reason = call.body_as(ReasonRequest).reason
        await operations.resume(
            conn, organiser=organiser, voucher_id=voucher_id, actor=call.caller.actor, reason=reason
        )

    return await change_once(call, change)


async def post_cancel(call: Call) -> Reply:
    """Earlier visits may still be entered; holds from the day on are voided. Again, with the same day, is nothing."""

    async def change(conn: Connection, organiser: Organiser, voucher_id: UUID, today: date) -> None:
        body = call.body_as(CancelRequest)
        await operations.cancel(
            conn,
            organiser=organiser,
            voucher_id=voucher_id,
            actor=call.caller.actor,
            reason=body.reason,
            from_date=body.from_date,
            today=today,
        )

    return await change_once(call, change)


async def post_change(call: Call) -> Reply:
    """Take down a later decision; applied at once, or by schedule on its day. Again, with the same content, is nothing.

    The family is sent the voucher's text again when the change is applied.
    """

    async def change(conn: Connection, organiser: Organiser, voucher_id: UUID, today: date) -> Sent | None:
        body = call.body_as(ChangeRequest)
        return await operations.change_voucher(
            conn,
            call.resources.keys,
            organiser=organiser,
            voucher_id=voucher_id,
            asked=body.asked(),
            actor=call.caller.actor,
            reason=body.reason,
            today=today,
        )

    return await change_once(call, change)


async def post_void_hold(call: Call) -> Reply:
    """A provider's hold ends without a charge. Again changes nothing."""
    hold_id = call.path_id("hold_id", VoucherHoldUnknown)

    async def change(conn: Connection, organiser: Organiser, voucher_id: UUID, _today: date) -> None:
        await operations.void_hold(
            conn,
            organiser=organiser,
            voucher_id=voucher_id,
            hold_id=hold_id,
            actor=call.caller.actor,
            reason=call.body_as(ReasonRequest).reason,
        )

    return await change_once(call, change)


ROUTES: tuple[Route, ...] = (
    action("confirm", post_confirm, "The formal decision is out", None),
    action("suspend", post_suspend, "No debits for now", ReasonRequest),
    action("resume", post_resume, "Debits again", ReasonRequest),
    action("cancel", post_cancel, "No visits from a day on are paid any more", CancelRequest, CancelDateUnfit),
    action(
        "change",
        post_change,
        "A later decision: renew, change the value or the weekly caps, from a day on",
        ChangeRequest,
        DecisionDiffers,
        ChangeDateUnfit,
        RenewalNotLater,
        ValidityOver,
        ValidityTooLong,
        GrantedNotInSteps,
        GrantedBelowUsed,
        WeeklyNotInSteps,
        CapTightenedInPast,
    ),
    action(
        "holds/{hold_id}/void",
        post_void_hold,
        "Drop what a provider holds",
        ReasonRequest,
        VoucherHoldUnknown,
        VoucherHoldEnded,
    ),
)
