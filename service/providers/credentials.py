"""A short memory of whose key is whose, so that a busy provider's key is not looked up for every debit.

A revoked key is refused within a second: that is how long an answer is remembered. Keys themselves are not kept, only
their SHA-256.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

from service.db import Pool, autocommit
from service.providers.keys import hash_key, looks_like_key
from service.providers.operations import authenticate
from service.web import Caller

REMEMBERED_S = 1.0
REMEMBERED_MAX = 10_000


class Credentials:
    """Tells callers by their keys. One look-up serves all who ask for the same key at the same time."""

    def __init__(self, pool: Pool, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._known: dict[bytes, tuple[float, asyncio.Task[Caller | None]]] = {}

    async def authenticate(self, key: str) -> Caller | None:
        """Whose key it is; None for anything that is not a live key. Raises DatabaseUnavailable."""
        if not looks_like_key(key):
            return None
        digest, now = hash_key(key), self._clock()
        remembered = self._known.get(digest)
        if remembered is None or remembered[0] <= now or _failed(remembered[1]):
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            remembered = (now + REMEMBERED_S, asyncio.create_task(self._look_up(key)))
            self._known[digest] = remembered
        # shield: one caller who hangs up must not take the answer from the others.
        return await asyncio.shield(remembered[1])

    async def _look_up(self, key: str) -> Caller | None:
        async with autocommit(self._pool) as conn:
            return await authenticate(conn, key, datetime.now(UTC))


def _failed(task: asyncio.Task[Caller | None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
