"""Idempotency keys of writes that are not debits: the same request twice has one effect and one answer.

The claim, the effect and the answer are in one transaction, so a crash leaves all or nothing. Debits do the same
inside the database, in one round trip (`claim_request` in migrations/0016). Follows
draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from service.crypto import BlindIndex
from service.db import Connection
from service.errors import IdempotencyKeyReused

TEXTED_PREFIX = "sms:"
"""Keys of charges by text begin with it, and those of API callers must not: both are of one provider."""


@dataclass(frozen=True)
class Claim:
    """One caller's one key, with the keyed digest of what came with it."""

    owner_id: UUID
    key: str
    fingerprint: bytes
    previous_fingerprint: bytes | None
    language: str


def make_claim(
    index: BlindIndex, *, owner_id: UUID, key: str, method: str, path: str, body: str, language: str
) -> Claim:
    """The digest is keyed because a body may hold a code: without the key nobody can try codes out against it."""
    text = f"{method} {path}\n{body}"
    return Claim(
        owner_id=owner_id,
        key=key,
        fingerprint=index.current("request", text),
        previous_fingerprint=index.previous("request", text),
        language=language,
    )


CLAIM = """
INSERT INTO requests (owner_id, idempotency_key, fingerprint, language) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING owner_id
"""

REPLAY = "SELECT outcome, answer FROM replay_request($1, $2, $3, $4, $5)"


async def claim_or_replay(conn: Connection, claim: Claim) -> bytes | None:
    """None: the key is ours, go on. Otherwise the stored answer. A rival under way is waited for.

    Raises IdempotencyKeyReused when the key came with another request.
    """
    if await conn.fetchval(CLAIM, claim.owner_id, claim.key, claim.fingerprint, claim.language) is not None:
        return None
    row = await conn.fetchrow(
        REPLAY, claim.owner_id, claim.key, claim.fingerprint, claim.previous_fingerprint, claim.language
    )
    if row is None or row["outcome"] != "ok":
        raise IdempotencyKeyReused
    return str(row["answer"]).encode()


STORE = "UPDATE requests SET outcome = 'ok', answer = $3 WHERE owner_id = $1 AND idempotency_key = $2"


async def store_answer(conn: Connection, claim: Claim, answer: bytes) -> None:
    """Keep the answer with its claim, in the transaction of its effect."""
    await conn.execute(STORE, claim.owner_id, claim.key, answer.decode())
