"""What is due without anyone having called: leases that ran out, silence, failures to be decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from asyncpg import Record

from service.db import Connection

EXPIRE_LEASES = """
WITH expired AS (
    SELECT organiser_id, message_id, fence FROM messages
     WHERE state = 'sending' AND due_at <= now()
     ORDER BY organiser_id, message_id
     LIMIT $2
       FOR UPDATE SKIP LOCKED
), noted AS (
    UPDATE attempts t SET outcome = 'unknown', error_code = 'lease_expired', answered_at = now()
      FROM expired e
     WHERE t.organiser_id = e.organiser_id AND t.message_id = e.message_id AND t.fence = e.fence
       AND t.outcome IS NULL
)
UPDATE messages m
   SET state = 'unknown', reason = 'lease_expired', unknowns = m.unknowns + 1, lookups = 0,
       due_at = now() + make_interval(secs => $1)
  FROM expired e
 WHERE m.organiser_id = e.organiser_id AND m.message_id = e.message_id
RETURNING m.message_id
"""


async def expire_leases(conn: Connection, *, unknown_wait_s: float, limit: int) -> Sequence[UUID]:
    """Messages whose sender did not live to tell: their outcome is unknown, not "again"."""
    return [row["message_id"] for row in await conn.fetch(EXPIRE_LEASES, unknown_wait_s, limit)]


# The text found belongs to the newest attempt or to an older one of unknown outcome; refused ones were never sent. The
# margin allows for a gateway whose clock is behind ours; retries after a failed delivery are further apart than that.
# Rivals are the newest attempts of other messages with the same words to the same contact, when nobody knows yet what
# the gateway calls their texts: this message must not take one of them for its own. Those that were given up for absent
# are none.
CLAIM_SILENT = """
WITH due AS (
    SELECT organiser_id, message_id FROM messages
     WHERE state = ANY('{unknown,accepted,sent}') AND due_at <= now()
     ORDER BY due_at
     LIMIT $1
       FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE messages m SET due_at = now() + make_interval(secs => $2)
      FROM due WHERE m.organiser_id = due.organiser_id AND m.message_id = due.message_id
    RETURNING m.organiser_id, m.message_id, m.channel, m.state, m.recipient_sealed, m.recipient_index, m.fence,
              m.lookups, m.unknowns, m.subject_id,
              coalesce(extract(epoch FROM now() - m.accepted_at), 0)::float8 AS accepted_s,
              extract(epoch FROM m.deadline_at - now())::float8 AS left_s
)
SELECT c.*, t.attempt_id, t.gateway, t.started_at, t.reference, older.digests, older.keys, older.since,
       alike.rivals, alike.rivals_started,
       (SELECT array_agg(a.reference)
          FROM messages o JOIN attempts a ON a.organiser_id = o.organiser_id AND a.message_id = o.message_id
         WHERE o.organiser_id = c.organiser_id AND o.subject_id = c.subject_id AND o.message_id <> c.message_id
           AND a.reference IS NOT NULL) AS taken
  FROM claimed c
  JOIN attempts t ON t.organiser_id = c.organiser_id AND t.message_id = c.message_id AND t.fence = c.fence,
       LATERAL (SELECT array_agg(a.body_digest) AS digests, array_agg(a.body_key) AS keys,
                       min(a.started_at) - interval '30 seconds' AS since
                  FROM attempts a
                 WHERE a.organiser_id = c.organiser_id AND a.message_id = c.message_id
                   AND (a.fence = c.fence OR a.outcome = 'unknown')) AS older,
       LATERAL (SELECT array_agg(a.attempt_id) AS rivals, array_agg(a.started_at) AS rivals_started
                  FROM messages o JOIN attempts a ON a.organiser_id = o.organiser_id AND a.message_id = o.message_id
                   AND a.fence = o.fence
                 WHERE o.organiser_id = c.organiser_id AND o.subject_id = c.subject_id AND o.message_id <> c.message_id
                   AND o.state IN ('sending', 'unknown') AND o.recipient_index = c.recipient_index
                   AND a.reference IS NULL AND a.body_digest = ANY(older.digests) AND a.started_at >= older.since
               ) AS alike
"""


async def claim_silent(conn: Connection, *, limit: int, lease_s: float) -> Sequence[Record]:
    """Take messages to be looked up at the gateway; for `lease_s` no other worker takes them."""
    return await conn.fetch(CLAIM_SILENT, limit, lease_s)


@dataclass(frozen=True, slots=True)
class LookUpRow:
    organiser_id: UUID
    message_id: UUID
    attempt_id: UUID
    fence: int
    lookups: int  # as they were when the message was taken
    old_state: str
    reference: str | None
    parts: int | None
    state: str
    reason: str | None
    due_in_s: float | None
    counts: bool  # the gateway was asked and knew nothing
    error_code: str | None


LOCK_ALIKE = """
SELECT FROM messages o
 WHERE o.organiser_id = $1
   AND o.subject_id = (SELECT m.subject_id FROM messages m WHERE m.organiser_id = $1 AND m.message_id = $2)
 ORDER BY o.organiser_id, o.message_id
   FOR UPDATE
