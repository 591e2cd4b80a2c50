"""Every statement about workers and their questions. Days are the database's, in Helsinki."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.staff.model import Worker

_WORKER = "worker_id, provider_id, name, language, phone_hint, locked_at, created_at, removed_at"


@dataclass(frozen=True, slots=True)
class WorkerRow:
    worker_id: UUID
    provider_id: UUID
    name: str
    language: str
    phone_sealed: bytes = field(repr=False)
    phone_index: bytes = field(repr=False)
    phone_hint: str
    pin_sealed: bytes = field(repr=False)


PHONE_IS_TAKEN = "SELECT EXISTS (SELECT FROM workers WHERE phone_index = ANY($1::bytea[]))"


async def phone_is_taken(conn: Connection, *, phone_indexes: Sequence[bytes]) -> bool:
    """Whether the number is a live worker's; while index keys rotate it may be under either."""
    return bool(await conn.fetchval(PHONE_IS_TAKEN, phone_indexes))


INSERT_WORKER = f"""
INSERT INTO workers (worker_id, provider_id, name, language, phone_sealed, phone_index, phone_hint, pin_sealed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT ON CONSTRAINT workers_phone_once DO NOTHING
RETURNING {_WORKER}
"""


async def insert_worker(conn: Connection, *, row: WorkerRow) -> Worker | None:
    """None: another live worker has got the number in the meantime."""
    inserted = await conn.fetchrow(
        INSERT_WORKER,
        row.worker_id,
        row.provider_id,
        row.name,
        row.language,
        row.phone_sealed,
        row.phone_index,
        row.phone_hint,
        row.pin_sealed,
    )
    return None if inserted is None else Worker(**dict(inserted))


SELECT_WORKERS = f"""
SELECT {_WORKER} FROM workers
 WHERE provider_id = $1 AND removed_at IS NULL AND ($2::uuid IS NULL OR worker_id > $2) ORDER BY worker_id LIMIT $3
"""


async def select_workers(conn: Connection, *, provider_id: UUID, after: UUID | None, limit: int) -> Sequence[Worker]:
    """Those that are not removed, oldest first."""
    return [Worker(**dict(row)) for row in await conn.fetch(SELECT_WORKERS, provider_id, after, limit)]


# A provider may change its own; no provider: whoever runs the service.
LOCK_WORKER = f"""
SELECT {_WORKER} FROM workers
 WHERE worker_id = $1 AND ($2::uuid IS NULL OR provider_id = $2) FOR NO KEY UPDATE
"""


async def lock_worker(conn: Connection, *, worker_id: UUID, provider_id: UUID | None) -> Worker | None:
    row = await conn.fetchrow(LOCK_WORKER, worker_id, provider_id)
    return None if row is None else Worker(**dict(row))


UPDATE_PIN = f"""
UPDATE workers SET pin_sealed = $2, wrong_pins = 0, locked_at = NULL WHERE worker_id = $1 RETURNING {_WORKER}
"""


async def update_pin(conn: Connection, *, worker_id: UUID, pin_sealed: bytes) -> Worker:
    row = await conn.fetchrow(UPDATE_PIN, worker_id, pin_sealed)
    assert row is not None, "the caller has locked the row"
    return Worker(**dict(row))


UPDATE_REMOVED = f"""
UPDATE workers
   SET removed_at = COALESCE(removed_at, now()),
       phone_sealed = NULL, phone_index = NULL, phone_hint = NULL, pin_sealed = NULL
 WHERE worker_id = $1
RETURNING {_WORKER}
"""


async def update_removed(conn: Connection, *, worker_id: UUID) -> Worker:
    row = await conn.fetchrow(UPDATE_REMOVED, worker_id)
    assert row is not None, "the caller has locked the row"
    return Worker(**dict(row))


# The one statement that finds the sender of a text also locks its row until the answer is committed: two texts at once
# get no more tries and no more charges than one after the other.
TAKE_SENDER = """
UPDATE workers w
   SET texts = CASE WHEN counted_on = helsinki_today() THEN texts + 1 ELSE 1 END,
       charges = CASE WHEN counted_on = helsinki_today() THEN charges ELSE 0 END,
       counted_on = helsinki_today()
  FROM providers p
 WHERE p.provider_id = w.provider_id AND w.phone_index = ANY($1::bytea[])
RETURNING w.worker_id, w.provider_id, w.name, w.language, w.pin_sealed, w.wrong_pins,
          w.locked_at IS NOT NULL AS is_locked, p.suspended_at IS NOT NULL AS is_suspended,
          w.texts AS texts_today, w.charges AS charges_today
"""


async def take_sender(conn: Connection, *, phone_indexes: Sequence[bytes]) -> Record | None:
    """The live worker whose number this is, locked, with this text counted; None: nobody's."""
    return await conn.fetchrow(TAKE_SENDER, phone_indexes)


COUNT_WRONG = """
UPDATE workers SET wrong_pins = wrong_pins + 1, locked_at = CASE WHEN wrong_pins + 1 >= $2 THEN clock_timestamp() END
 WHERE worker_id = $1 RETURNING wrong_pins
"""


async def count_wrong(conn: Connection, *, worker_id: UUID, locks_at: int) -> int:
    """How many there are now in a row; the one that is `locks_at` locks the worker."""
    return int(await conn.fetchval(COUNT_WRONG, worker_id, locks_at))


