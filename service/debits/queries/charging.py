"""Charging, taking back, and what must be known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.debits.model import ChargeOrder
from service.idempotency import Claim
from service.quiet_hours import USUAL, QuietHours

DEBIT_MANY = "SELECT outcome, answer, replayed, language FROM debit_many($1, $2, $3, $4, $5) ORDER BY place"


async def debit_many(
    conn: Connection,
    orders: Sequence[ChargeOrder],
    *,
    holidays: Sequence[date],
    eves: Sequence[date],
    quiet: QuietHours,
) -> list[Record]:
    """Charge all of these in one statement; one row an order, in their order. No time-out on this call: a debit cut
    off while it waits for the synchronous standby is committed on one machine alone."""
    return await conn.fetch(
        DEBIT_MANY, [order.as_row() for order in orders], holidays, eves, quiet.from_hour, quiet.to_hour
    )


REVERSE = """
SELECT outcome, answer, replayed, language FROM reverse_debit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""


async def reverse(
    conn: Connection,
    claim: Claim,
    *,
    credential_id: UUID,
    entry_id: UUID,
    debit_id: UUID,
    amount: int | None = None,
    reason: str | None = None,
    quiet: QuietHours = USUAL,
) -> Record:
    """Undo one debit, or a part of it, in one statement."""
    row = await conn.fetchrow(
        REVERSE,
        claim.owner_id,
        credential_id,
        claim.key,
        claim.fingerprint,
        claim.previous_fingerprint,
        claim.language,
        entry_id,
        debit_id,
        amount,
        reason,
        quiet.from_hour,
        quiet.to_hour,
    )
    assert row is not None
    return row


VALIDATE = "SELECT outcome, details FROM validate_code($1, $2, $3)"


async def validate(conn: Connection, order: ChargeOrder, *, holidays: Sequence[date], eves: Sequence[date]) -> Record:
    row = await conn.fetchrow(VALIDATE, order.as_row(), holidays, eves)
    assert row is not None
    return row


# Whoever asks: it is told nothing of this, and nothing is counted. Whether the code is its business is debit's to say.
# Rules are looked up for a code that nobody has, too: whether one exists must not show in the time it takes.
SELECT_TERMS = """
SELECT v.unit, r.starts_on, r.step, r.rounding, r.evening_from, r.evening_to, r.eves_are_holidays
FROM (SELECT) AS one_row
LEFT JOIN voucher_codes c ON c.code_index = $1 OR c.code_index = $2
LEFT JOIN vouchers v ON v.organiser_id = c.organiser_id AND v.voucher_id = c.voucher_id
LEFT JOIN LATERAL rules_on(COALESCE(v.organiser_id, gen_random_uuid()), COALESCE(v.programme, ''), $3) r ON true
"""


async def select_terms(
    conn: Connection, *, code_index: bytes, previous_code_index: bytes | None, on: date
) -> Record | None:
    """By what a visit's hours are counted, for the voucher of a code; None for a code that nobody has."""
    row = await conn.fetchrow(SELECT_TERMS, code_index, previous_code_index, on)
    return None if row is None or row["unit"] is None else row
