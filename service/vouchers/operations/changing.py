"""Later decisions about a voucher: renewed, worth more or less, other weekly caps; and a hold that a caseworker drops.

Everything is decided under the voucher's row lock, which charges take, too; a charge is before a change or after it.
"""

from __future__ import annotations

from datetime import date
from uuid import UUID

from uuid_utils.compat import uuid7

from service.crypto import Keys
from service.db import Connection
from service.organisers.model import Organiser
from service.vouchers import sealing
from service.vouchers.changes import AskedChange, DecisionVersion, VoucherHistory, check_change
from service.vouchers.model import SENDABLE, DecisionDiffers, VoucherHoldEnded, VoucherHoldUnknown
from service.vouchers.operations.sending import Sent, queue_voucher_message
from service.vouchers.operations.states import lock_voucher, note
from service.vouchers.operations.viewing import find_voucher
from service.vouchers.queries import changes as queries
from service.vouchers.queries import issuing as decision_queries
from service.vouchers.queries import vouchers as voucher_queries

CHANGE_ACTION = "voucher.change"
VOID_HOLD_ACTION = "voucher.void_hold"
VOIDED = "voided"


async def change_voucher(
    conn: Connection,
    keys: Keys,
    *,
    organiser: Organiser,
    voucher_id: UUID,
    asked: AskedChange,
    actor: str,
    reason: str,
    today: date,
) -> Sent | None:
    """Take down a later decision, and apply it at once unless its day is still to come.

    Then the schedule applies it; its caps are for visits from that day on and are there from now on. A family whose
    voucher has changed is sent the voucher's text again: the same code, the new amount, caps and end. That is counted
    apart from the resends of a day, which people ask for. Idempotent by decision_ref: the same content again changes
    nothing. Returns the message, None when there is none (now). Raises VoucherUnknown, DecisionDiffers, and what
    `check_change` raises.
    """
    organiser_id = organiser.organiser_id
    voucher = await lock_voucher(conn, organiser, voucher_id)
    if await _is_known(conn, organiser_id, voucher_id, asked):
        return None
    starts_on = asked.starts_on(today)
    check_change(
        voucher,
        asked,
        today=today,
        step=await queries.select_step(conn, organiser_id=organiser_id, voucher_id=voucher_id, day=starts_on),
        caps_before=await queries.select_caps_between(
            conn, organiser_id=organiser_id, voucher_id=voucher_id, first=starts_on, until=today
        ),
    )
    version_id = uuid7()
    if not await queries.insert_version(
        conn,
        organiser_id=organiser_id,
        version_id=version_id,
        voucher_id=voucher_id,
        asked=asked,
        starts_on=starts_on,
        reason=reason,
        created_by=actor,
    ):
        raise DecisionDiffers(decision_ref=asked.decision_ref)  # another voucher's change took it a moment ago
    if asked.has_caps:
        await queries.write_caps(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    await note(conn, organiser, voucher_id, actor, CHANGE_ACTION, reason)
    if starts_on > today:
        return None
    await queries.apply_version(conn, organiser_id=organiser_id, version_id=version_id)
    return await tell_of_change(conn, keys, organiser=organiser, voucher_id=voucher_id, actor=actor, today=today)


async def tell_of_change(
    conn: Connection, keys: Keys, *, organiser: Organiser, voucher_id: UUID, actor: str, today: date
) -> Sent | None:
    """Queue the voucher's text as the voucher is now; None when its code cannot be used, or nobody can be written to.

    Raises SealBroken.
    """
    organiser_id = organiser.organiser_id
    voucher = await find_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    beneficiary = await voucher_queries.select_beneficiary(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    if beneficiary is None or voucher.shown_state(today) not in SENDABLE:
        return None
    contact = sealing.open_contact(keys, organiser_id, beneficiary)
    if contact.phone is None and contact.email is None:
        return None
    return await queue_voucher_message(
        conn, keys, organiser, voucher, voucher.code_id, contact, actor=actor, today=today
    )


async def void_hold(
    conn: Connection, *, organiser: Organiser, voucher_id: UUID, hold_id: UUID, actor: str, reason: str
) -> None:
    """Drop what a provider holds of a voucher; its value and place in the week are free again.

    Idempotent: one that is voided already stays so and is not noted again. Raises VoucherUnknown, VoucherHoldUnknown,
    VoucherHoldEnded.
    """
    organiser_id = organiser.organiser_id
    await lock_voucher(conn, organiser, voucher_id)
    state = await queries.select_hold_state(conn, organiser_id=organiser_id, hold_id=hold_id, voucher_id=voucher_id)
    if state is None:
        raise VoucherHoldUnknown
    if state == VOIDED:
        return
    if state != "held":
        raise VoucherHoldEnded(state=state)
    await queries.void_hold(conn, organiser_id=organiser_id, hold_id=hold_id, by=actor, reason=reason)
    await note(conn, organiser, voucher_id, actor, VOID_HOLD_ACTION, reason)


async def voucher_history(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> VoucherHistory:
    """What has happened to an organiser's voucher besides charges, and what is held of it."""
    return VoucherHistory(
        versions=await queries.select_versions(conn, organiser_id=organiser_id, voucher_id=voucher_id),
        value_changes=await queries.select_value_changes(conn, organiser_id=organiser_id, voucher_id=voucher_id),
        caps=await queries.select_caps(conn, organiser_id=organiser_id, voucher_id=voucher_id),
        holds=await queries.select_open_holds(conn, organiser_id=organiser_id, voucher_id=voucher_id),
    )


async def _is_known(conn: Connection, organiser_id: UUID, voucher_id: UUID, asked: AskedChange) -> bool:
    """Whether this very decision was taken down for this voucher before. Raises DecisionDiffers for another one."""
    earlier: DecisionVersion | None = await queries.select_version_of_ref(
        conn, organiser_id=organiser_id, decision_ref=asked.decision_ref
    )
    if earlier is not None:
        if (earlier.voucher_id, earlier.asked) != (voucher_id, asked):
            raise DecisionDiffers(decision_ref=asked.decision_ref)
        return True
    granted = await decision_queries.select_decision(conn, organiser_id=organiser_id, decision_ref=asked.decision_ref)
    if granted is not None:  # a decision that made a voucher is no later one
        raise DecisionDiffers(decision_ref=asked.decision_ref)
    return False
