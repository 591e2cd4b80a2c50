"""Keeping a provider's workers: who may charge by text, from which phone, and with a PIN that is shown once.

Whoever changes a worker is in the audit log; a provider has no organiser, so its lines are nobody's.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from uuid import UUID

from uuid_utils.compat import uuid7

from service import audit
from service.channels.contacts import hint_phone, parse_mobile
from service.channels.operations import contact_indexes
from service.channels.sms_text import prepare
from service.channels.suppressions import PURPOSE
from service.crypto import Keys
from service.db import Connection
from service.staff import queries
from service.staff.model import (
    NewPin,
    Worker,
    WorkerLocked,
    WorkerNotLocked,
    WorkerPhoneTaken,
    WorkerUnknown,
    check_name,
    draw_pin,
)
from service.staff.pins import phone_context, seal_pin
from service.staff.queries import WorkerRow
from service.vouchers.operations.replies import NOBODY


async def add_worker(
    conn: Connection,
    keys: Keys,
    *,
    provider_id: UUID,
    name: str,
    phone: str,
    language: str,
    countries: Sequence[str],
    actor: str,
) -> NewPin:
    """Register a worker's phone. The PIN is in the answer and nowhere else. Not idempotent: the phone is taken then.

    Raises WorkerNameUnfit, PhoneNotMobile, WorkerPhoneTaken.
    """
    name = prepare(name)
    check_name(name)
    number = parse_mobile(phone, countries)
    if await queries.phone_is_taken(conn, phone_indexes=contact_indexes(keys, "sms", number)):
        raise WorkerPhoneTaken
    worker_id, pin = uuid7(), draw_pin(secrets.randbelow)
    worker = await queries.insert_worker(
        conn,
        row=WorkerRow(
            worker_id=worker_id,
            provider_id=provider_id,
            name=name,
            language=language,
            phone_sealed=keys.sealer.seal(number, phone_context(worker_id)),
            phone_index=keys.index.current(PURPOSE["sms"], number),
            phone_hint=hint_phone(number),
            pin_sealed=await seal_pin(keys, worker_id, pin),
        ),
    )
    if worker is None:
        raise WorkerPhoneTaken
    await _record(conn, worker, actor, "worker_added")
    return NewPin(worker, pin)


async def list_workers(
    conn: Connection, *, provider_id: UUID, after: UUID | None = None, limit: int = 1_000
) -> Sequence[Worker]:
    """A provider's workers that are not removed, oldest first."""
    return await queries.select_workers(conn, provider_id=provider_id, after=after, limit=limit)


async def new_pin(conn: Connection, keys: Keys, *, provider_id: UUID | None, worker_id: UUID, actor: str) -> NewPin:
    """Another PIN in place of the one before. Not idempotent. Raises WorkerUnknown, WorkerLocked."""
    worker = await _lock(conn, provider_id, worker_id)
    if worker.locked_at is not None:
        raise WorkerLocked
    return await _give_pin(conn, keys, worker, actor, "worker_pin_renewed")


async def unlock_worker(
    conn: Connection, keys: Keys, *, provider_id: UUID | None, worker_id: UUID, actor: str
) -> NewPin:
    """Lift the lock, with another PIN: somebody has tried the old one. Raises WorkerUnknown, WorkerNotLocked."""
    worker = await _lock(conn, provider_id, worker_id)
    if worker.locked_at is None:
        raise WorkerNotLocked
    return await _give_pin(conn, keys, worker, actor, "worker_unlocked")


async def remove_worker(conn: Connection, *, provider_id: UUID | None, worker_id: UUID, actor: str) -> Worker:
    """From the next text on the phone charges nothing; number and PIN are forgotten. Again is harmless.

    Raises WorkerUnknown.
    """
    found = await queries.lock_worker(conn, worker_id=worker_id, provider_id=provider_id)
    if found is None:
        raise WorkerUnknown
    if found.removed_at is not None:
        return found
    await queries.delete_question(conn, worker_id=worker_id)
    worker = await queries.update_removed(conn, worker_id=worker_id)
    await _record(conn, worker, actor, "worker_removed")
    return worker


async def _lock(conn: Connection, provider_id: UUID | None, worker_id: UUID) -> Worker:
    worker = await queries.lock_worker(conn, worker_id=worker_id, provider_id=provider_id)
    if worker is None or worker.removed_at is not None:
        raise WorkerUnknown
    return worker


async def _give_pin(conn: Connection, keys: Keys, worker: Worker, actor: str, action: str) -> NewPin:
    """What was asked before is void: whoever asked may be whom the PIN is changed for."""
    pin = draw_pin(secrets.randbelow)
    await queries.delete_question(conn, worker_id=worker.worker_id)
    pin_sealed = await seal_pin(keys, worker.worker_id, pin)
    changed = await queries.update_pin(conn, worker_id=worker.worker_id, pin_sealed=pin_sealed)
    await _record(conn, worker, actor, action)
    return NewPin(changed, pin)


async def _record(conn: Connection, worker: Worker, actor: str, action: str) -> None:
    await audit.record(conn, organiser_id=NOBODY, actor=actor, action=action, subject_id=worker.worker_id, reason=None)
