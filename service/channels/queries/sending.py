"""A message is taken, its attempt is committed, and what the gateway answered is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from asyncpg import Record

from service.channels.queries.quiet import awake
from service.db import Connection
from service.quiet_hours import QuietHours

SELECT_DUE = f"""
SELECT organiser_id, message_id, kind, secret_id, fields, channel, language, recipient_sealed, recipient_index, fence
  FROM messages
 WHERE state = 'pending' AND channel = $1 AND due_at <= now() AND priority < LEAST($3, {awake("$5", "$6")})
   AND NOT EXISTS (SELECT FROM gateway_pauses WHERE gateway = $2)
 ORDER BY priority, due_at
 LIMIT $4
   FOR UPDATE SKIP LOCKED
"""


async def select_due(
    conn: Connection, *, channel: str, gateway: str, priority_below: int, limit: int, quiet: QuietHours
) -> Sequence[Record]:
    """Lock what is due on one channel, most urgent first; nothing while its gateway has a pause, even a spent one."""
    return await conn.fetch(SELECT_DUE, channel, gateway, priority_below, limit, quiet.from_hour, quiet.to_hour)


LOCK_SPENT_PAUSE = """
SELECT true FROM gateway_pauses WHERE gateway = $1 AND paused_until <= now() FOR UPDATE SKIP LOCKED
"""


async def lock_spent_pause(conn: Connection, *, gateway: str) -> bool:
    """Be the only one that probes a gateway until the transaction ends; False when there is nothing to probe."""
    return bool(await conn.fetchval(LOCK_SPENT_PAUSE, gateway))


SELECT_PROBE = f"""
SELECT organiser_id, message_id, kind, secret_id, fields, channel, language, recipient_sealed, recipient_index, fence
  FROM messages
 WHERE state = 'pending' AND due_at <= now() AND channel = $1 AND (pauses_caused = 0 OR NOT $2::boolean)
   AND priority < {awake("$3", "$4")}
 ORDER BY priority, due_at
 LIMIT 1
   FOR UPDATE SKIP LOCKED
"""


async def select_probe(conn: Connection, *, channel: str, is_blameless: bool, quiet: QuietHours) -> Sequence[Record]:
    """Lock one message to try a paused gateway with. `is_blameless`: none that was refused for its set-up."""
    return await conn.fetch(SELECT_PROBE, channel, is_blameless, quiet.from_hour, quiet.to_hour)


@dataclass(frozen=True, slots=True)
class NewAttempt:
    organiser_id: UUID
    message_id: UUID
    attempt_id: UUID
    token: UUID
    gateway: str
    fence: int  # the one that this attempt takes
    body_digest: bytes | None
    body_key: str  # the id of the key that the digest was made with
    parts: int | None
    encoding: str | None


# clock_timestamp: the lease begins after the rendering, not when the transaction began.
START_ATTEMPTS = """
WITH attempt AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::bytea[],
                         $8::smallint[], $9::text[], $11::text[])
        AS a(organiser_id, message_id, attempt_id, token, gateway, fence, body_digest, parts, encoding, body_key)
), claimed AS (
    UPDATE messages m
       SET state = 'sending', reason = NULL, fence = m.fence + 1,
           due_at = clock_timestamp() + make_interval(secs => $10),
           deadline_at = CASE WHEN m.fence = 0 THEN now() + (m.deadline_at - m.due_at) ELSE m.deadline_at END
      FROM attempt a
     WHERE m.organiser_id = a.organiser_id AND m.message_id = a.message_id
       AND m.fence = a.fence - 1 AND m.state = 'pending'
    RETURNING m.organiser_id, m.message_id
)
INSERT INTO attempts (organiser_id, attempt_id, message_id, token, gateway, fence, body_digest, body_key, parts,
                      encoding)
SELECT organiser_id, attempt_id, message_id, token, gateway, fence, body_digest, body_key, parts, encoding
  FROM attempt JOIN claimed USING (organiser_id, message_id)
"""


async def start_attempts(conn: Connection, *, attempts: Sequence[NewAttempt], lease_s: float) -> None:
    """Take the messages that this transaction has locked: next fence, lease, attempt row.

    The deadline is as long after the first try as it was after the time to begin: neither an outage of ours nor a
    night's wait changes how long a message is tried.
    """
    await conn.execute(
        START_ATTEMPTS,
        [a.organiser_id for a in attempts],
        [a.message_id for a in attempts],
        [a.attempt_id for a in attempts],
        [a.token for a in attempts],
        [a.gateway for a in attempts],
        [a.fence for a in attempts],
        [a.body_digest for a in attempts],
        [a.parts for a in attempts],
        [a.encoding for a in attempts],
        lease_s,
        [a.body_key for a in attempts],
    )


SET_ASIDE = """
UPDATE messages m SET state = s.state, reason = s.reason, due_at = CASE WHEN s.state = 'failed' THEN now() END
  FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) AS s(organiser_id, message_id, state, reason)
 WHERE m.organiser_id = s.organiser_id AND m.message_id = s.message_id AND m.state = 'pending'
