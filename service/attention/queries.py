"""Every SQL statement on attention."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from service.attention.model import IMPORT_FAILED, NEVER_USED
from service.db import Connection

OPEN_ITEM = """
INSERT INTO attention (organiser_id, attention_id, reason, subject_id, message_id, entry_id)
VALUES ($1, gen_random_uuid(), $2, $3, $4, $5)
ON CONFLICT (organiser_id, reason, subject_id, message_id, entry_id) WHERE resolved_at IS NULL DO NOTHING
RETURNING attention_id
"""


async def open_item(
    conn: Connection,
    *,
    organiser_id: UUID,
    reason: str,
    subject_id: UUID,
    message_id: UUID | None,
    entry_id: UUID | None,
) -> UUID | None:
    """None: it is open already."""
    found: UUID | None = await conn.fetchval(OPEN_ITEM, organiser_id, reason, subject_id, message_id, entry_id)
    return found


# An item that was resolved after the message began covers it: the caseworker who has the new number need not be told
# by each receipt that was under way to the old one. A contact known to be dead is told of once; and while a voucher's
# own message is on the list, what else did not reach the family is no news: so vouchers' messages come first, in a
# statement of their own that the second one sees.
def _new_items(which: str) -> str:
    return f"""
INSERT INTO attention (organiser_id, attention_id, reason, subject_id, message_id)
SELECT DISTINCT ON (m.organiser_id, m.subject_id, m.reason, m.about_message)
       m.organiser_id, gen_random_uuid(), m.reason, m.subject_id, m.about_message
  FROM messages_needing_person m
 WHERE {which}
   AND NOT EXISTS (
       SELECT FROM attention a
        WHERE a.organiser_id = m.organiser_id AND a.subject_id = m.subject_id
          AND ((a.reason = m.reason AND a.message_id IS NOT DISTINCT FROM m.about_message
                AND (a.resolved_at IS NULL OR a.message_id IS NOT NULL OR a.resolved_at > m.created_at OR m.is_known))
               OR (m.about_message IS NULL AND a.message_id IS NOT NULL AND a.resolved_at IS NULL)))
