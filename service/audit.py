"""Who did what to whom, and why: written in the transaction of what was done. Ids and reasons, never contents."""

from __future__ import annotations

from uuid import UUID

from uuid_utils.compat import uuid7

from service.db import Connection

INSTALLATION = UUID(int=0)
"""In an organiser's place, for what is done to the installation as a whole."""

INSERT = """
INSERT INTO audit (organiser_id, audit_id, actor, action, subject_id, reason) VALUES ($1, $2, $3, $4, $5, $6)
"""


async def record(
    conn: Connection, *, organiser_id: UUID, actor: str, action: str, subject_id: UUID, reason: str | None
) -> None:
    """Add one line to the audit log."""
    await conn.execute(INSERT, organiser_id, uuid7(), actor, action, subject_id, reason)
