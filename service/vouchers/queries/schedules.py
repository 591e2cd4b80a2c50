"""What the calendar does to vouchers, in batches. What somebody has locked is left to the next round."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from service.db import Connection

LAPSE_HOLDS = "SELECT lapse_holds($1)"


async def lapse_holds(conn: Connection, *, limit: int) -> int:
    """End holds whose time has run out; returns how many."""
    return int(await conn.fetchval(LAPSE_HOLDS, limit))


EXPIRE_VOUCHERS = "SELECT expire_vouchers($1)"


async def expire_vouchers(conn: Connection, *, limit: int) -> int:
    """Mark the vouchers whose last day is over; returns how many."""
    return int(await conn.fetchval(EXPIRE_VOUCHERS, limit))


CLOSE_VOUCHERS = "SELECT close_vouchers($1)"


async def close_vouchers(conn: Connection, *, limit: int) -> int:
    """Return to the budget what is left of vouchers whose time for late entries is over; returns how many."""
    return int(await conn.fetchval(CLOSE_VOUCHERS, limit))


SELECT_DUE_VERSIONS = """
SELECT organiser_id, version_id, voucher_id FROM decision_versions
 WHERE outcome IS NULL AND starts_on <= helsinki_today() ORDER BY starts_on, version_id LIMIT $1
"""


async def select_due_versions(conn: Connection, *, limit: int) -> Sequence[tuple[UUID, UUID, UUID]]:
    """(organiser, version, voucher) of later decisions whose day has come."""
    return [tuple(row) for row in await conn.fetch(SELECT_DUE_VERSIONS, limit)]


TAKE_VERSION = """
SELECT true FROM decision_versions
 WHERE organiser_id = $1 AND version_id = $2 AND outcome IS NULL FOR NO KEY UPDATE SKIP LOCKED
"""


async def take_version(conn: Connection, *, organiser_id: UUID, version_id: UUID) -> bool:
    """Be the one who applies a waiting version until the transaction ends; False when another is, or has."""
    return bool(await conn.fetchval(TAKE_VERSION, organiser_id, version_id))
