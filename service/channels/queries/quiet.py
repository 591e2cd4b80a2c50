"""Messages that may wait are kept out of the quiet hours, also when they are tried again."""

from __future__ import annotations

from service.db import Connection

# Whoever queues such a message sets its due time so; this is for those that were put off, or held, since.
HOLD = """
UPDATE messages m SET due_at = not_in_quiet_hours(GREATEST(m.due_at, now()), $2, $3)
 WHERE m.state = 'pending' AND m.priority >= $1 AND m.due_at IS NOT NULL
   AND not_in_quiet_hours(GREATEST(m.due_at, now()), $2, $3) > GREATEST(m.due_at, now())
"""


async def hold(conn: Connection, *, least_priority: int, from_hour: int, to_hour: int) -> int:
    """Put off what would be due in the quiet hours to their end; returns how many."""
    return int((await conn.execute(HOLD, least_priority, from_hour, to_hour)).rpartition(" ")[2])
