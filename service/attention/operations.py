"""Put things on the caseworkers' list, in the transaction that makes them need a person, and take them off it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog
from asyncpg import Record

from service import audit
from service.attention import queries
from service.attention.model import (
    CONTACT_LOST,
    DELIVERY_REASONS,
    DISPUTED,
    IMPORT_FAILED,
    NEVER_USED,
    SYSTEM,
    AttentionResolved,
    AttentionUnknown,
    Item,
)
from service.db import Connection, Pool, transaction

log = structlog.get_logger()

RESOLVE_ACTION = "attention.resolve"


async def open_item(
    conn: Connection,
    *,
    organiser_id: UUID,
    reason: str,
    subject_id: UUID,
    message_id: UUID | None = None,
    entry_id: UUID | None = None,
) -> UUID | None:
    """Ask for a person, in the caller's transaction; returns the item's id, None when the same is open already.

    `subject_id` is the voucher, or the import for IMPORT_FAILED. Idempotent while the item is open; once it is
    resolved, the same opens another.
    """
    return await queries.open_item(
        conn,
        organiser_id=organiser_id,
        reason=reason,
        subject_id=subject_id,
        message_id=message_id,
        entry_id=entry_id,
    )


async def open_for_escalated(conn: Connection, messages: Sequence[tuple[UUID, UUID]]) -> int:
    """Items for those of the messages, (organiser, message) each, that are `escalated`; how many are new.

    To be called in the transaction that may have escalated them. Which of them need a person, and which share an item,
    is in one place: the view messages_needing_person. Idempotent.
    """
    return await queries.open_for_messages(conn, messages=messages) if messages else 0


async def keep_in_order(pool: Pool) -> int:
    """Open the items that are missing, resolve those whose cause is gone; returns how many were missing. Idempotent.

    None should be missing: they are opened with what makes them. Looked for all the same, so that a fault of ours in
    one path cannot hide a family.

    An item about delivery resolves itself when the message arrived after all (a late receipt, or on the other channel),
    or when a later message about the voucher did: after a resend, or a change of contact. It is about reaching the
    family, and they were reached. One about a voucher never used resolves itself when the voucher is used or has ended.
    A dispute never does: only a person can have heard the family.
    """
    async with transaction(pool) as conn:
        missing = await queries.open_missing(conn)
        resolved = await queries.resolve_delivered(
            conn,
            reasons=sorted(DELIVERY_REASONS | {CONTACT_LOST}),
            actor=SYSTEM,
            resolution="delivered_since",
            action=RESOLVE_ACTION,
        )
        resolved += await queries.resolve_used(
            conn, reason=NEVER_USED, actor=SYSTEM, resolution="used_or_ended", action=RESOLVE_ACTION
        )
    if missing:
        log.error("attention_was_missing", count=len(missing))
    if resolved:
        log.info("attention_resolved_itself", count=resolved)
    return len(missing)


async def list_open(conn: Connection, *, organiser_id: UUID, after: UUID | None, limit: int) -> list[Item]:
    """A page of what is open, oldest first, from behind the item `after` on."""
    rows = await queries.select_open(conn, organiser_id=organiser_id, after=after, limit=limit)
    return [_item(row) for row in rows]


async def list_by_haste(conn: Connection, *, organiser_id: UUID, after: UUID | None, limit: int) -> list[Item]:
    """The same for people: vouchers that nobody uses come after all that cannot wait."""
    rows = await queries.select_open_by_haste(conn, organiser_id=organiser_id, after=after, limit=limit)
    return [_item(row) for row in rows]


async def resolve_item(
    conn: Connection, *, organiser_id: UUID, attention_id: UUID, actor: str, resolution: str
) -> Item:
    """Take an item off the list and note who did and why. Once: raises AttentionUnknown, AttentionResolved.

    The item about a dispute is the dispute: that is resolved with it.
    """
    # The dispute before its item, as whoever disputes or resolves a debit takes them: nobody waits in a circle.
    await queries.resolve_dispute(
        conn,
        organiser_id=organiser_id,
        attention_id=attention_id,
        reason=DISPUTED,
        actor=actor,
        resolution=resolution,
    )
    resolved = await queries.resolve_item(
        conn, organiser_id=organiser_id, attention_id=attention_id, actor=actor, resolution=resolution
    )
    row = await queries.select_item(conn, organiser_id=organiser_id, attention_id=attention_id)
    if row is None:
        raise AttentionUnknown
    if not resolved:
        raise AttentionResolved
    await audit.record(
        conn,
        organiser_id=organiser_id,
        actor=actor,
        action=RESOLVE_ACTION,
        subject_id=attention_id,
        reason=resolution,
    )
    return _item(row)


async def resolve_about_entry(
    conn: Connection, *, organiser_id: UUID, reason: str, entry_id: UUID, actor: str, resolution: str
) -> bool:
    """Take the open item about a debit off the list, because what it is about is dealt with. False: there is none."""
    attention_id = await queries.select_open_of_entry(conn, organiser_id=organiser_id, reason=reason, entry_id=entry_id)
    if attention_id is None:
        return False
    await resolve_item(conn, organiser_id=organiser_id, attention_id=attention_id, actor=actor, resolution=resolution)
    return True


async def resolve_about_import(
    conn: Connection, *, organiser_id: UUID, import_id: UUID, actor: str, resolution: str
) -> bool:
    """Take the open item about an import off the list: somebody lets it go on, or stops it. False: there is none."""
    return await resolve_about(
        conn, organiser_id=organiser_id, reason=IMPORT_FAILED, subject_id=import_id, actor=actor, resolution=resolution
    )


async def resolve_about(
    conn: Connection, *, organiser_id: UUID, reason: str, subject_id: UUID, actor: str, resolution: str
) -> bool:
    """Take the open item of that reason about a voucher or an import off the list. False: there is none."""
    attention_id = await queries.select_open_of_subject(
        conn, organiser_id=organiser_id, reason=reason, subject_id=subject_id
    )
    if attention_id is None:
        return False
    await resolve_item(conn, organiser_id=organiser_id, attention_id=attention_id, actor=actor, resolution=resolution)
    return True


async def organiser_of(conn: Connection, attention_id: UUID) -> UUID:
    """Whose item it is, for the command line. Raises AttentionUnknown."""
    organiser_id = await queries.select_organiser(conn, attention_id=attention_id)
    if organiser_id is None:
        raise AttentionUnknown
    return organiser_id


def _item(row: Record) -> Item:
    return Item(**dict(row))
