"""Rows are moved to newer keys, batch by batch, each row locked while it is moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast
from uuid import UUID

from asyncpg import Record

from service.db import Connection

Place = tuple[UUID, UUID]

START: Place = (UUID(int=0), UUID(int=0))

COUNT_VOUCHERS = "SELECT count(*) FROM vouchers"
COUNT_CODES = "SELECT count(*) FROM codes"


async def count_vouchers(conn: Connection) -> int:
    """How many decisions, vouchers and beneficiaries there are."""
    return cast("int", await conn.fetchval(COUNT_VOUCHERS))


async def count_codes(conn: Connection) -> int:
    """How many codes there are, superseded ones included."""
    return cast("int", await conn.fetchval(COUNT_CODES))


LOCK_CODES = """
SELECT organiser_id, code_id, sealed FROM codes
 WHERE (organiser_id, code_id) > ($1, $2) ORDER BY organiser_id, code_id LIMIT $3 FOR UPDATE
"""


async def lock_codes(conn: Connection, *, after: Place, limit: int) -> Sequence[Record]:
    return await conn.fetch(LOCK_CODES, *after, limit)


UPDATE_CODES = """
UPDATE codes c SET sealed = new.sealed, sealed_key = $4
  FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS new (organiser_id, code_id, sealed)
 WHERE c.organiser_id = new.organiser_id AND c.code_id = new.code_id
"""


async def update_codes(conn: Connection, *, rows: Sequence[tuple[UUID, UUID, bytes]], sealed_key: str) -> None:
    await conn.execute(UPDATE_CODES, *_columns(rows, 3), sealed_key)


# The old row stays beside the new one until all are copied: a debit looks under the new key first and under the old one
# a moment later, and must find the code in one of the two.
SELECT_OLD_LOOKUPS = """
SELECT l.index_key, l.organiser_id, l.voucher_id, l.code_id, c.sealed
  FROM voucher_codes l JOIN codes c ON c.organiser_id = l.organiser_id AND c.code_id = l.code_id
 WHERE l.index_key <> $1 AND (l.index_key, l.code_id) > ($2, $3)
 ORDER BY l.index_key, l.code_id LIMIT $4
"""


async def select_old_lookups(
    conn: Connection, *, index_key: str, after: tuple[str, UUID], limit: int
) -> Sequence[Record]:
    return await conn.fetch(SELECT_OLD_LOOKUPS, index_key, *after, limit)


INSERT_LOOKUPS = """
INSERT INTO voucher_codes (code_index, organiser_id, voucher_id, code_id, index_key)
SELECT code_index, organiser_id, voucher_id, code_id, $5
  FROM unnest($1::bytea[], $2::uuid[], $3::uuid[], $4::uuid[]) AS new (code_index, organiser_id, voucher_id, code_id)
 ORDER BY code_index
ON CONFLICT (code_index) DO NOTHING
"""


async def insert_lookups(conn: Connection, *, rows: Sequence[tuple[bytes, UUID, UUID, UUID]], index_key: str) -> None:
    await conn.execute(INSERT_LOOKUPS, *_columns(rows, 4), index_key)


DELETE_OLD_LOOKUPS = """
DELETE FROM voucher_codes WHERE code_index IN (
    SELECT old.code_index FROM voucher_codes old
     WHERE old.index_key <> $1
       AND EXISTS (SELECT FROM voucher_codes new WHERE new.index_key = $1 AND new.code_id = old.code_id)
     LIMIT $2)
RETURNING code_id
"""


async def delete_old_lookups(conn: Connection, *, index_key: str, limit: int) -> int:
    """Take away rows under older keys whose copy under this key is there; returns how many."""
    return len(await conn.fetch(DELETE_OLD_LOOKUPS, index_key, limit))


LOCK_BENEFICIARIES = """
SELECT organiser_id, voucher_id, phone_sealed, phone_index, email_sealed, email_index FROM beneficiaries
 WHERE (organiser_id, voucher_id) > ($1, $2) ORDER BY organiser_id, voucher_id LIMIT $3 FOR UPDATE
"""


async def lock_beneficiaries(conn: Connection, *, after: Place, limit: int) -> Sequence[Record]:
    return await conn.fetch(LOCK_BENEFICIARIES, *after, limit)


UPDATE_BENEFICIARIES = """
UPDATE beneficiaries b
   SET phone_sealed = new.phone_sealed, phone_index = new.phone_index,
       email_sealed = new.email_sealed, email_index = new.email_index
  FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[])
       AS new (organiser_id, voucher_id, phone_sealed, phone_index, email_sealed, email_index)
 WHERE b.organiser_id = new.organiser_id AND b.voucher_id = new.voucher_id
"""


async def update_beneficiaries(
    conn: Connection,
    *,
    rows: Sequence[tuple[UUID, UUID, bytes | None, bytes | None, bytes | None, bytes | None]],
) -> None:
    await conn.execute(UPDATE_BENEFICIARIES, *_columns(rows, 6))


LOCK_DECISIONS = """
SELECT organiser_id, decision_id, decision_ref, fingerprint FROM decisions
 WHERE (organiser_id, decision_id) > ($1, $2) ORDER BY organiser_id, decision_id LIMIT $3 FOR NO KEY UPDATE
"""


async def lock_decisions(conn: Connection, *, after: Place, limit: int) -> Sequence[Record]:
    return await conn.fetch(LOCK_DECISIONS, *after, limit)


UPDATE_DECISIONS = """
UPDATE decisions d SET fingerprint = new.fingerprint
  FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS new (organiser_id, decision_id, fingerprint)
 WHERE d.organiser_id = new.organiser_id AND d.decision_id = new.decision_id
"""


async def update_decisions(conn: Connection, *, rows: Sequence[tuple[UUID, UUID, bytes]]) -> None:
    await conn.execute(UPDATE_DECISIONS, *_columns(rows, 3))


def _columns(rows: Sequence[Sequence[object]], count: int) -> list[list[object]]:
    """Rows turned into the arrays that unnest takes."""
    return [[row[place] for row in rows] for place in range(count)]
