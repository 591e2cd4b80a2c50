"""Vouchers and their families' contacts are found and changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.money import Unit
from service.vouchers.model import Beneficiary, CodeView, DecisionStatus, FamilyVoucher, Voucher, VoucherState
from service.vouchers.queries.issuing import SealedContact

# The weekly caps are today's: a later decision may have changed them from a day on.
_VOUCHER = """
SELECT v.organiser_id, v.voucher_id, v.decision_id, d.decision_ref, d.client_ref, d.status, v.programme, v.unit,
       v.code_id, v.state, v.granted, v.available, v.held, v.debited, v.expired, v.cancelled,
       cap.visits AS weekly_visits, cap.minutes AS weekly_minutes, v.valid_from, v.valid_to, v.cancelled_from,
       v.late_entry_stopped, v.created_at, d.confirmed_at
  FROM vouchers v JOIN decisions d ON d.organiser_id = v.organiser_id AND d.decision_id = v.decision_id
 CROSS JOIN LATERAL caps_on(v, helsinki_today()) cap
"""

SELECT_VOUCHER = _VOUCHER + " WHERE v.organiser_id = $1 AND v.voucher_id = $2"


async def select_voucher(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Voucher | None:
    row = await conn.fetchrow(SELECT_VOUCHER, organiser_id, voucher_id)
    return None if row is None else _voucher(row)


# Newest first; ids are UUIDv7, so the id is the time and the cursor.
SELECT_VOUCHERS = (
    _VOUCHER
    + """
 WHERE v.organiser_id = $1 AND ($2::uuid IS NULL OR v.voucher_id < $2)
 ORDER BY v.voucher_id DESC LIMIT $3
"""
)


async def select_vouchers(
    conn: Connection, *, organiser_id: UUID, before: UUID | None, limit: int
) -> Sequence[Voucher]:
    return [_voucher(row) for row in await conn.fetch(SELECT_VOUCHERS, organiser_id, before, limit)]


SELECT_VOUCHERS_OF_REF = (
    _VOUCHER
    + """
 WHERE d.organiser_id = $1 AND d.decision_ref = $2 AND ($3::uuid IS NULL OR v.voucher_id < $3)
 ORDER BY v.voucher_id DESC LIMIT $4
"""
)


async def select_vouchers_of_ref(
    conn: Connection, *, organiser_id: UUID, decision_ref: str, before: UUID | None, limit: int
) -> Sequence[Voucher]:
    rows = await conn.fetch(SELECT_VOUCHERS_OF_REF, organiser_id, decision_ref, before, limit)
    return [_voucher(row) for row in rows]


SELECT_VOUCHERS_OF_CLIENT = (
    _VOUCHER
    + """
 WHERE d.organiser_id = $1 AND d.client_ref = $2 AND ($3::uuid IS NULL OR v.voucher_id < $3)
 ORDER BY v.voucher_id DESC LIMIT $4
"""
)


async def select_vouchers_of_client(
    conn: Connection, *, organiser_id: UUID, client_ref: str, before: UUID | None, limit: int
) -> Sequence[Voucher]:
    rows = await conn.fetch(SELECT_VOUCHERS_OF_CLIENT, organiser_id, client_ref, before, limit)
    return [_voucher(row) for row in rows]


# Both index keys while they rotate: a row has the one or the other.
SELECT_VOUCHERS_OF_PHONE = (
    _VOUCHER
    + """
  JOIN beneficiaries b ON b.organiser_id = v.organiser_id AND b.voucher_id = v.voucher_id
 WHERE b.organiser_id = $1 AND b.phone_index = ANY($2::bytea[]) AND ($3::uuid IS NULL OR v.voucher_id < $3)
 ORDER BY v.voucher_id DESC LIMIT $4
"""
)


async def select_vouchers_of_phone(
    conn: Connection, *, organiser_id: UUID, indexes: Sequence[bytes], before: UUID | None, limit: int
) -> Sequence[Voucher]:
    rows = await conn.fetch(SELECT_VOUCHERS_OF_PHONE, organiser_id, indexes, before, limit)
    return [_voucher(row) for row in rows]


SELECT_VOUCHERS_OF_EMAIL = (
    _VOUCHER
    + """
  JOIN beneficiaries b ON b.organiser_id = v.organiser_id AND b.voucher_id = v.voucher_id
 WHERE b.organiser_id = $1 AND b.email_index = ANY($2::bytea[]) AND ($3::uuid IS NULL OR v.voucher_id < $3)
 ORDER BY v.voucher_id DESC LIMIT $4
