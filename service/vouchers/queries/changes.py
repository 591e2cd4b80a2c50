"""Later decisions about vouchers, and what has happened to a voucher besides charges."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.vouchers.changes import AskedChange, Cap, CapVersion, DecisionVersion, OpenHold, ValueChange
from service.vouchers.queries.issuing import naming_one

_VERSION = """
SELECT version_id, voucher_id, decision_ref, asked_from, starts_on, granted, sets_visits, weekly_visits, sets_minutes,
       weekly_minutes, valid_to, outcome, granted_after, reason, created_by, created_at
  FROM decision_versions
"""

SELECT_VERSION_OF_REF = _VERSION + " WHERE organiser_id = $1 AND decision_ref = $2"


async def select_version_of_ref(conn: Connection, *, organiser_id: UUID, decision_ref: str) -> DecisionVersion | None:
    row = await conn.fetchrow(SELECT_VERSION_OF_REF, organiser_id, decision_ref)
    return None if row is None else _version(row)


SELECT_VERSIONS = (
    _VERSION
    + """
 WHERE organiser_id = $1 AND voucher_id = $2 ORDER BY version_id
"""
)


async def select_versions(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Sequence[DecisionVersion]:
    """Oldest first."""
    return [_version(row) for row in await conn.fetch(SELECT_VERSIONS, organiser_id, voucher_id)]


INSERT_VERSION = """
INSERT INTO decision_versions (organiser_id, version_id, voucher_id, decision_ref, asked_from, starts_on, granted,
    sets_visits, weekly_visits, sets_minutes, weekly_minutes, valid_to, reason, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (organiser_id, decision_ref) DO NOTHING RETURNING version_id
"""


async def insert_version(
    conn: Connection,
    *,
    organiser_id: UUID,
    version_id: UUID,
    voucher_id: UUID,
    asked: AskedChange,
    starts_on: date,
    reason: str,
    created_by: str,
) -> bool:
    """False when the decision_ref has been taken; a rival that is about to take it is waited for.

    Raises DecisionDiffers when that rival makes a voucher of it.
    """
    with naming_one(asked.decision_ref):
        inserted = await conn.fetchval(
            INSERT_VERSION,
            organiser_id,
            version_id,
            voucher_id,
            asked.decision_ref,
            asked.from_date,
            starts_on,
            asked.granted,
            asked.weekly_visits is not None,
            asked.weekly_visits.limit if asked.weekly_visits else None,
            asked.weekly_minutes is not None,
            asked.weekly_minutes.limit if asked.weekly_minutes else None,
            asked.valid_to,
            reason,
            created_by,
        )
    return inserted is not None


WRITE_CAPS = "SELECT write_caps($1, $2)"


async def write_caps(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> None:
    """Make the caps what the voucher's versions say. The caller has locked the voucher."""
    await conn.execute(WRITE_CAPS, organiser_id, voucher_id)


APPLY_VERSION = "SELECT apply_version($1, $2)"


async def apply_version(conn: Connection, *, organiser_id: UUID, version_id: UUID) -> str | None:
    """applied, dropped because the voucher has ended, or None: it was done before."""
    outcome: str | None = await conn.fetchval(APPLY_VERSION, organiser_id, version_id)
    return outcome


SELECT_STEP = """
SELECT r.step FROM vouchers v, LATERAL rules_on(v.organiser_id, v.programme, GREATEST($3, v.valid_from)) r
 WHERE v.organiser_id = $1 AND v.voucher_id = $2
"""


async def select_step(conn: Connection, *, organiser_id: UUID, voucher_id: UUID, day: date) -> int:
    """Of the rules of the voucher's programme on a day of its validity; before it, those of its first day."""
    return int(await conn.fetchval(SELECT_STEP, organiser_id, voucher_id, day))


SELECT_CAPS_BETWEEN = """
SELECT t.day AS starts_on, cap.visits AS weekly_visits, cap.minutes AS weekly_minutes
  FROM vouchers v
 CROSS JOIN LATERAL (
       SELECT $3::date AS day WHERE $3::date < $4::date
       UNION SELECT c.starts_on FROM voucher_caps c
        WHERE c.organiser_id = v.organiser_id AND c.voucher_id = v.voucher_id
          AND c.starts_on > $3::date AND c.starts_on < $4::date) t
 CROSS JOIN LATERAL caps_on(v, t.day) cap
 WHERE v.organiser_id = $1 AND v.voucher_id = $2
"""


async def select_caps_between(
    conn: Connection, *, organiser_id: UUID, voucher_id: UUID, first: date, until: date
) -> Sequence[CapVersion]:
    """The caps in force on any day from `first` to the day before `until`."""
    rows = await conn.fetch(SELECT_CAPS_BETWEEN, organiser_id, voucher_id, first, until)
    return [CapVersion(**dict(row)) for row in rows]


# The voucher's own caps first, from its first day on.
SELECT_CAPS = """
SELECT v.valid_from AS starts_on, v.weekly_visits, v.weekly_minutes FROM vouchers v
 WHERE v.organiser_id = $1 AND v.voucher_id = $2
   AND NOT EXISTS (SELECT FROM voucher_caps c WHERE c.organiser_id = v.organiser_id AND c.voucher_id = v.voucher_id
                      AND c.starts_on <= v.valid_from)
UNION ALL
SELECT c.starts_on, c.weekly_visits, c.weekly_minutes FROM voucher_caps c
 WHERE c.organiser_id = $1 AND c.voucher_id = $2
 ORDER BY starts_on
"""


async def select_caps(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Sequence[CapVersion]:
    return [CapVersion(**dict(row)) for row in await conn.fetch(SELECT_CAPS, organiser_id, voucher_id)]


SELECT_VALUE_CHANGES = """
SELECT kind, amount, effective_on, decision_ref, actor, reason, recorded_at FROM value_changes
 WHERE organiser_id = $1 AND voucher_id = $2 ORDER BY recorded_at, change_id
"""


async def select_value_changes(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Sequence[ValueChange]:
    return [ValueChange(**dict(row)) for row in await conn.fetch(SELECT_VALUE_CHANGES, organiser_id, voucher_id)]


SELECT_OPEN_HOLDS = """
SELECT h.hold_id, p.name AS provider, h.amount, h.service_date, h.starts_at, h.ends_at, h.lapses_at
  FROM holds h JOIN providers p ON p.provider_id = h.provider_id
 WHERE h.organiser_id = $1 AND h.voucher_id = $2 AND h.state = 'held' ORDER BY h.service_date, h.hold_id
"""


async def select_open_holds(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Sequence[OpenHold]:
    return [OpenHold(**dict(row)) for row in await conn.fetch(SELECT_OPEN_HOLDS, organiser_id, voucher_id)]


SELECT_HOLD_STATE = "SELECT state FROM holds WHERE organiser_id = $1 AND hold_id = $2 AND voucher_id = $3"


async def select_hold_state(conn: Connection, *, organiser_id: UUID, hold_id: UUID, voucher_id: UUID) -> str | None:
    state: str | None = await conn.fetchval(SELECT_HOLD_STATE, organiser_id, hold_id, voucher_id)
    return state


VOID_HOLD = "SELECT free_hold($1, $2, 'voided', $3, $4)"


async def void_hold(conn: Connection, *, organiser_id: UUID, hold_id: UUID, by: str, reason: str) -> None:
    """Free what is held. The caller has locked the voucher."""
    await conn.execute(VOID_HOLD, organiser_id, hold_id, by, reason)


VOID_HOLDS_FROM = "SELECT void_holds_from($1, $2, $3, $4, $5)"


async def void_holds_from(
    conn: Connection, *, organiser_id: UUID, voucher_id: UUID, first: date, by: str, reason: str
) -> int:
    """Free what is held for visits from a day on; returns how many holds. The caller has locked the voucher."""
    return int(await conn.fetchval(VOID_HOLDS_FROM, organiser_id, voucher_id, first, by, reason))


def _version(row: Record) -> DecisionVersion:
    return DecisionVersion(
        version_id=row["version_id"],
        voucher_id=row["voucher_id"],
        asked=AskedChange(
            decision_ref=row["decision_ref"],
            from_date=row["asked_from"],
            granted=row["granted"],
            weekly_visits=Cap(row["weekly_visits"]) if row["sets_visits"] else None,
            weekly_minutes=Cap(row["weekly_minutes"]) if row["sets_minutes"] else None,
            valid_to=row["valid_to"],
        ),
        starts_on=row["starts_on"],
        outcome=row["outcome"],
        granted_after=row["granted_after"],
        reason=row["reason"],
        created_by=row["created_by"],
        created_at=row["created_at"],
    )
