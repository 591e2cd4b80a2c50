"""What an organiser is shown of its vouchers. Nothing here opens a code; contacts are opened only for their hints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from operator import attrgetter
from uuid import UUID

from service.channels.contacts import hint_email, hint_phone
from service.channels.gateway import ChannelName
from service.channels.operations import contact_indexes, standing, timeline
from service.channels.operations.outbox import ShownMessage
from service.crypto import Keys
from service.db import Connection
from service.vouchers import sealing
from service.vouchers.model import Contact, Search, Voucher, VoucherUnknown, VoucherView
from service.vouchers.queries import issuing as decision_queries
from service.vouchers.queries import vouchers as queries


async def find_voucher(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Voucher:
    """Raises VoucherUnknown, the same for one that does not exist and for another organiser's."""
    voucher = await queries.select_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    if voucher is None:
        raise VoucherUnknown
    return voucher


async def find_voucher_of_ref(conn: Connection, *, organiser_id: UUID, decision_ref: str) -> UUID:
    """The voucher of a decision. Raises VoucherUnknown."""
    found = await decision_queries.select_decision(conn, organiser_id=organiser_id, decision_ref=decision_ref)
    if found is None:
        raise VoucherUnknown
    return found[1]


async def voucher_view(
    conn: Connection, keys: Keys, *, organiser_id: UUID, voucher_id: UUID, today: date
) -> VoucherView:
    """Raises VoucherUnknown."""
    voucher = await find_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    beneficiary = await queries.select_beneficiary(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    assert beneficiary is not None, "made with the voucher, in one statement"
    contact = sealing.open_contact(keys, organiser_id, beneficiary)
    suppressed = await standing(conn, keys, contact_points(contact))
    # That it stands must be told, for it is why nothing arrives. What another organiser had to do with this family
    # before must not: so never since before this voucher.
    shown = [replace(found, since=max(found.since, voucher.created_at)) for found in suppressed.values()]
    return VoucherView(
        voucher=voucher,
        state=voucher.shown_state(today),
        phone_hint=hint_phone(contact.phone) if contact.phone else None,
        email_hint=hint_email(contact.email) if contact.email else None,
        language=contact.language,
        preferred=contact.preferred,
        initials=beneficiary.initials,
        municipality=beneficiary.municipality,
        codes=await queries.select_codes(conn, organiser_id=organiser_id, voucher_id=voucher_id),
        suppressions=sorted(shown, key=attrgetter("channel")),
    )


def contact_points(contact: Contact) -> list[tuple[ChannelName, str]]:
    """The contact as channels take it."""
    found: list[tuple[ChannelName, str]] = [("sms", contact.phone)] if contact.phone else []
    return [*found, ("email", contact.email)] if contact.email else found


async def search_vouchers(
    conn: Connection, keys: Keys, *, organiser_id: UUID, search: Search, before: UUID | None, limit: int
) -> Sequence[Voucher]:
    """The organiser's vouchers that fit, newest first, from before the id `before` on."""
    if search.decision_ref is not None:
        return await queries.select_vouchers_of_ref(
            conn, organiser_id=organiser_id, decision_ref=search.decision_ref, before=before, limit=limit
        )
    if search.client_ref is not None:
        return await queries.select_vouchers_of_client(
            conn, organiser_id=organiser_id, client_ref=search.client_ref, before=before, limit=limit
        )
    if search.phone is not None:
        return await queries.select_vouchers_of_phone(
            conn,
            organiser_id=organiser_id,
            indexes=contact_indexes(keys, "sms", search.phone),
            before=before,
            limit=limit,
        )
    if search.email is not None:
        return await queries.select_vouchers_of_email(
            conn,
            organiser_id=organiser_id,
            indexes=contact_indexes(keys, "email", search.email),
            before=before,
            limit=limit,
        )
    if search.last_four is not None:
        return await queries.select_vouchers_of_last_four(
            conn, organiser_id=organiser_id, last_four=search.last_four, before=before, limit=limit
        )
    return await queries.select_vouchers(conn, organiser_id=organiser_id, before=before, limit=limit)


async def first_message(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> ShownMessage:
    """The message that was queued with the voucher."""
    return (await timeline(conn, organiser_id, voucher_id))[0]


async def voucher_messages(
    conn: Connection, *, organiser_id: UUID, voucher_id: UUID, before: UUID | None = None, limit: int | None = None
) -> Sequence[ShownMessage]:
    """Messages about a voucher, oldest first, with attempts and receipts. Raises VoucherUnknown.

    All of them, or so many of the newest, or of those that were queued before one.
    """
    await find_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    return await timeline(conn, organiser_id, voucher_id, before=before, limit=limit)


async def reasons_given(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Mapping[UUID, str]:
    """Why whoever asked for a message about a voucher asked for it, by message; none for those that nobody gave."""
    return await queries.select_reasons_given(conn, organiser_id=organiser_id, voucher_id=voucher_id)
