"""Texts from families: once each, what they asked and what we did. Never their words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.channels.inbound import ANSWERING, Asked, Effect, History
from service.db import Connection

# Texts of one number are taken one after the other: two at once would each find that the other was not answered yet.
# Nobody waits for it on a connection: a dozen texts of one number would leave the others none.
LOCK_SENDER = "SELECT pg_try_advisory_xact_lock(hashtextextended(encode($1::bytea, 'hex'), 0))"


async def lock_sender(conn: Connection, *, sender_index: bytes) -> bool:
    """Whether this transaction is the only one with a text of this number, until it ends."""
    return bool(await conn.fetchval(LOCK_SENDER, sender_index))


@dataclass(frozen=True, slots=True)
class InboundText:
    gateway: str
    reference: str
    sender_index: bytes
    body_digest: bytes
    intent: Asked


INSERT_TEXT = """
INSERT INTO inbound_texts (gateway, reference, sender_index, body_digest, intent, effect)
VALUES ($1, $2, $3, $4, $5, 'received')
ON CONFLICT (gateway, reference) DO NOTHING RETURNING reference
"""


async def insert_text(conn: Connection, *, text: InboundText) -> bool:
    """False when the gateway has brought this text before."""
    inserted = await conn.fetchval(
        INSERT_TEXT, text.gateway, text.reference, text.sender_index, text.body_digest, text.intent
    )
    return inserted is not None


UPDATE_EFFECT = "UPDATE inbound_texts SET effect = $3 WHERE gateway = $1 AND reference = $2"


async def update_effect(conn: Connection, *, gateway: str, reference: str, effect: Effect) -> None:
    await conn.execute(UPDATE_EFFECT, gateway, reference, effect.value)


# clock_timestamp: the transaction may have waited for the one before it.
SELECT_HISTORY = """
SELECT count(*) FILTER (WHERE t.effect = ANY($3::text[])) AS answers_today,
       count(*) FILTER (WHERE t.effect = $4) AS guesses_today,
       count(*) FILTER (WHERE t.effect = $5) AS stranger_answers_today,
       count(*) FILTER (WHERE t.body_digest = ANY($2::bytea[])
                          AND t.received_at > clock_timestamp() - make_interval(secs => $6)) AS repeats,
       EXISTS (SELECT FROM messages m JOIN attempts a USING (organiser_id, message_id)
                WHERE m.recipient_index = ANY($1::bytea[]) AND m.channel = 'sms'
                  AND m.created_at > now() - interval '7 days' AND a.body_digest = ANY($2::bytea[])) AS is_echo
  FROM inbound_texts t
 WHERE t.sender_index = ANY($1::bytea[]) AND t.received_at > now() - interval '24 hours'
"""


async def select_history(
    conn: Connection, *, sender_indexes: Sequence[bytes], body_digests: Sequence[bytes], repeat_window_s: float
) -> History:
    """What a number has sent in 24 hours, this text included, and whether this text is one that we sent it."""
    row = await conn.fetchrow(
        SELECT_HISTORY,
        sender_indexes,
        body_digests,
        [effect.value for effect in ANSWERING],
        Effect.GUESSED.value,
        Effect.STRANGER_ANSWERED.value,
        repeat_window_s,
    )
    assert row is not None, "an aggregate without GROUP BY"
    return History(**dict(row))


COUNT_STRANGERS = """
SELECT count(*) FROM inbound_texts WHERE effect = $1 AND received_at > now() - interval '24 hours'
"""


async def count_strangers(conn: Connection) -> int:
    """How many numbers that no voucher has were told so in 24 hours."""
    return int(await conn.fetchval(COUNT_STRANGERS, Effect.STRANGER_ANSWERED.value))


FORGET_OLD = """
DELETE FROM inbound_texts WHERE (gateway, reference) IN (
    SELECT gateway, reference FROM inbound_texts WHERE received_at < now() - interval '30 days'
     ORDER BY received_at LIMIT 20 FOR UPDATE SKIP LOCKED)
"""


async def forget_old(conn: Connection) -> None:
    """Take away some of what is older than a month; called with each new text, that keeps up."""
    await conn.execute(FORGET_OLD)
