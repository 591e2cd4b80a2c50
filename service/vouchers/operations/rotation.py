"""Moving what is sealed and indexed to the newest keys, while the service runs.

Every process must have the new key in front of the old one before this starts; what is written meanwhile is then under
the new key already. Each batch is a transaction of its own and nothing is remembered outside the tables, so it may be
stopped at any moment and run again. When it has ended, the old key can be taken out of the settings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from service.channels.operations.outbox import contact_context
from service.channels.operations.rotation import count_messages, rotate_messages
from service.channels.operations.suppressions import count_suppressions, rotate_suppressions
from service.crypto import Keys
from service.db import Connection, Pool, transaction
from service.vouchers import sealing
from service.vouchers.queries import rotation as queries
from service.vouchers.queries.rotation import START, Place

BATCH_ROWS = 1_000
# Longer than any debit takes between looking under the new key and looking under the old one.
SETTLE_S = 2.0

OnProgress = Callable[[str, int, int], None]
"""Called with the step, the rows looked at, and the rows there were when it began."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction did; `end` None: there is nothing behind it."""

    looked_at: int
    moved: int
    end: Place | None


@dataclass(slots=True)
class Rotation:
    """How many rows each step had to move."""

    moved: dict[str, int] = field(default_factory=dict)


Move = Callable[[Connection, Keys, Place], Awaitable[Batch]]
Count = Callable[[Connection], Awaitable[int]]


async def rotate(
    pool: Pool,
    keys: Keys,
    *,
    on_progress: OnProgress = lambda _step, _done, _total: None,
    settle_s: float = SETTLE_S,
    also: Mapping[str, Callable[[Pool, Keys], Awaitable[int]]] | None = None,
) -> Rotation:
    """Bring everything under the newest keys, and what `also` moves: rows of nouns that stand above this one.

    Idempotent. Raises SealBroken when a row's key is not in the ring.
    """
    rotation = Rotation()
    steps: Mapping[str, tuple[Count, Move]] = {
        "codes": (queries.count_codes, _move_codes),
        "contacts": (queries.count_vouchers, _move_beneficiaries),
        "decisions": (queries.count_vouchers, _move_decisions),
        "messages": (count_messages, _move_messages),
    }
    for step, (count, move) in steps.items():
        async with transaction(pool) as conn:
            total = await count(conn)
        done, place = 0, START
        rotation.moved[step] = 0
        while True:
            async with transaction(pool) as conn:
                batch = await move(conn, keys, place)
            done += batch.looked_at
            rotation.moved[step] += batch.moved
            on_progress(step, done, total)
            if batch.end is None:
                break
            place = batch.end
    for step, rotate_others in (also or {}).items():
        rotation.moved[step] = await rotate_others(pool, keys)
        on_progress(step, rotation.moved[step], rotation.moved[step])
    rotation.moved["suppressions"] = await _move_suppressions(pool, keys, on_progress)
    rotation.moved["lookups"] = await _copy_lookups(pool, keys, on_progress)
    if rotation.moved["lookups"]:
        await asyncio.sleep(settle_s)
    await _drop_lookups(pool, keys)
    return rotation


async def _move_codes(conn: Connection, keys: Keys, after: Place) -> Batch:
    rows = await queries.lock_codes(conn, after=after, limit=BATCH_ROWS)
    moved = [
        (row["organiser_id"], row["code_id"], _reseal(keys, row["sealed"], sealing.code_context(row["code_id"])))
        for row in rows
        if not keys.sealer.is_current(row["sealed"])
    ]
    if moved:
        await queries.update_codes(conn, rows=moved, sealed_key=keys.sealer.key_id)
    return _batch([(row["organiser_id"], row["code_id"]) for row in rows], len(moved))