ON CONFLICT (organiser_id, reason, subject_id, message_id, entry_id) WHERE resolved_at IS NULL DO NOTHING
RETURNING attention_id
"""


_THESE = "(m.organiser_id, m.message_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))"
OPEN_FOR_VOUCHERS = _new_items(f"m.about_message IS NOT NULL AND {_THESE}")
OPEN_FOR_OTHERS = _new_items(f"m.about_message IS NULL AND {_THESE}")


async def open_for_messages(conn: Connection, *, messages: Sequence[tuple[UUID, UUID]]) -> int:
    """Items for those of the messages (organiser, message) that need a person; how many are new."""
    organisers, ids = zip(*messages, strict=True)
    opened = await conn.fetch(OPEN_FOR_VOUCHERS, list(organisers), list(ids))
    return len(opened) + len(await conn.fetch(OPEN_FOR_OTHERS, list(organisers), list(ids)))


_RECENT = "m.created_at > now() - interval '30 days'"
OPEN_MISSING_FOR_VOUCHERS = _new_items(f"m.about_message IS NOT NULL AND {_RECENT}")
OPEN_MISSING_FOR_OTHERS = _new_items(f"m.about_message IS NULL AND {_RECENT}")


async def open_missing(conn: Connection) -> Sequence[UUID]:
    rows = [*await conn.fetch(OPEN_MISSING_FOR_VOUCHERS), *await conn.fetch(OPEN_MISSING_FOR_OTHERS)]
    return [row["attention_id"] for row in rows]


# The item may be about the message on the other channel, and a late receipt about the first one. By e-mail `sent` is
# all that can be known: a bounce that comes later escalates that message, and opens a new item.
RESOLVE_DELIVERED = """
WITH gone AS (
    UPDATE attention a SET resolved_at = now(), resolved_by = $2, resolution = $3
     WHERE a.resolved_at IS NULL AND a.reason = ANY($1::text[])
       AND EXISTS (
           SELECT FROM messages m
            WHERE m.organiser_id = a.organiser_id AND m.subject_id = a.subject_id
              AND (m.kind = 'voucher' OR a.message_id IS NULL)
              AND (m.state = 'delivered' OR (m.state = 'sent' AND m.channel = 'email'))
              AND (m.message_id = a.message_id OR m.fallback_of = a.message_id OR m.created_at > a.opened_at
                   OR (a.message_id IS NULL AND m.delivered_at > a.opened_at)
                   OR m.message_id = (SELECT i.fallback_of FROM messages i
                                       WHERE i.organiser_id = a.organiser_id AND i.message_id = a.message_id)))
    RETURNING a.organiser_id, a.attention_id
)
INSERT INTO audit (organiser_id, audit_id, actor, action, subject_id, reason)
SELECT organiser_id, gen_random_uuid(), $2, $4, attention_id, $3 FROM gone
RETURNING subject_id
"""


async def resolve_delivered(
    conn: Connection, *, reasons: Sequence[str], actor: str, resolution: str, action: str
) -> int:
    return len(await conn.fetch(RESOLVE_DELIVERED, reasons, actor, resolution, action))


RESOLVE_USED = """
WITH gone AS (
    UPDATE attention a SET resolved_at = now(), resolved_by = $2, resolution = $3
      FROM vouchers v
     WHERE a.resolved_at IS NULL AND a.reason = $1
       AND v.organiser_id = a.organiser_id AND v.voucher_id = a.subject_id
       AND (v.state IN ('cancelled', 'expired', 'closed') OR v.valid_to < helsinki_today()
            OR EXISTS (SELECT FROM entries e WHERE e.organiser_id = v.organiser_id AND e.voucher_id = v.voucher_id))
    RETURNING a.organiser_id, a.attention_id
)
INSERT INTO audit (organiser_id, audit_id, actor, action, subject_id, reason)
SELECT organiser_id, gen_random_uuid(), $2, $4, attention_id, $3 FROM gone
RETURNING subject_id
"""


async def resolve_used(conn: Connection, *, reason: str, actor: str, resolution: str, action: str) -> int:
    return len(await conn.fetch(RESOLVE_USED, reason, actor, resolution, action))


_SHOWN = f"""
SELECT a.attention_id, a.reason, CASE WHEN a.reason <> '{IMPORT_FAILED}' THEN a.subject_id END AS voucher_id,
       CASE WHEN a.reason = '{IMPORT_FAILED}' THEN a.subject_id END AS import_id, d.decision_ref, a.message_id,
       a.entry_id, a.opened_at, a.resolved_at, a.resolved_by, a.resolution
  FROM attention a
  LEFT JOIN vouchers v ON v.organiser_id = a.organiser_id AND v.voucher_id = a.subject_id
  LEFT JOIN decisions d ON d.organiser_id = v.organiser_id AND d.decision_id = v.decision_id
"""

# The cursor is the last item's id; its row stays when it is resolved, so a page never loses its place.
SELECT_OPEN = f"""{_SHOWN}
 WHERE a.organiser_id = $1 AND a.resolved_at IS NULL
   AND ($2::uuid IS NULL OR (a.opened_at, a.attention_id) > (
       SELECT c.opened_at, c.attention_id FROM attention c WHERE c.organiser_id = $1 AND c.attention_id = $2))
 ORDER BY a.opened_at, a.attention_id LIMIT $3
