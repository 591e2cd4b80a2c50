"""Caseworkers' changes of a voucher's state. Each is idempotent: what is already so stays so and is not noted again."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from service import audit
from service.channels.gateway import ChannelName
from service.channels.operations import lift, standing, suppress_pending
from service.channels.suppressions import WISHES
from service.crypto import Keys
from service.db import Connection
from service.organisers.model import Organiser
from service.vouchers import sealing
from service.vouchers.model import (
    CancelDateUnfit,
    DecisionStatus,
    SuppressionIsWish,
    Voucher,
    VoucherNotOpen,
    VoucherState,
    VoucherUnknown,
)
from service.vouchers.operations.viewing import contact_points, find_voucher
from service.vouchers.queries import changes
from service.vouchers.queries import vouchers as queries

CANCELLED = "voucher_cancelled"
LIFT_ACTION = "voucher.lift_suppression"
LIFT_WISH_ACTION = "voucher.lift_suppression_as_the_family_asked"


async def confirm(conn: Connection, *, organiser: Organiser, voucher_id: UUID, actor: str) -> None:
    """The formal letter is out: providers see the decision as confirmed. Raises VoucherUnknown."""
    voucher = await lock_voucher(conn, organiser, voucher_id)
    if voucher.status is DecisionStatus.CONFIRMED:
        return
    await queries.confirm_decision(conn, organiser_id=organiser.organiser_id, decision_id=voucher.decision_id)
    await note(conn, organiser, voucher_id, actor, "voucher.confirm", None)


async def suspend(conn: Connection, *, organiser: Organiser, voucher_id: UUID, actor: str, reason: str) -> None:
    """No debit until it is resumed, no late entry either; holds stay. Raises VoucherUnknown, VoucherNotOpen."""
    voucher = await lock_voucher(conn, organiser, voucher_id)
    if voucher.state is VoucherState.CLOSED:
        raise VoucherNotOpen(state=voucher.state.value)
    if voucher.is_suspended:
        return
    await queries.suspend_voucher(conn, organiser_id=organiser.organiser_id, voucher_id=voucher_id)
    await note(conn, organiser, voucher_id, actor, "voucher.suspend", reason)


async def resume(conn: Connection, *, organiser: Organiser, voucher_id: UUID, actor: str, reason: str) -> None:
    """A suspended voucher can be used again; the schedule sees to it if it has ended meanwhile.

    For one that is cancelled, visits before that day can be entered again. Raises VoucherUnknown, VoucherNotOpen.
    """
    voucher = await lock_voucher(conn, organiser, voucher_id)
    if voucher.state in (VoucherState.CLOSED, VoucherState.EXPIRED):
        raise VoucherNotOpen(state=voucher.state.value)
    if not voucher.is_suspended:
        return
    await queries.resume_voucher(conn, organiser_id=organiser.organiser_id, voucher_id=voucher_id)
    await note(conn, organiser, voucher_id, actor, "voucher.resume", reason)


async def cancel(
    conn: Connection,
    *,
    organiser: Organiser,
    voucher_id: UUID,
    actor: str,
    reason: str,
    from_date: date | None,
    today: date,
) -> None:
    """No visit from `from_date` (default today) on is paid any more; earlier ones may still be entered.

    Not if it was suspended: what that was for is not over with the need, and earlier visits wait until it is resumed.
    Another `from_date` corrects the day of one that is cancelled already, until it is closed: what is charged stays
    charged, and a later day brings back no hold. The value stays available for earlier visits until then (see
    model.py). What is held for visits from that day on is freed, what is held for earlier ones stays. What was still to
    be sent of the code is suppressed. Raises VoucherUnknown, CancelDateUnfit, VoucherNotOpen.
    """
    voucher = await lock_voucher(conn, organiser, voucher_id)
    is_correction = voucher.state is VoucherState.CANCELLED
    if is_correction and from_date in (None, voucher.cancelled_from):
        return
    if voucher.state is VoucherState.CLOSED:
        raise VoucherNotOpen(state=voucher.state.value)
    day = from_date or max(voucher.valid_from, min(today, voucher.valid_to))
    if not voucher.valid_from <= day <= voucher.valid_to:
        raise CancelDateUnfit(from_date=str(day), valid_from=str(voucher.valid_from), valid_to=str(voucher.valid_to))
    await queries.cancel_voucher(conn, organiser_id=organiser.organiser_id, voucher_id=voucher_id, from_date=day)
    await changes.void_holds_from(
        conn, organiser_id=organiser.organiser_id, voucher_id=voucher_id, first=day, by=actor, reason=CANCELLED
    )
    await suppress_pending(conn, organiser.organiser_id, secret_id=voucher.code_id, reason=CANCELLED)
    noted = f"{voucher.cancelled_from} → {day}: {reason}" if is_correction else reason
    await note(conn, organiser, voucher_id, actor, "voucher.cancel", noted)


async def lift_suppression(
    conn: Connection,
    keys: Keys,
    *,
    organiser: Organiser,
    voucher_id: UUID,
    channel: ChannelName,
    actor: str,
    reason: str,
    asked_by_family: bool,
) -> None:
    """Let the family be written to again at the contact that the voucher has now.

    What stood against it may come from another organiser's time: a wish (STOP) only ends when the family asks for that,
    which is noted in the audit log as an action of its own. Nothing is sent by this. A gateway that still refuses the
    contact puts it back on the list. Idempotent. Raises VoucherUnknown, SuppressionIsWish.
    """
    organiser_id = organiser.organiser_id
    beneficiary = await queries.lock_beneficiary(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    if beneficiary is None:
        raise VoucherUnknown
    contact = dict(contact_points(sealing.open_contact(keys, organiser_id, beneficiary))).get(channel)
    found = (await standing(conn, keys, [(channel, contact)])).get((channel, contact)) if contact else None
    if contact is None or found is None:
        return
    is_wish = found.reason in WISHES
    if is_wish and not asked_by_family:
        raise SuppressionIsWish(channel=channel)
    only = found.reason  # not what has come in the meantime
    if await lift(conn, keys, channel=channel, contact=contact, lifted_by=actor, reason=reason, only=only):
        await note(conn, organiser, voucher_id, actor, LIFT_WISH_ACTION if is_wish else LIFT_ACTION, reason)


async def lock_voucher(conn: Connection, organiser: Organiser, voucher_id: UUID) -> Voucher:
    """The voucher as it is once every other caseworker's change, and every charge under way, is over.

    The family's row first, then the voucher's: all who take both take them in this order. Raises VoucherUnknown.
    """
    organiser_id = organiser.organiser_id
    if await queries.lock_beneficiary(conn, organiser_id=organiser_id, voucher_id=voucher_id) is None:
        raise VoucherUnknown
    await queries.lock_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    return await find_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id)


async def note(
    conn: Connection, organiser: Organiser, voucher_id: UUID, actor: str, action: str, reason: str | None
) -> None:
    """Add a line about a voucher to the audit log."""
    await audit.record(
        conn,
        organiser_id=organiser.organiser_id,
        actor=actor,
        action=action,
        subject_id=voucher_id,
        reason=reason,
    )