CLEAR_WRONG = "UPDATE workers SET wrong_pins = 0 WHERE worker_id = $1 AND wrong_pins > 0 AND locked_at IS NULL"


async def clear_wrong(conn: Connection, *, worker_id: UUID) -> None:
    await conn.execute(CLEAR_WRONG, worker_id)


COUNT_CHARGE = "UPDATE workers SET charges = charges + 1 WHERE worker_id = $1"


async def count_charge(conn: Connection, *, worker_id: UUID) -> None:
    await conn.execute(COUNT_CHARGE, worker_id)


SELECT_NOW = "SELECT now()"


async def select_now(conn: Connection) -> datetime:
    """The moment in which the text was taken, by the clock that charges go by."""
    now: datetime = await conn.fetchval(SELECT_NOW)
    return now


SELECT_CODE = "SELECT organiser_id, code_id FROM voucher_codes WHERE code_index = ANY($1::bytea[]) LIMIT 1"


async def select_code(conn: Connection, *, code_indexes: Sequence[bytes]) -> tuple[UUID, UUID] | None:
    """(organiser, code). Only asked about codes that the rule book has found to be the worker's business."""
    row = await conn.fetchrow(SELECT_CODE, code_indexes)
    return None if row is None else (row["organiser_id"], row["code_id"])


@dataclass(frozen=True, slots=True)
class Question:
    worker_id: UUID
    question_id: UUID
    number_sealed: bytes = field(repr=False)
    organiser_id: UUID
    code_id: UUID
    amount: int | None
    service_date: date
    starts_at: datetime | None
    ends_at: datetime | None
    key: str
    fingerprint: bytes
    is_alike: bool
    """Whether it tells that a visit like this one is charged or held already."""


ASK = """
INSERT INTO charge_questions (worker_id, question_id, number_sealed, organiser_id, code_id, amount, service_date,
                              starts_at, ends_at, key, fingerprint, is_alike, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, clock_timestamp() + make_interval(mins => $13))
ON CONFLICT (worker_id) DO UPDATE SET
    question_id = excluded.question_id, number_sealed = excluded.number_sealed, organiser_id = excluded.organiser_id,
    code_id = excluded.code_id, amount = excluded.amount, service_date = excluded.service_date,
    starts_at = excluded.starts_at, ends_at = excluded.ends_at, key = excluded.key,
    fingerprint = excluded.fingerprint, is_alike = excluded.is_alike, expires_at = excluded.expires_at
"""


async def ask(conn: Connection, *, question: Question, minutes: int) -> None:
    """Keep a question until it is answered or its time is over; an earlier one of the worker's goes."""
    await conn.execute(
        ASK,
        question.worker_id,
        question.question_id,
        question.number_sealed,
        question.organiser_id,
        question.code_id,
        question.amount,
        question.service_date,
        question.starts_at,
        question.ends_at,
        question.key,
        question.fingerprint,
        question.is_alike,
        minutes,
    )


SELECT_QUESTION = """
SELECT q.question_id, q.number_sealed, q.organiser_id, q.code_id, q.amount, q.service_date,
       q.starts_at, q.ends_at, q.key, q.fingerprint, q.is_alike, c.sealed AS code_sealed
  FROM charge_questions q JOIN codes c ON c.organiser_id = q.organiser_id AND c.code_id = q.code_id
 WHERE q.worker_id = $1 AND q.expires_at > clock_timestamp()
"""


async def select_question(conn: Connection, *, worker_id: UUID) -> Record | None:
    """The worker's question whose time is not over."""
    return await conn.fetchrow(SELECT_QUESTION, worker_id)


DELETE_QUESTION = "DELETE FROM charge_questions WHERE worker_id = $1"


async def delete_question(conn: Connection, *, worker_id: UUID) -> None:
    await conn.execute(DELETE_QUESTION, worker_id)


SELECT_NUMBERS = """
SELECT question_id, number_sealed FROM charge_questions
 WHERE question_id = ANY($1::uuid[]) AND expires_at > clock_timestamp()
"""


async def select_numbers(conn: Connection, *, question_ids: Sequence[UUID]) -> Sequence[Record]:
    """The numbers of questions that can still be answered."""
    return await conn.fetch(SELECT_NUMBERS, question_ids)


LOCK_SEALED = """
SELECT worker_id, phone_sealed, phone_index, pin_sealed FROM workers
 WHERE worker_id > $1 AND removed_at IS NULL ORDER BY worker_id LIMIT $2 FOR NO KEY UPDATE
"""


async def lock_sealed(conn: Connection, *, after: UUID, limit: int) -> Sequence[Record]:
    return await conn.fetch(LOCK_SEALED, after, limit)


UPDATE_SEALED = """
UPDATE workers w SET phone_sealed = new.phone_sealed, phone_index = new.phone_index, pin_sealed = new.pin_sealed
  FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[])
       AS new (worker_id, phone_sealed, phone_index, pin_sealed)
 WHERE w.worker_id = new.worker_id
"""


async def update_sealed(conn: Connection, *, rows: Sequence[tuple[UUID, bytes, bytes, bytes]]) -> None:
    await conn.execute(UPDATE_SEALED, *([row[place] for row in rows] for place in range(4)))
