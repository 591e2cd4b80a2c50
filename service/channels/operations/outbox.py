"""Queue a message in the caller's transaction, withdraw it, and show what became of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from service.channels.contacts import hint_email, hint_phone
from service.channels.gateway import ChannelName
from service.channels.model import DEADLINE_S, Contacts, NewMessage
from service.channels.operations.suppressions import contact_indexes
from service.channels.queries import outbox as queries
from service.channels.queries.outbox import MessageRow
from service.channels.suppressions import PURPOSE
from service.crypto import Keys
from service.db import Connection
from service.ids import new_id

MESSAGE_COLUMNS = (
    *("organiser_id", "message_id", "kind", "subject_id", "secret_id", "fields", "channel", "language"),
    *("recipient_sealed", "recipient_index", "recipient_hint"),
    *("other_channel", "other_sealed", "other_index", "other_hint", "priority", "deadline_at", "requested_by"),
)
"""The order of `message_record`, for COPY."""

CONTACT_CHANGED = "contact_changed"


def contact_context(organiser_id: UUID) -> bytes:
    """What a sealed contact is bound to."""
    return b"contact" + organiser_id.bytes


async def queue_message(conn: Connection, keys: Keys, message: NewMessage) -> UUID:
    """Write the outbox row in the caller's transaction; returns the message's id, to wake a worker by after commit.

    The message goes out if and only if the transaction commits, unless its contact must not be written to: then it is
    `failed` from the start, and goes to the other channel or to a person within a second. Not idempotent: each call is
    another message.
    """
    row = message_row(keys, message)
    channel, contact = _in_order(message.contacts)[0]
    await queries.insert_message(conn, row=row, recipient_indexes=contact_indexes(keys, channel, contact))
    return row.message_id


async def queue_messages(conn: Connection, keys: Keys, messages: Sequence[NewMessage]) -> list[UUID]:
    """Like `queue_message`, for many at once, by COPY. Needs a transaction; returns the ids in the order given.

    Contacts that must not be written to are found when the messages are claimed.
    """
    rows = [message_row(keys, message) for message in messages]
    now = await queries.select_now(conn)
    await queries.copy_messages(conn, records=[message_record(row, now=now) for row in rows], columns=MESSAGE_COLUMNS)
    return [row.message_id for row in rows]


def message_row(keys: Keys, message: NewMessage) -> MessageRow:
    """The row of a new message, with its contacts sealed: the preferred one first, then the other channel's."""
    sides = _sealed(keys, message.organiser_id, message.contacts)
    if not sides:
        raise ValueError("a message needs a phone number or an e-mail address")
    channel, sealed, index, hint = sides[0]
    other = sides[1] if len(sides) > 1 else (None, None, None, None)
    return MessageRow(
        organiser_id=message.organiser_id,
        message_id=new_id(),
        kind=message.kind,
        subject_id=message.subject_id,
        secret_id=message.secret_id,
        fields=dict(message.fields),
        channel=channel,
        language=message.language,
        recipient_sealed=sealed,
        recipient_index=index,
        recipient_hint=hint,
        other_channel=other[0],
        other_sealed=other[1],
        other_index=other[2],
        other_hint=other[3],
        priority=message.priority,
        deadline_s=DEADLINE_S[channel],
        requested_by=message.requested_by,
    )


def _in_order(contacts: Contacts) -> list[tuple[ChannelName, str]]:
    """The channel that is tried first, then the other one."""
    found: list[tuple[ChannelName, str]] = []
    if contacts.phone is not None:
        found.append(("sms", contacts.phone))
    if contacts.email is not None:
        found.append(("email", contacts.email))
    return found[::-1] if contacts.preferred == "email" else found


def _sealed(keys: Keys, organiser_id: UUID, contacts: Contacts) -> list[tuple[ChannelName, bytes, bytes, str]]:
    context = contact_context(organiser_id)
    return [
        (
            channel,
            keys.sealer.seal(contact, context),
            keys.index.current(PURPOSE[channel], contact),
            hint_phone(contact) if channel == "sms" else hint_email(contact),
        )
        for channel, contact in _in_order(contacts)
    ]


