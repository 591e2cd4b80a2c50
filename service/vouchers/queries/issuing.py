"""A decision, its voucher, its codes come into being."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from asyncpg import UniqueViolationError

from service.db import Connection
from service.vouchers.decisions import NewDecision
from service.vouchers.model import DecisionDiffers


class SealedCode(NamedTuple):
    """A code ready to be stored: looked up by index, told again from the sealed form."""

    code_id: UUID
    code_index: bytes
    previous_index: bytes | None
    index_key: str
    sealed: bytes
    sealed_key: str
    last_four: str


class SealedContact(NamedTuple):
    """A contact ready to be stored."""

    language: str
    phone_sealed: bytes | None
    phone_index: bytes | None
    email_sealed: bytes | None
    email_index: bytes | None
    preferred: str


@contextmanager
def naming_one(decision_ref: str) -> Iterator[None]:
    """Raises DecisionDiffers when a new and a later decision with this decision_ref are stored at the same moment.

    The transaction is lost with it. What was committed before is seen without: migration 0058 says why both are needed.
    """
    try:
        yield
    except UniqueViolationError as error:
        if error.constraint_name != "decision_ref_names_one":
            raise
        raise DecisionDiffers(decision_ref=decision_ref) from error


@dataclass(frozen=True, slots=True)
class Inserted:
    """What came of an insert: whether the decision was new, and whether nobody else had the code."""

    decision: bool
    code: bool


# One statement, one round trip. The foreign keys are checked at its end, when all rows are there. A code that somebody
# else already has, under this index key or the one before it, is left out: the caller draws another. A decision that
# has changed a voucher makes none.
INSERT_VOUCHER = """
WITH decision AS (
    INSERT INTO decisions (organiser_id, decision_id, decision_ref, programme, status, client_ref, granted,
        weekly_visits, weekly_minutes, valid_from, valid_to, fingerprint, created_by, confirmed_at)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, CASE WHEN $5 = 'confirmed' THEN now() END
     WHERE NOT EXISTS (SELECT FROM decision_versions WHERE organiser_id = $1 AND decision_ref = $3)
    ON CONFLICT (organiser_id, decision_ref) DO NOTHING
    RETURNING decision_id
), voucher AS (
    INSERT INTO vouchers (organiser_id, voucher_id, decision_id, programme, unit, code_id, granted, available,
        weekly_visits, weekly_minutes, valid_from, valid_to)
    SELECT $1, $14, decision_id, $4, $15, $16, $7, $7, $8, $9, $10, $11 FROM decision
), beneficiary AS (
    INSERT INTO beneficiaries (organiser_id, voucher_id, initials, municipality, language, phone_sealed, phone_index,
        email_sealed, email_index, preferred)
    SELECT $1, $14, $17, $18, $19, $20, $21, $22, $23, $30 FROM decision
), stored_code AS (
    INSERT INTO codes (organiser_id, code_id, voucher_id, sealed, sealed_key, last_four)
    SELECT $1, $16, $14, $24, $25, $26 FROM decision
), looked_up AS (
    INSERT INTO voucher_codes (code_index, index_key, organiser_id, voucher_id, code_id)
    SELECT $27, $28, $1, $14, $16 FROM decision
    WHERE NOT EXISTS (SELECT FROM voucher_codes WHERE code_index = $29)
    ON CONFLICT (code_index) DO NOTHING
    RETURNING code_id
)
SELECT EXISTS (SELECT FROM decision) AS decision, EXISTS (SELECT FROM looked_up) AS code
"""


async def insert_voucher(
    conn: Connection,
    *,
    organiser_id: UUID,
    decision_id: UUID,
    voucher_id: UUID,
    decision: NewDecision,
    fingerprint: bytes,
    contact: SealedContact,
    code: SealedCode,
    created_by: str,
) -> Inserted:
    with naming_one(decision.decision_ref):
        row = await conn.fetchrow(
            INSERT_VOUCHER,
            organiser_id,
            decision_id,
            decision.decision_ref,
            decision.programme.programme,
            decision.status.value,
            decision.client_ref,
            decision.granted,
            *decision.weekly_caps,
            decision.valid_from,
            decision.valid_to,
            fingerprint,
            created_by,
            voucher_id,
            decision.programme.unit.value,
            code.code_id,
            decision.initials,
            decision.municipality,
            contact.language,
            contact.phone_sealed,
            contact.phone_index,
            contact.email_sealed,
            contact.email_index,
            code.sealed,
            code.sealed_key,
            code.last_four,
            code.code_index,
            code.index_key,
            code.previous_index,
            contact.preferred,
        )
    assert row is not None
    return Inserted(decision=row["decision"], code=row["code"])


INSERT_LOOKUP = """
INSERT INTO voucher_codes (code_index, index_key, organiser_id, voucher_id, code_id)
SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT FROM voucher_codes WHERE code_index = $6)
ON CONFLICT (code_index) DO NOTHING RETURNING code_id
"""


async def insert_lookup(conn: Connection, *, organiser_id: UUID, voucher_id: UUID, code: SealedCode) -> bool:
    """False when another voucher has this code."""
    return (
        await conn.fetchval(
            INSERT_LOOKUP, code.code_index, code.index_key, organiser_id, voucher_id, code.code_id, code.previous_index
        )
        is not None
    )


UPDATE_SEALED_CODE = """
UPDATE codes SET sealed = $3, sealed_key = $4, last_four = $5 WHERE organiser_id = $1 AND code_id = $2
"""


async def update_sealed_code(conn: Connection, *, organiser_id: UUID, code: SealedCode) -> None:
    await conn.execute(UPDATE_SEALED_CODE, organiser_id, code.code_id, code.sealed, code.sealed_key, code.last_four)


SELECT_DECISION = """
SELECT d.fingerprint, v.voucher_id
  FROM decisions d JOIN vouchers v ON v.organiser_id = d.organiser_id AND v.decision_id = d.decision_id
 WHERE d.organiser_id = $1 AND d.decision_ref = $2
"""


async def select_decision(conn: Connection, *, organiser_id: UUID, decision_ref: str) -> tuple[bytes, UUID] | None:
    """The fingerprint and the voucher of a decision."""
    row = await conn.fetchrow(SELECT_DECISION, organiser_id, decision_ref)
    return None if row is None else (row["fingerprint"], row["voucher_id"])


SUPERSEDE_CODES = """
UPDATE codes SET superseded_at = now() WHERE organiser_id = $1 AND voucher_id = $2 AND superseded_at IS NULL
"""


async def supersede_codes(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> None:
    await conn.execute(SUPERSEDE_CODES, organiser_id, voucher_id)


INSERT_CODE = """
WITH stored AS (
    INSERT INTO codes (organiser_id, code_id, voucher_id, sealed, sealed_key, last_four) VALUES ($1, $2, $3, $4, $5, $6)
)
UPDATE vouchers SET code_id = $2 WHERE organiser_id = $1 AND voucher_id = $3
"""


async def insert_code(conn: Connection, *, organiser_id: UUID, voucher_id: UUID, code: SealedCode) -> None:
    """Store a code and make it the voucher's live one; the one before must be superseded already."""
    await conn.execute(
        INSERT_CODE, organiser_id, code.code_id, voucher_id, code.sealed, code.sealed_key, code.last_four
    )