"""
)


async def select_vouchers_of_email(
    conn: Connection, *, organiser_id: UUID, indexes: Sequence[bytes], before: UUID | None, limit: int
) -> Sequence[Voucher]:
    rows = await conn.fetch(SELECT_VOUCHERS_OF_EMAIL, organiser_id, indexes, before, limit)
    return [_voucher(row) for row in rows]


# Of codes that were replaced, too: a family may read out its old text.
SELECT_VOUCHERS_OF_LAST_FOUR = (
    _VOUCHER
    + """
 WHERE v.organiser_id = $1 AND ($3::uuid IS NULL OR v.voucher_id < $3)
   AND v.voucher_id IN (SELECT c.voucher_id FROM codes c WHERE c.organiser_id = $1 AND c.last_four = $2)
 ORDER BY v.voucher_id DESC LIMIT $4
"""
)


async def select_vouchers_of_last_four(
    conn: Connection, *, organiser_id: UUID, last_four: str, before: UUID | None, limit: int
) -> Sequence[Voucher]:
    rows = await conn.fetch(SELECT_VOUCHERS_OF_LAST_FOUR, organiser_id, last_four, before, limit)
    return [_voucher(row) for row in rows]


# Of all organisers: the one who asks is the family. Through each organiser's index in turn; there are some hundreds.
SELECT_FAMILY_VOUCHERS = """
SELECT v.organiser_id, v.voucher_id, v.decision_id, d.decision_ref, d.client_ref, d.status, v.programme, v.unit,
       v.code_id, v.state, v.granted, v.available, v.held, v.debited, v.expired, v.cancelled,
       cap.visits AS weekly_visits, cap.minutes AS weekly_minutes, v.valid_from, v.valid_to, v.cancelled_from,
       v.late_entry_stopped, v.created_at, d.confirmed_at, c.last_four, b.language
  FROM organisers o
  JOIN beneficiaries b ON b.organiser_id = o.organiser_id AND b.phone_index = ANY($1::bytea[])
  JOIN vouchers v ON v.organiser_id = b.organiser_id AND v.voucher_id = b.voucher_id
  JOIN decisions d ON d.organiser_id = v.organiser_id AND d.decision_id = v.decision_id
  JOIN codes c ON c.organiser_id = v.organiser_id AND c.code_id = v.code_id
 CROSS JOIN LATERAL caps_on(v, helsinki_today()) cap
 ORDER BY v.voucher_id DESC LIMIT 50
"""


async def select_family_vouchers(conn: Connection, *, phone_indexes: Sequence[bytes]) -> Sequence[FamilyVoucher]:
    """Every voucher whose family has this phone number now, newest first."""
    families = []
    for row in await conn.fetch(SELECT_FAMILY_VOUCHERS, phone_indexes):
        values = dict(row)
        last_four, language = values.pop("last_four"), values.pop("language")
        families.append(FamilyVoucher(_voucher(values), last_four, language))
    return families


_BENEFICIARY = """
SELECT initials, municipality, language, phone_sealed, email_sealed, preferred
  FROM beneficiaries WHERE organiser_id = $1 AND voucher_id = $2
"""
SELECT_BENEFICIARY = _BENEFICIARY
LOCK_BENEFICIARY = _BENEFICIARY + " FOR UPDATE"


async def select_beneficiary(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Beneficiary | None:
    row = await conn.fetchrow(SELECT_BENEFICIARY, organiser_id, voucher_id)
    return None if row is None else Beneficiary(**dict(row))


async def lock_beneficiary(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Beneficiary | None:
    """The row that caseworkers' changes of one voucher wait for; a debit never does."""
    row = await conn.fetchrow(LOCK_BENEFICIARY, organiser_id, voucher_id)
    return None if row is None else Beneficiary(**dict(row))