"""


async def select_open(conn: Connection, *, organiser_id: UUID, after: UUID | None, limit: int) -> Sequence[Record]:
    return await conn.fetch(SELECT_OPEN, organiser_id, after, limit)


# As people work it off: who does not use a voucher can wait for a call, a family without its code cannot.
SELECT_OPEN_BY_HASTE = f"""{_SHOWN}
 WHERE a.organiser_id = $1 AND a.resolved_at IS NULL
   AND ($2::uuid IS NULL OR (a.reason = '{NEVER_USED}', a.opened_at, a.attention_id) > (
       SELECT c.reason = '{NEVER_USED}', c.opened_at, c.attention_id
         FROM attention c WHERE c.organiser_id = $1 AND c.attention_id = $2))
 ORDER BY a.reason = '{NEVER_USED}', a.opened_at, a.attention_id LIMIT $3
"""


async def select_open_by_haste(
    conn: Connection, *, organiser_id: UUID, after: UUID | None, limit: int
) -> Sequence[Record]:
    return await conn.fetch(SELECT_OPEN_BY_HASTE, organiser_id, after, limit)


SELECT_ITEM = f"""{_SHOWN}
 WHERE a.organiser_id = $1 AND a.attention_id = $2
"""


async def select_item(conn: Connection, *, organiser_id: UUID, attention_id: UUID) -> Record | None:
    return await conn.fetchrow(SELECT_ITEM, organiser_id, attention_id)


RESOLVE_ITEM = """
UPDATE attention SET resolved_at = now(), resolved_by = $3, resolution = $4
 WHERE organiser_id = $1 AND attention_id = $2 AND resolved_at IS NULL
RETURNING attention_id
"""


async def resolve_item(
    conn: Connection, *, organiser_id: UUID, attention_id: UUID, actor: str, resolution: str
) -> bool:
    """False: there is none that is open."""
    found = await conn.fetchval(RESOLVE_ITEM, organiser_id, attention_id, actor, resolution)
    return found is not None


SELECT_OPEN_OF_ENTRY = """
SELECT attention_id FROM attention
 WHERE organiser_id = $1 AND resolved_at IS NULL AND reason = $2 AND entry_id = $3
   AND subject_id = (SELECT e.voucher_id FROM entries e WHERE e.organiser_id = $1 AND e.entry_id = $3)
"""


async def select_open_of_entry(conn: Connection, *, organiser_id: UUID, reason: str, entry_id: UUID) -> UUID | None:
    found: UUID | None = await conn.fetchval(SELECT_OPEN_OF_ENTRY, organiser_id, reason, entry_id)
    return found


SELECT_OPEN_OF_SUBJECT = """
SELECT attention_id FROM attention
 WHERE organiser_id = $1 AND resolved_at IS NULL AND reason = $2 AND subject_id = $3
"""


async def select_open_of_subject(conn: Connection, *, organiser_id: UUID, reason: str, subject_id: UUID) -> UUID | None:
    found: UUID | None = await conn.fetchval(SELECT_OPEN_OF_SUBJECT, organiser_id, reason, subject_id)
    return found


RESOLVE_DISPUTE = """
UPDATE disputes d SET resolved_at = now(), resolved_by = $4, resolution = $5
  FROM attention a
 WHERE a.organiser_id = $1 AND a.attention_id = $2 AND a.reason = $3 AND a.resolved_at IS NULL
   AND d.organiser_id = a.organiser_id AND d.entry_id = a.entry_id AND d.resolved_at IS NULL
"""


async def resolve_dispute(
    conn: Connection, *, organiser_id: UUID, attention_id: UUID, reason: str, actor: str, resolution: str
) -> None:
    """Resolve the dispute that an open item is about, if it is about one: an item of that reason."""
    await conn.execute(RESOLVE_DISPUTE, organiser_id, attention_id, reason, actor, resolution)


# For the command line alone, where a person has an id in hand and no organiser; no hot path.
SELECT_ORGANISER = "SELECT organiser_id FROM attention WHERE attention_id = $1"


async def select_organiser(conn: Connection, *, attention_id: UUID) -> UUID | None:
    found: UUID | None = await conn.fetchval(SELECT_ORGANISER, attention_id)
    return found
