"""Every statement about requests, entries and the debit functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.debits.model import DebitOrder

DEBIT_MANY = """
SELECT outcome, answer, replayed, language
FROM debit_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ORDER BY place
"""


async def debit_many(conn: Connection, orders: Sequence[DebitOrder]) -> list[Record]:
    """Charge all of these in one statement; one row an order, in their order. No time-out on this call: a debit cut
    off while it waits for the synchronous standby is committed on one machine alone."""
    return await conn.fetch(
        DEBIT_MANY,
        [order.provider_id for order in orders],
        [order.credential_id for order in orders],
        [order.key for order in orders],
        [order.fingerprint for order in orders],
        [order.previous_fingerprint for order in orders],
        [order.code_index for order in orders],
        [order.previous_code_index for order in orders],
        [order.entry_id for order in orders],
        [order.amount for order in orders],
        [order.service_date for order in orders],
        [order.reference for order in orders],
        [order.language for order in orders],
    )


REVERSE = "SELECT outcome, answer, replayed, language FROM reverse_debit($1, $2, $3, $4, $5, $6, $7, $8, $9)"


async def reverse(
    conn: Connection,
    *,
    provider_id: UUID,
    credential_id: UUID,
    key: str,
    fingerprint: bytes,
    previous_fingerprint: bytes | None,
    entry_id: UUID,
    debit_id: UUID,
    reason: str | None,
    language: str,
) -> Record:
    """Undo one debit in one statement."""
    row = await conn.fetchrow(
        REVERSE,
        provider_id,
        credential_id,
        key,
        fingerprint,
        previous_fingerprint,
        entry_id,
        debit_id,
        reason,
        language,
    )
    assert row is not None
    return row


VALIDATE = "SELECT outcome, details FROM validate_code($1, $2, $3, $4, $5, $6)"


async def validate(
    conn: Connection,
    *,
    provider_id: UUID,
    credential_id: UUID,
    code_index: bytes,
    previous_code_index: bytes | None,
    amount: int | None,
    service_date: date | None,
) -> Record:
    row = await conn.fetchrow(
        VALIDATE, provider_id, credential_id, code_index, previous_code_index, amount, service_date
    )
    assert row is not None
    return row


MISSES_TODAY = "SELECT count(*) FROM code_misses WHERE missed_at > now() - interval '1 day'"


async def count_misses_today(conn: Connection) -> int:
    """Misses of the whole installation in the last 24 hours."""
    return int(await conn.fetchval(MISSES_TODAY))


# Keyset on the id, which is a UUIDv7: newest first, and new debits never shift a page.
HISTORY = """
SELECT e.entry_id, e.kind, e.amount, e.service_date, e.entered_at, e.reference, e.reverses, e.voucher_id,
       v.unit, v.programme, o.slug AS organiser, d.decision_ref, c.last_four,
       r.entry_id AS reversed_by, r.entered_at AS reversed_at
FROM entries e
JOIN vouchers v ON v.organiser_id = e.organiser_id AND v.voucher_id = e.voucher_id
JOIN decisions d ON d.organiser_id = v.organiser_id AND d.decision_id = v.decision_id
JOIN codes c ON c.organiser_id = e.organiser_id AND c.code_id = e.code_id
JOIN organisers o ON o.organiser_id = e.organiser_id
LEFT JOIN entries r ON r.organiser_id = e.organiser_id AND r.reverses = e.entry_id
WHERE e.provider_id = $1 AND e.kind = 'debit' AND ($2::uuid IS NULL OR e.entry_id < $2)
ORDER BY e.entry_id DESC LIMIT $3
"""


async def history(conn: Connection, *, provider_id: UUID, before: UUID | None, limit: int) -> list[Record]:
    return await conn.fetch(HISTORY, provider_id, before, limit)