LOCK_VOUCHER = "SELECT FROM vouchers WHERE organiser_id = $1 AND voucher_id = $2 FOR NO KEY UPDATE"


async def lock_voucher(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> None:
    """The row that every change of a balance or a state waits for. After the beneficiary's, if both are taken."""
    await conn.execute(LOCK_VOUCHER, organiser_id, voucher_id)


UPDATE_CONTACT = """
UPDATE beneficiaries
   SET language = $3, phone_sealed = $4, phone_index = $5, email_sealed = $6, email_index = $7, preferred = $8
 WHERE organiser_id = $1 AND voucher_id = $2
"""


async def update_contact(conn: Connection, *, organiser_id: UUID, voucher_id: UUID, contact: SealedContact) -> None:
    await conn.execute(
        UPDATE_CONTACT,
        organiser_id,
        voucher_id,
        contact.language,
        contact.phone_sealed,
        contact.phone_index,
        contact.email_sealed,
        contact.email_index,
        contact.preferred,
    )


SELECT_CODES = """
SELECT last_four, created_at, superseded_at FROM codes
 WHERE organiser_id = $1 AND voucher_id = $2 ORDER BY superseded_at DESC NULLS FIRST, code_id DESC
"""


async def select_codes(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Sequence[CodeView]:
    """The live code first, then the superseded ones, newest first."""
    return [CodeView(**dict(row)) for row in await conn.fetch(SELECT_CODES, organiser_id, voucher_id)]


# A code that was replaced, or whose voucher nobody can use any more, is not told to anybody.
SELECT_LIVE_CODES = """
SELECT c.code_id, c.sealed
  FROM unnest($1::uuid[], $2::uuid[]) AS wanted (organiser_id, code_id)
  JOIN codes c ON c.organiser_id = wanted.organiser_id AND c.code_id = wanted.code_id
  JOIN vouchers v ON v.organiser_id = c.organiser_id AND v.voucher_id = c.voucher_id
 WHERE c.superseded_at IS NULL AND v.state NOT IN ('cancelled', 'closed')
"""


async def select_live_codes(
    conn: Connection, *, organiser_ids: Sequence[UUID], code_ids: Sequence[UUID]
) -> Sequence[tuple[UUID, bytes]]:
    return [tuple(row) for row in await conn.fetch(SELECT_LIVE_CODES, organiser_ids, code_ids)]


# Whom a link opens the page for: whoever has the code that is live now, until the voucher is closed.
SELECT_FAMILY_CODE = """
SELECT c.voucher_id, c.sealed, b.language
  FROM codes c
  JOIN vouchers v ON v.organiser_id = c.organiser_id AND v.voucher_id = c.voucher_id
  JOIN beneficiaries b ON b.organiser_id = c.organiser_id AND b.voucher_id = c.voucher_id
 WHERE c.organiser_id = $1 AND c.code_id = $2 AND c.superseded_at IS NULL AND v.state <> 'closed'
"""


async def select_family_code(conn: Connection, *, organiser_id: UUID, code_id: UUID) -> Record | None:
    return await conn.fetchrow(SELECT_FAMILY_CODE, organiser_id, code_id)


CONFIRM_DECISION = """
UPDATE decisions SET status = 'confirmed', confirmed_at = now()
 WHERE organiser_id = $1 AND decision_id = $2 AND status = 'provisional'
"""


async def confirm_decision(conn: Connection, *, organiser_id: UUID, decision_id: UUID) -> None:
    await conn.execute(CONFIRM_DECISION, organiser_id, decision_id)


# The end of a cancelled voucher stays what it is: what is stopped are the visits before it that are entered late.
SUSPEND_VOUCHER = """
UPDATE vouchers SET state = CASE WHEN state = 'cancelled' THEN state ELSE 'suspended' END,
                    late_entry_stopped = state = 'cancelled'
WHERE organiser_id = $1 AND voucher_id = $2
"""


async def suspend_voucher(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> None:
    await conn.execute(SUSPEND_VOUCHER, organiser_id, voucher_id)


RESUME_VOUCHER = """
UPDATE vouchers SET state = CASE WHEN state = 'cancelled' THEN state ELSE 'issued' END, late_entry_stopped = false
WHERE organiser_id = $1 AND voucher_id = $2
"""


async def resume_voucher(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> None:
    await conn.execute(RESUME_VOUCHER, organiser_id, voucher_id)


CANCEL_VOUCHER = """
UPDATE vouchers SET state = 'cancelled', cancelled_from = $3,
                    late_entry_stopped = late_entry_stopped OR state = 'suspended'
WHERE organiser_id = $1 AND voucher_id = $2
"""


async def cancel_voucher(conn: Connection, *, organiser_id: UUID, voucher_id: UUID, from_date: date) -> None:
    await conn.execute(CANCEL_VOUCHER, organiser_id, voucher_id, from_date)


# With `limit` resends in the last 24 hours, the limit-th newest must be a day old before the next one.
SELECT_LIMITING_RESEND = """
SELECT recorded_at, now() AS now FROM audit
 WHERE organiser_id = $1 AND subject_id = $2 AND action = $3 AND recorded_at > now() - interval '24 hours'
   AND (actor = $4) = $5
 ORDER BY recorded_at DESC OFFSET $6 LIMIT 1
"""


async def select_limiting_resend(
    conn: Connection, *, organiser_id: UUID, voucher_id: UUID, action: str, family: str, is_family: bool, limit: int
) -> tuple[datetime, datetime] | None:
    """When it was recorded, and the database's present time; None while another resend is allowed.

    Either those that the actor `family` asked for count, or all others."""
    row = await conn.fetchrow(SELECT_LIMITING_RESEND, organiser_id, voucher_id, action, family, is_family, limit - 1)
    return None if row is None else (row["recorded_at"], row["now"])


def _voucher(row: Record | dict[str, Any]) -> Voucher:
    values = dict(row)
    values["unit"] = Unit(values["unit"])
    values["state"] = VoucherState(values["state"])
    values["status"] = DecisionStatus(values["status"])
    return Voucher(**values)


# A receipt, a reminder or an answer is about the same subject, but tells no code.
# A grace of two minutes: nothing is wrong with a voucher that is being made right now. Two weeks back is more than any
# outage; older ones without a message were dealt with by people.
SELECT_WITHOUT_MESSAGE = """
SELECT v.organiser_id, v.voucher_id
  FROM vouchers v JOIN beneficiaries b USING (organiser_id, voucher_id)
 WHERE v.created_at BETWEEN now() - interval '14 days' AND now() - interval '2 minutes'
   AND v.state IN ('issued', 'suspended')
   AND (b.phone_sealed IS NOT NULL OR b.email_sealed IS NOT NULL)
   AND NOT EXISTS (SELECT FROM messages m
                    WHERE m.organiser_id = v.organiser_id AND m.subject_id = v.voucher_id AND m.kind = 'voucher')
 ORDER BY v.created_at LIMIT $1
"""


async def select_without_message(conn: Connection, *, limit: int) -> Sequence[tuple[UUID, UUID]]:
    """(organiser, voucher) of open vouchers that nobody was told of."""
    return [(row[0], row[1]) for row in await conn.fetch(SELECT_WITHOUT_MESSAGE, limit)]


SELECT_HAS_MESSAGE = """
SELECT EXISTS (SELECT FROM messages WHERE organiser_id = $1 AND subject_id = $2 AND kind = 'voucher')
"""


async def select_has_message(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> bool:
    return bool(await conn.fetchval(SELECT_HAS_MESSAGE, organiser_id, voucher_id))


# Both rows have the time of the one transaction that wrote them, and a voucher's transactions wait for each other.
SELECT_REASONS_GIVEN = """
SELECT m.message_id, a.reason
  FROM messages m
  JOIN audit a ON a.organiser_id = m.organiser_id AND a.subject_id = m.subject_id AND a.recorded_at = m.created_at
 WHERE m.organiser_id = $1 AND m.subject_id = $2 AND m.kind = 'voucher' AND m.fallback_of IS NULL
   AND a.reason IS NOT NULL
"""


async def select_reasons_given(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> dict[UUID, str]:
    """The reason in the audit log for each message that was asked for with one."""
    rows = await conn.fetch(SELECT_REASONS_GIVEN, organiser_id, voucher_id)
    return {row["message_id"]: row["reason"] for row in rows}
