"""Recipients under newer keys."""

from __future__ import annotations

from uuid import UUID

from service.channels.operations.outbox import contact_context
from service.channels.queries import rotation as queries
from service.channels.queries.rotation import count_messages
from service.channels.suppressions import PURPOSE
from service.crypto import Keys
from service.db import Connection

__all__ = ["count_messages", "rotate_messages"]


async def rotate_messages(
    conn: Connection, keys: Keys, *, after: tuple[UUID, UUID], limit: int
) -> tuple[int, int, tuple[UUID, UUID] | None]:
    """Seal and index the recipients of the next messages under the newest keys, in the caller's transaction.

    Returns how many were looked at, how many had to be moved, and where to go on; None: there are no more. Idempotent.
    Raises SealBroken.
    """
    rows = await queries.lock_recipients(conn, after=after, limit=limit)
    moved = []
    for row in rows:
        context = contact_context(row["organiser_id"])
        recipient = _renew(keys, row["channel"], row["recipient_sealed"], context)
        other = (
            _renew(keys, row["other_channel"], row["other_sealed"], context) if row["other_sealed"] else (None, None)
        )
        if (*recipient, *other) != tuple(row)[4:]:
            moved.append((row["organiser_id"], row["message_id"], *recipient, *other))
    if moved:
        await queries.update_recipients(conn, rows=moved)
    last = rows[-1] if len(rows) == limit else None
    return len(rows), len(moved), None if last is None else (last["organiser_id"], last["message_id"])


def _renew(keys: Keys, channel: str, sealed: bytes, context: bytes) -> tuple[bytes, bytes]:
    text = keys.sealer.open(sealed, context)
    index = keys.index.current(PURPOSE[channel], text)
    return (sealed if keys.sealer.is_current(sealed) else keys.sealer.seal(text, context)), index