"""


async def lock_alike(conn: Connection, *, organiser_id: UUID, message_id: UUID) -> None:
    """Lock every message about the same thing: a voucher sent again says what it said the first time."""
    await conn.execute(LOCK_ALIKE, organiser_id, message_id)


# A text that was sent again is word for word the first: a text found is only ours if no other message has it.
RECORD_LOOK_UP = """
WITH moved AS (
    UPDATE messages m
       SET state = $9, reason = $10, due_at = now() + make_interval(secs => $11),
           lookups = CASE WHEN $9 <> $6 THEN 0 ELSE m.lookups + $12::boolean::int END,
           accepted_at = CASE WHEN $7::text IS NULL THEN m.accepted_at ELSE coalesce(m.accepted_at, now()) END,
           delivered_at = CASE WHEN $9 = 'delivered' THEN now() ELSE m.delivered_at END
     WHERE m.organiser_id = $1 AND m.message_id = $2 AND m.fence = $4 AND m.lookups = $5 AND m.state = $6
       AND NOT EXISTS (
           SELECT FROM messages o JOIN attempts a ON a.organiser_id = o.organiser_id AND a.message_id = o.message_id
            WHERE o.organiser_id = $1 AND o.subject_id = m.subject_id AND o.message_id <> m.message_id
              AND a.reference = $7)
    RETURNING m.organiser_id
), noted AS (
    UPDATE attempts t
       SET outcome = 'accepted', reference = coalesce(t.reference, $7), parts = coalesce(t.parts, $8),
           error_code = coalesce($13, t.error_code)
      FROM moved
     WHERE t.organiser_id = $1 AND t.attempt_id = $3 AND $7::text IS NOT NULL
)
SELECT count(*) > 0 FROM moved
"""


async def record_look_up(conn: Connection, *, row: LookUpRow) -> bool:
    """Write what a look-up found; False when a receipt, another look-up or another message's was first."""
    return bool(
        await conn.fetchval(
            RECORD_LOOK_UP,
            row.organiser_id,
            row.message_id,
            row.attempt_id,
            row.fence,
            row.lookups,
            row.old_state,
            row.reference,
            row.parts,
            row.state,
            row.reason,
            row.due_in_s,
            row.counts,
            row.error_code,
        )
    )


# A receipt knows better than our own note of the call, which may be "timeout".
SELECT_FAILURES = """
SELECT m.organiser_id, m.message_id, m.channel, m.state, m.reason, m.tries, m.other_channel, m.recipient_sealed,
       extract(epoch FROM m.deadline_at - now())::float8 AS left_s,
       m.pauses_caused, t.attempt_id, t.gateway,
       coalesce((SELECT r.error_code FROM receipts r
                  WHERE r.organiser_id = t.organiser_id AND r.attempt_id = t.attempt_id AND r.error_code IS NOT NULL
                  ORDER BY r.received_at DESC LIMIT 1), t.error_code) AS error_code,
       EXISTS (SELECT FROM gateway_probes p WHERE p.gateway = t.gateway AND p.passed_at > m.blamed_at) AS others_pass
  FROM messages m
  LEFT JOIN attempts t ON t.organiser_id = m.organiser_id AND t.message_id = m.message_id AND t.fence = m.fence
 WHERE m.state = ANY('{undelivered,failed}') AND m.due_at <= now()
 ORDER BY m.organiser_id, m.message_id
 LIMIT $1
   FOR UPDATE OF m SKIP LOCKED
"""


async def select_failures(conn: Connection, *, limit: int) -> Sequence[Record]:
    """Lock messages whose failure waits to be decided."""
    return await conn.fetch(SELECT_FAILURES, limit)


@dataclass(frozen=True, slots=True)
class DecisionRow:
    organiser_id: UUID
    message_id: UUID
    state: str
    reason: str | None
    due_in_s: float | None
    counts_as_try: bool
    is_blamed: bool  # for a pause of its gateway


DECIDE_FAILURES = """
UPDATE messages m
   SET state = d.state, reason = d.reason, due_at = now() + make_interval(secs => d.due_in_s),
       tries = m.tries + d.counts::int, pauses_caused = m.pauses_caused + d.is_blamed::int,
       blamed_at = CASE WHEN d.is_blamed THEN clock_timestamp() ELSE m.blamed_at END
  FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::float8[], $6::boolean[], $7::boolean[])
       AS d(organiser_id, message_id, state, reason, due_in_s, counts, is_blamed)
 WHERE m.organiser_id = d.organiser_id AND m.message_id = d.message_id
"""


async def decide_failures(conn: Connection, *, decisions: Sequence[DecisionRow]) -> None:
    """Move the messages that this transaction has locked."""
    await conn.execute(
        DECIDE_FAILURES,
        [d.organiser_id for d in decisions],
        [d.message_id for d in decisions],
        [d.state for d in decisions],
        [d.reason for d in decisions],
        [d.due_in_s for d in decisions],
        [d.counts_as_try for d in decisions],
        [d.is_blamed for d in decisions],
    )


INSERT_FALLBACK = """
INSERT INTO messages (organiser_id, message_id, kind, subject_id, secret_id, fields, channel, language,
                      recipient_sealed, recipient_index, recipient_hint, fallback_of, priority, deadline_at,
                      requested_by)
SELECT organiser_id, $3, kind, subject_id, secret_id, fields, other_channel, language,
       other_sealed, other_index, other_hint, message_id, priority, now() + make_interval(secs => $4), requested_by
  FROM messages WHERE organiser_id = $1 AND message_id = $2 AND other_sealed IS NOT NULL
ON CONFLICT (organiser_id, fallback_of) WHERE fallback_of IS NOT NULL DO NOTHING
"""


async def insert_fallback(
    conn: Connection, *, organiser_id: UUID, message_id: UUID, fallback_id: UUID, deadline_s: int
) -> None:
    """The same message on the other channel, at most once; that one has no other channel any more."""
    await conn.execute(INSERT_FALLBACK, organiser_id, message_id, fallback_id, deadline_s)
