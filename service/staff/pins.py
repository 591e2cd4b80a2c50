"""PINs at rest: argon2id, and sealed.

Six digits are a million: whoever has a copy of the database tries them all out against a bare hash in hours, however
slow the hash is. So the hash is sealed under a key that is not in the database, and slow in case that key is lost too.
The parameters are those that OWASP's Password Storage Cheat Sheet names first for argon2id: 19 MiB, 2 passes, 1 lane,
some 20 ms here. They are in each hash, so raising them leaves older PINs valid.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from service.crypto import Keys

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


async def seal_pin(keys: Keys, worker_id: UUID, pin: str) -> bytes:
    """Hashes in a thread: the loop goes on meanwhile."""
    hashed = await asyncio.to_thread(_HASHER.hash, pin)
    return keys.sealer.seal(hashed, pin_context(worker_id))


async def is_pin(keys: Keys, worker_id: UUID, pin_sealed: bytes, pin: str) -> bool:
    """Whether this is the worker's PIN. Raises SealBroken."""
    return await asyncio.to_thread(_matches, keys.sealer.open(pin_sealed, pin_context(worker_id)), pin)


def pin_context(worker_id: UUID) -> bytes:
    return b"worker pin" + worker_id.bytes


def phone_context(worker_id: UUID) -> bytes:
    return b"worker phone" + worker_id.bytes


def number_context(question_id: UUID) -> bytes:
    return b"charge question" + question_id.bytes


def _matches(hashed: str, pin: str) -> bool:
    try:
        return _HASHER.verify(hashed, pin)
    except VerifyMismatchError:
        return False