"""


async def set_aside(conn: Connection, *, messages: Sequence[tuple[UUID, UUID, str, str]]) -> None:
    """End messages that cannot be sent, or leave them to be decided (`failed`): (organiser, message, state, reason).

    Locked by this transaction.
    """
    await conn.execute(SET_ASIDE, *(list(column) for column in zip(*messages, strict=True)))


FAIL_SUPPRESSED = """
UPDATE messages m SET state = 'failed', reason = 'suppressed_contact', suppressed_for = s.suppressed_for, due_at = now()
  FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS s(organiser_id, message_id, suppressed_for)
 WHERE m.organiser_id = s.organiser_id AND m.message_id = s.message_id AND m.state = 'pending'
"""


async def fail_suppressed(conn: Connection, *, messages: Sequence[tuple[UUID, UUID, str]]) -> None:
    """Leave messages to the other channel or a person: (organiser, message, why). Locked by this transaction."""
    await conn.execute(FAIL_SUPPRESSED, *(list(column) for column in zip(*messages, strict=True)))


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """What a gateway answered to an attempt, and where that moves the message."""

    organiser_id: UUID
    message_id: UUID
    attempt_id: UUID
    fence: int
    outcome: str
    reference: str | None
    error_code: str | None
    parts: int | None
    state: str
    reason: str | None
    due_in_s: float | None


@dataclass(frozen=True, slots=True)
class Recorded:
    moved: bool
    is_stale: bool  # a newer attempt, or another worker, has the message by now
    waited_s: float | None  # from the message's row to its first acceptance, when this was it


# The attempt keeps its reference whatever became of the message: it is how a receipt or a person finds the text. An
# early receipt has already written `accepted`; then only what is missing is added. An answer that comes after the lease
# ran out is still the truth, if nobody has taken the message since.
RECORD_ANSWERS = """
WITH answer AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[],
                         $8::smallint[], $9::text[], $10::text[], $11::float8[])
        AS a(organiser_id, message_id, attempt_id, fence, outcome, reference, error_code, parts, state, reason,
             due_in_s)
), locked AS (
    SELECT m.organiser_id, m.message_id, m.fence AS newest, m.accepted_at IS NULL AS is_first
      FROM messages m JOIN answer USING (organiser_id, message_id)
     ORDER BY m.organiser_id, m.message_id
       FOR UPDATE OF m
), noted AS (
    UPDATE attempts t
       SET outcome = CASE WHEN t.outcome = 'accepted' THEN t.outcome ELSE answer.outcome END,
           reference = coalesce(t.reference, answer.reference),
           error_code = coalesce(answer.error_code, t.error_code),
           parts = coalesce(answer.parts, t.parts),
           answered_at = now()
      FROM answer JOIN locked USING (organiser_id, message_id)
     WHERE t.organiser_id = answer.organiser_id AND t.attempt_id = answer.attempt_id
       AND t.message_id = answer.message_id
), moved AS (
    UPDATE messages m
       SET state = answer.state,
           reason = answer.reason,
           due_at = clock_timestamp() + make_interval(secs => answer.due_in_s),
           unknowns = m.unknowns + (answer.state = 'unknown')::int,
           lookups = 0,
           accepted_at = CASE WHEN answer.outcome = 'accepted' THEN coalesce(m.accepted_at, clock_timestamp())
                              ELSE m.accepted_at END
      FROM answer JOIN locked USING (organiser_id, message_id)
     WHERE m.organiser_id = answer.organiser_id AND m.message_id = answer.message_id
       AND m.fence = answer.fence
       AND (m.state = 'sending' OR (m.state = 'unknown' AND answer.state <> 'unknown'))
    RETURNING m.organiser_id, m.message_id, m.fence,
              extract(epoch FROM m.accepted_at - m.created_at)::float8 AS waited_s
)
SELECT answer.attempt_id, moved.message_id IS NOT NULL AS moved,
       locked.newest IS DISTINCT FROM answer.fence AS is_stale,
       CASE WHEN locked.is_first THEN moved.waited_s END AS waited_s
  FROM answer
  LEFT JOIN locked USING (organiser_id, message_id)
  LEFT JOIN moved USING (organiser_id, message_id, fence)
"""


async def record_answers(conn: Connection, *, answers: Sequence[AnswerRow]) -> Mapping[UUID, Recorded]:
    """Write the answers of several attempts, each message at most once; by attempt, what that did."""
    rows = await conn.fetch(
        RECORD_ANSWERS,
        [a.organiser_id for a in answers],
        [a.message_id for a in answers],
        [a.attempt_id for a in answers],
        [a.fence for a in answers],
        [a.outcome for a in answers],
        [a.reference for a in answers],
        [a.error_code for a in answers],
        [a.parts for a in answers],
        [a.state for a in answers],
        [a.reason for a in answers],
        [a.due_in_s for a in answers],
    )
    return {row["attempt_id"]: Recorded(row["moved"], row["is_stale"], row["waited_s"]) for row in rows}
