"""Telling a family its code again: the same code to the same contact, or a new code when either must change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from service import audit
from service.channels.model import Contacts, NewMessage
from service.channels.operations import follow_contact, queue_message, suppress_pending
from service.crypto import Keys
from service.db import Connection
from service.organisers.model import Organiser
from service.organisers.operations import find_programme
from service.vouchers import sealing
from service.vouchers.codes import show_code
from service.vouchers.decisions import read_contact
from service.vouchers.model import (
    SENDABLE,
    Beneficiary,
    Contact,
    ContactChange,
    FamilyCode,
    TooManyResends,
    Voucher,
    VoucherNotOpen,
    VoucherUnknown,
)
from service.vouchers.operations.issuing import store_new_code
from service.vouchers.operations.viewing import find_voucher
from service.vouchers.queries import issuing as code_queries
from service.vouchers.queries import vouchers as queries
from service.vouchers.texts import MESSAGE_KIND, message_fields

FAMILY = "family"
"""The actor of what a family asked for by text."""
RESEND_ACTION = "voucher.resend"
REPLACE_ACTION = "voucher.replace_code"
CONTACT_ACTION = "voucher.change_contact"
CODE_REPLACED = "code_replaced"
DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Sent:
    """The voucher as it is now, and the message that is on its way."""

    voucher_id: UUID
    message_id: UUID


async def resend(
    conn: Connection,
    keys: Keys,
    *,
    organiser: Organiser,
    voucher_id: UUID,
    actor: str,
    reason: str,
    today: date,
    per_day: int,
) -> Sent:
    """Send the same code to the same contact in a new message, and note who asked and why.

    Not idempotent: each call is a message. At most `per_day` in any 24 hours; those that the family asked for itself
    are counted apart, so neither uses up the other's. Concurrent calls for one voucher wait for each other, so the
    limit holds. Raises VoucherUnknown, VoucherNotOpen, TooManyResends and, before anything is written, SealBroken.
    """
    voucher, beneficiary = await _lock_sendable(conn, organiser, voucher_id, today)
    limiting = await queries.select_limiting_resend(
        conn,
        organiser_id=organiser.organiser_id,
        voucher_id=voucher_id,
        action=RESEND_ACTION,
        family=FAMILY,
        is_family=actor == FAMILY,
        limit=per_day,
    )
    if limiting is not None:
        recorded_at, now = limiting
        wait_s = max(1, -((now - recorded_at - DAY) // timedelta(seconds=1)))
        retry_at = (now + timedelta(seconds=wait_s)).replace(microsecond=0)
        raise TooManyResends(limit=per_day, retry_at=retry_at.isoformat(), retry_after_s=wait_s)
    contact = sealing.open_contact(keys, organiser.organiser_id, beneficiary)
    await audit.record(
        conn,
        organiser_id=organiser.organiser_id,
        actor=actor,
        action=RESEND_ACTION,
        subject_id=voucher_id,
        reason=reason,
    )
    return await queue_voucher_message(
        conn, keys, organiser, voucher, voucher.code_id, contact, actor=actor, today=today
    )


async def replace_code(
    conn: Connection,
    keys: Keys,
    *,
    organiser: Organiser,
    voucher_id: UUID,
    actor: str,
    reason: str,
    today: date,
    code_digits: int = 12,
) -> Sent:
    """Make a new code, supersede the old one, and send the new one to the same contact.

    What was still to be sent of the old code is suppressed. Not idempotent: each call makes a code. Raises
    VoucherUnknown, VoucherNotOpen.
    """
    voucher, beneficiary = await _lock_sendable(conn, organiser, voucher_id, today)
    contact = sealing.open_contact(keys, organiser.organiser_id, beneficiary)
    await audit.record(
        conn,
        organiser_id=organiser.organiser_id,
        actor=actor,
        action=REPLACE_ACTION,
        subject_id=voucher_id,
        reason=reason,
    )
    code_id = await _replace(conn, keys, organiser, voucher, code_digits)
    return await queue_voucher_message(conn, keys, organiser, voucher, code_id, contact, actor=actor, today=today)


async def change_contact(
    conn: Connection,
    keys: Keys,
    *,
    organiser: Organiser,
    voucher_id: UUID,
    change: ContactChange,
    countries: Sequence[str],
    actor: str,
    reason: str,
    today: date,
    code_digits: int = 12,
) -> Sent:
    """Change where the family is reached, and replace the code: whoever holds the old phone may have the old text.

    Parts of the contact that are not given stay, those that are `removed` go: a stolen phone must not get the new
    code. What waits to be sent goes to the new contact, too. Raises VoucherUnknown, VoucherNotOpen, ContactMissing,
    PhoneNotMobile, EmailInvalid, InvalidRequest.
    """
    voucher, beneficiary = await _lock_sendable(conn, organiser, voucher_id, today)
    old = sealing.open_contact(keys, organiser.organiser_id, beneficiary)
    contact = read_contact(
        None if "phone" in change.removed else change.phone or old.phone,
        None if "email" in change.removed else change.email or old.email,
        change.language or old.language,
        countries=countries,
        preferred=change.preferred or old.preferred,
    )
    await audit.record(
        conn,
        organiser_id=organiser.organiser_id,
        actor=actor,
        action=CONTACT_ACTION,
        subject_id=voucher_id,
        reason=reason,
    )
    await queries.update_contact(
        conn,
        organiser_id=organiser.organiser_id,
        voucher_id=voucher_id,
        contact=sealing.seal_contact(keys, organiser.organiser_id, contact),
    )
    code_id = await _replace(conn, keys, organiser, voucher, code_digits)
    await follow_contact(
        conn,
        keys,
        organiser.organiser_id,
        subject_id=voucher_id,
        contacts=Contacts(phone=contact.phone, email=contact.email, preferred=contact.preferred),
        language=contact.language,
    )
    return await queue_voucher_message(conn, keys, organiser, voucher, code_id, contact, actor=actor, today=today)


async def secret_fields(
    conn: Connection, keys: Keys, wanted: Sequence[tuple[UUID, UUID]]
) -> Mapping[UUID, Mapping[str, str]]:
    """The part of a voucher's text that is never stored open, by code id, for (organiser_id, code_id) pairs.

    A code that is missing from the result is obsolete: replaced, or of a voucher that ended. Its message must not go
    out. Raises SealBroken.
    """
    rows = await queries.select_live_codes(
        conn,
        organiser_ids=[organiser_id for organiser_id, _ in wanted],
        code_ids=[code_id for _, code_id in wanted],
    )
    opened = ((code_id, sealing.open_code(keys, code_id, sealed)) for code_id, sealed in rows)
    return {code_id: {"code": show_code(code), "code_digits": code} for code_id, code in opened}


async def find_family_code(conn: Connection, keys: Keys, *, organiser_id: UUID, code_id: UUID) -> FamilyCode | None:
    """The code for its family to see; None once it is replaced or its voucher is closed. Raises SealBroken."""
    row = await queries.select_family_code(conn, organiser_id=organiser_id, code_id=code_id)
    if row is None:
        return None
    return FamilyCode(row["voucher_id"], sealing.open_code(keys, code_id, row["sealed"]), row["language"])


async def _lock_sendable(
    conn: Connection, organiser: Organiser, voucher_id: UUID, today: date
) -> tuple[Voucher, Beneficiary]:
    """The voucher as it is once every other change of its contact and code is over."""
    organiser_id = organiser.organiser_id
    beneficiary = await queries.lock_beneficiary(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    if beneficiary is None:
        raise VoucherUnknown
    voucher = await find_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    state = voucher.shown_state(today)
    if state not in SENDABLE:
        raise VoucherNotOpen(state=state.value)
    return voucher, beneficiary


async def _replace(conn: Connection, keys: Keys, organiser: Organiser, voucher: Voucher, code_digits: int) -> UUID:
    organiser_id, voucher_id = organiser.organiser_id, voucher.voucher_id
    await code_queries.supersede_codes(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    code = await store_new_code(conn, keys, organiser_id=organiser_id, voucher_id=voucher_id, code_digits=code_digits)
    await suppress_pending(conn, organiser_id, secret_id=voucher.code_id, reason=CODE_REPLACED)
    return code.code_id


async def queue_voucher_message(
    conn: Connection,
    keys: Keys,
    organiser: Organiser,
    voucher: Voucher,
    code_id: UUID,
    contact: Contact,
    *,
    actor: str,
    today: date,
) -> Sent:
    """Write the message with a voucher's code in the caller's transaction."""
    programme = await find_programme(conn, organiser.organiser_id, voucher.programme)
    message = NewMessage(
        organiser_id=organiser.organiser_id,
        kind=MESSAGE_KIND,
        subject_id=voucher.voucher_id,
        secret_id=code_id,
        fields=message_fields(
            organiser,
            programme,
            contact.language,
            granted=voucher.granted,
            weekly_visits=voucher.weekly_visits,
            weekly_minutes=voucher.weekly_minutes,
            valid_to=voucher.valid_to,
            today=today,
        ),
        language=contact.language,
        contacts=Contacts(phone=contact.phone, email=contact.email, preferred=contact.preferred),
        requested_by=actor,
    )
    return Sent(voucher.voucher_id, await queue_message(conn, keys, message))
