"""Who did what to whom, and why: written in the transaction of what was done. Ids and reasons, never contents."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from uuid_utils.compat import uuid7

from service.db import Connection

INSTALLATION = UUID(int=0)
"""In an organiser's place, for what is done to the installation as a whole."""

INSERT = """
INSERT INTO audit (organiser_id, audit_id, actor, action, subject_id, reason) VALUES ($1, $2, $3, $4, $5, $6)
"""

# What is shown again within ten minutes is the same look; a page with a live delivery asks every second.
INSERT_VIEW = """
INSERT INTO audit (organiser_id, audit_id, actor, action, subject_id)
SELECT $1, $2, $3, $4, $5
 WHERE NOT EXISTS (SELECT FROM audit WHERE organiser_id = $1 AND subject_id = $5 AND actor = $3 AND action = $4
                      AND recorded_at > now() - interval '10 minutes')
"""


INSERT_VIEWS = """
INSERT INTO audit (organiser_id, audit_id, actor, action, subject_id)
SELECT $1, seen.audit_id, $3, $4, seen.subject_id FROM unnest($2::uuid[], $5::uuid[]) AS seen(audit_id, subject_id)
 WHERE NOT EXISTS (SELECT FROM audit a
                    WHERE a.organiser_id = $1 AND a.subject_id = seen.subject_id AND a.actor = $3 AND a.action = $4
                      AND a.recorded_at > now() - interval '10 minutes')
"""


async def record(
    conn: Connection, *, organiser_id: UUID, actor: str, action: str, subject_id: UUID, reason: str | None
) -> None:
    """Add one line to the audit log."""
    await conn.execute(INSERT, organiser_id, uuid7(), actor, action, subject_id, reason)


async def record_many(
    conn: Connection, *, organiser_id: UUID, actor: str, action: str, subject_ids: Sequence[UUID], reason: str | None
) -> None:
    """The same done to many: a line for each."""
    await conn.executemany(INSERT, [(organiser_id, uuid7(), actor, action, each, reason) for each in subject_ids])


async def record_view(conn: Connection, *, organiser_id: UUID, actor: str, action: str, subject_id: UUID) -> None:
    """Note that somebody has read about a family, once in ten minutes: people may ask who has read their data."""
    await conn.execute(INSERT_VIEW, organiser_id, uuid7(), actor, action, subject_id)


async def record_views(
    conn: Connection, *, organiser_id: UUID, actor: str, action: str, subject_ids: Sequence[UUID]
) -> None:
    """The same of many at once, each of them once."""
    ids = [uuid7() for _ in subject_ids]
    await conn.execute(INSERT_VIEWS, organiser_id, ids, actor, action, subject_ids)
