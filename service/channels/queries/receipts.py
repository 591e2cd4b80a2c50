"""A receipt is journalled and acted upon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from service.channels.model import RECEIPT_MOVES
from service.db import Connection


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """What a gateway reported of an attempt. `state` None: it says nothing that moves a message."""

    organiser_id: UUID
    token: UUID
    receipt_id: UUID
    reference: str
    status: str
    error_code: str | None
    state: str | None
    reason: str | None
    due_in_s: float | None


class Effect(StrEnum):
    """What a receipt did. Only the first moved a message."""

    MOVED = "moved"
    NO_MOVE = "no_move"  # late, out of order, or about an attempt that has been replaced
    DUPLICATE = "duplicate"
    OTHER_REFERENCE = "other_reference"  # signed, but about another text than the attempt's
    UNKNOWN_ATTEMPT = "unknown_attempt"


@dataclass(frozen=True, slots=True)
class ReceiptEffect:
    effect: Effect
    gateway: str | None = None
    channel: str | None = None
    before: str | None = None  # the message's state when the receipt came
    waited_s: float | None = None  # from acceptance to delivery, when this receipt told of it


# One statement: the journal row and what follows from it are there together or not at all, and a receipt whose journal
# row was there before has no effect. An early receipt finds no reference on the attempt yet and brings it along.
#
# An attempt that was replaced can only say that its text arrived after all. A message that is pending again because the
# gateway surely did not have it ('resent') believes its lost attempt when that turns up; one that is pending after a
# refusal or a failed delivery does not, except for `delivered`.
#
# The legal moves are one array that the row is held against, and no table to join: when PostgreSQL has waited for our
# own answer to commit, it checks the new row against the join partners of the old one, and would find no legal move.
RECORD_RECEIPTS = """
WITH report AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::text[], $9::float8[])
        WITH ORDINALITY
        AS r(organiser_id, token, receipt_id, reference, status, error_code, state, reason, due_in_s, place)
), known AS (
    SELECT r.*, t.attempt_id, t.message_id, t.gateway, t.fence
      FROM report r JOIN attempts t ON t.organiser_id = r.organiser_id AND t.token = r.token
), locked AS (
    SELECT m.organiser_id, m.message_id, m.state AS before
      FROM messages m
     WHERE (m.organiser_id, m.message_id) IN (SELECT organiser_id, message_id FROM known)
     ORDER BY m.organiser_id, m.message_id
       FOR UPDATE
), bound AS (
    UPDATE attempts t
       SET reference = coalesce(t.reference, k.reference),
           outcome = 'accepted',
           answered_at = coalesce(t.answered_at, now())
      FROM known k JOIN locked USING (organiser_id, message_id)
     WHERE t.organiser_id = k.organiser_id AND t.attempt_id = k.attempt_id
       AND (t.reference IS NULL OR t.reference = k.reference)
    RETURNING t.organiser_id, t.attempt_id, t.reference
), journalled AS (
    INSERT INTO receipts (organiser_id, receipt_id, attempt_id, reference, status, error_code)
    SELECT k.organiser_id, k.receipt_id, k.attempt_id, k.reference, k.status, k.error_code
      FROM known k JOIN bound USING (organiser_id, attempt_id, reference)
     ORDER BY k.place
    ON CONFLICT ON CONSTRAINT receipts_once DO NOTHING
    RETURNING organiser_id, receipt_id
), telling AS (
    SELECT DISTINCT ON (k.organiser_id, k.message_id) k.*
      FROM known k JOIN journalled USING (organiser_id, receipt_id)
     WHERE k.state IS NOT NULL
     ORDER BY k.organiser_id, k.message_id, (k.state = 'delivered') DESC, k.fence DESC,
              array_position(ARRAY['undelivered', 'failed', 'sent', 'accepted'], k.state)
), moved AS (
    UPDATE messages m
       SET state = k.state,
           reason = k.reason,
           due_at = CASE WHEN m.state = 'accepted' AND k.state = 'sent' THEN m.due_at
                         ELSE clock_timestamp() + make_interval(secs => k.due_in_s) END,
           lookups = 0,
           accepted_at = coalesce(m.accepted_at, clock_timestamp()),
           delivered_at = CASE WHEN k.state = 'delivered' THEN clock_timestamp() END
      FROM telling k
     WHERE m.organiser_id = k.organiser_id AND m.message_id = k.message_id
       AND m.state || '>' || k.state = ANY($10::text[])
       AND (k.state = 'delivered' OR (m.fence = k.fence AND (m.state <> 'pending' OR m.reason = 'resent')))
    RETURNING m.organiser_id, m.message_id, k.receipt_id, m.channel,
              extract(epoch FROM m.delivered_at - m.accepted_at)::float8 AS waited_s
)
SELECT r.place, k.gateway, moved.channel, moved.waited_s, locked.before,
       CASE WHEN k.attempt_id IS NULL THEN 'unknown_attempt'
            WHEN moved.receipt_id IS NOT NULL THEN 'moved'
            WHEN j.receipt_id IS NOT NULL THEN 'no_move'
            WHEN b.attempt_id IS NULL OR b.reference <> r.reference THEN 'other_reference'
            ELSE 'duplicate' END AS effect
  FROM report r
  LEFT JOIN known k USING (organiser_id, receipt_id)
  LEFT JOIN locked USING (organiser_id, message_id)
  LEFT JOIN bound b ON b.organiser_id = k.organiser_id AND b.attempt_id = k.attempt_id
  LEFT JOIN journalled j ON j.organiser_id = r.organiser_id AND j.receipt_id = r.receipt_id
  LEFT JOIN moved ON moved.organiser_id = r.organiser_id AND moved.receipt_id = r.receipt_id
 ORDER BY r.place
"""


async def record_receipts(conn: Connection, *, receipts: Sequence[ReceiptRow]) -> list[ReceiptEffect]:
    """Journal receipts and move their messages, in one statement; what each did, in the order given."""
    rows = await conn.fetch(
        RECORD_RECEIPTS,
        [r.organiser_id for r in receipts],
        [r.token for r in receipts],
        [r.receipt_id for r in receipts],
        [r.reference for r in receipts],
        [r.status for r in receipts],
        [r.error_code for r in receipts],
        [r.state for r in receipts],
        [r.reason for r in receipts],
        [r.due_in_s for r in receipts],
        [f"{before}>{after}" for before, after in RECEIPT_MOVES],
    )
    return [
        ReceiptEffect(Effect(row["effect"]), row["gateway"], row["channel"], row["before"], row["waited_s"])
        for row in rows
    ]