def message_record(row: MessageRow, *, now: datetime) -> tuple[object, ...]:
    """The row as COPY takes it, in the order of MESSAGE_COLUMNS. `now` is the database's clock."""
    *values, deadline_s, requested_by = row
    return (*values, now + timedelta(seconds=deadline_s), requested_by)


async def suppress_pending(conn: Connection, organiser_id: UUID, *, secret_id: UUID, reason: str) -> Sequence[UUID]:
    """Withdraw the unsent messages that would tell a secret which is no longer valid; returns their ids. Idempotent.

    One that is on its way cannot be called back; one that would be sent again is stopped when it is rendered.
    """
    return await queries.suppress_pending(conn, organiser_id=organiser_id, secret_id=secret_id, reason=reason)


async def follow_contact(
    conn: Connection, keys: Keys, organiser_id: UUID, *, subject_id: UUID, contacts: Contacts, language: str
) -> None:
    """Let what still waits to be told about a subject go to its new contacts. Idempotent.

    Answers to a text are withdrawn: they are for the number that asked. What has been handed over already, and fails,
    goes to no other contact than the new ones. One that is on its way cannot be called back.
    """
    sides = _sealed(keys, organiser_id, contacts)
    await queries.withdraw_answers(conn, organiser_id=organiser_id, subject_id=subject_id, reason=CONTACT_CHANGED)
    other = sides[1] if len(sides) > 1 else (None, None, None, None)
    await queries.readdress_pending(
        conn, organiser_id=organiser_id, subject_id=subject_id, language=language, recipient=sides[0], other=other
    )
    await queries.readdress_fallbacks(conn, organiser_id=organiser_id, subject_id=subject_id, contacts=sides)


@dataclass(frozen=True, slots=True)
class ShownReceipt:
    status: str
    error_code: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class ShownAttempt:
    attempt_id: UUID
    gateway: str
    outcome: str | None  # None while the call is under way
    reference: str | None
    error_code: str | None
    parts: int | None
    encoding: str | None
    started_at: datetime
    answered_at: datetime | None
    receipts: tuple[ShownReceipt, ...]


@dataclass(frozen=True, slots=True)
class ShownMessage:
    message_id: UUID
    kind: str
    channel: str
    language: str
    recipient_hint: str
    fallback_of: UUID | None
    state: str
    reason: str | None
    requested_by: str
    created_at: datetime
    due_at: datetime | None  # when something happens next
    accepted_at: datetime | None
    delivered_at: datetime | None
    attempts: tuple[ShownAttempt, ...]
    suppressed_for: str | None = None  # why its contact must not be written to, when that is the reason


async def timeline(
    conn: Connection, organiser_id: UUID, subject_id: UUID, *, before: UUID | None = None, limit: int | None = None
) -> list[ShownMessage]:
    """Messages about a subject with their attempts, receipts and reasons; newest last. No contents.

    All of them, or so many of the newest, or of those that were queued before one.
    """
    newest_first = await queries.select_messages(
        conn, organiser_id=organiser_id, subject_id=subject_id, before=before, limit=limit
    )
    messages = newest_first[::-1]
    attempts = await queries.select_attempts(
        conn, organiser_id=organiser_id, message_ids=[row["message_id"] for row in messages]
    )
    receipts = await queries.select_receipts(
        conn, organiser_id=organiser_id, attempt_ids=[row["attempt_id"] for row in attempts]
    )
    of_attempt: defaultdict[UUID, list[ShownReceipt]] = defaultdict(list)
    for row in receipts:
        fields = dict(row)
        of_attempt[fields.pop("attempt_id")].append(ShownReceipt(**fields))
    of_message: defaultdict[UUID, list[ShownAttempt]] = defaultdict(list)
    for row in attempts:
        fields = dict(row)
        message_id = fields.pop("message_id")
        of_message[message_id].append(ShownAttempt(**fields, receipts=tuple(of_attempt[row["attempt_id"]])))
    return [ShownMessage(**dict(row), attempts=tuple(of_message[row["message_id"]])) for row in messages]