async def _move_beneficiaries(conn: Connection, keys: Keys, after: Place) -> Batch:
    rows = await queries.lock_beneficiaries(conn, after=after, limit=BATCH_ROWS)
    moved = []
    for row in rows:
        context = contact_context(row["organiser_id"])
        phone = _renew(keys, sealing.PHONE_PURPOSE, row["phone_sealed"], row["phone_index"], context)
        email = _renew(keys, sealing.EMAIL_PURPOSE, row["email_sealed"], row["email_index"], context)
        if (*phone, *email) != tuple(row)[2:]:
            moved.append((row["organiser_id"], row["voucher_id"], *phone, *email))
    if moved:
        await queries.update_beneficiaries(conn, rows=moved)
    return _batch([(row["organiser_id"], row["voucher_id"]) for row in rows], len(moved))


async def _move_decisions(conn: Connection, keys: Keys, after: Place) -> Batch:
    rows = await queries.lock_decisions(conn, after=after, limit=BATCH_ROWS)
    moved = [
        (
            row["organiser_id"],
            row["decision_id"],
            _reseal(keys, row["fingerprint"], sealing.decision_context(row["organiser_id"], row["decision_ref"])),
        )
        for row in rows
        if not keys.sealer.is_current(row["fingerprint"])
    ]
    if moved:
        await queries.update_decisions(conn, rows=moved)
    return _batch([(row["organiser_id"], row["decision_id"]) for row in rows], len(moved))


async def _move_messages(conn: Connection, keys: Keys, after: Place) -> Batch:
    looked_at, moved, end = await rotate_messages(conn, keys, after=after, limit=BATCH_ROWS)
    return Batch(looked_at, moved, end)


async def _move_suppressions(pool: Pool, keys: Keys, on_progress: OnProgress) -> int:
    """The list of contacts that must not be written to, row by row: it belongs to no organiser."""
    async with transaction(pool) as conn:
        total = await count_suppressions(conn)
    place: tuple[str, bytes] | None = ("", b"")
    done, moved = 0, 0
    while place is not None:
        async with transaction(pool) as conn:
            looked_at, changed, place = await rotate_suppressions(conn, keys, after=place, limit=BATCH_ROWS)
        done, moved = done + looked_at, moved + changed
        on_progress("suppressions", done, max(done, total))
    return moved


async def _copy_lookups(pool: Pool, keys: Keys, on_progress: OnProgress) -> int:
    """Write each look-up row a second time, under the newest key."""
    index_key, place, done = keys.index.key_id, ("", UUID(int=0)), 0
    while True:
        async with transaction(pool) as conn:
            rows = await queries.select_old_lookups(conn, index_key=index_key, after=place, limit=BATCH_ROWS)
            copies = [
                (
                    keys.index.current(sealing.CODE_PURPOSE, sealing.open_code(keys, row["code_id"], row["sealed"])),
                    row["organiser_id"],
                    row["voucher_id"],
                    row["code_id"],
                )
                for row in rows
            ]
            if copies:
                await queries.insert_lookups(conn, rows=copies, index_key=index_key)
        done += len(rows)
        on_progress("look-ups", done, done)
        if len(rows) < BATCH_ROWS:
            return done
        place = (rows[-1]["index_key"], rows[-1]["code_id"])


async def _drop_lookups(pool: Pool, keys: Keys) -> None:
    dropped = 1
    while dropped:
        async with transaction(pool) as conn:
            dropped = await queries.delete_old_lookups(conn, index_key=keys.index.key_id, limit=BATCH_ROWS)


def _reseal(keys: Keys, sealed: bytes, context: bytes) -> bytes:
    return keys.sealer.seal(keys.sealer.open(sealed, context), context)


def _renew(
    keys: Keys, purpose: str, sealed: bytes | None, index: bytes | None, context: bytes
) -> tuple[bytes | None, bytes | None]:
    """The sealed form and the index under the newest keys; what is already so comes back as it was."""
    if sealed is None:
        return None, None
    text = keys.sealer.open(sealed, context)
    return sealed if keys.sealer.is_current(sealed) else keys.sealer.seal(text, context), keys.index.current(
        purpose, text
    )


def _batch(places: list[Place], moved: int) -> Batch:
    return Batch(len(places), moved, places[-1] if len(places) == BATCH_ROWS else None)
