"""What the database decided of a request, and who asks for too much that is not its business."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog
from asyncpg import Record

from service import metrics
from service.db import Connection, Pool, autocommit
from service.debits.model import ChargeOrder, CodeUnknown, error_of
from service.errors import SeteliError
from service.guessing.operations import weigh_misses

log = structlog.get_logger()


Borrow = Callable[[], AbstractAsyncContextManager[Connection]]
"""Where a statement is sent: each by itself, or all in a caller's transaction."""


def by_itself(pool: Pool) -> Borrow:
    return partial(autocommit, pool)


def within(conn: Connection) -> Borrow:
    return lambda: nullcontext(conn)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the database decided. `answer` is the body of a success, byte for byte, or the details of a refusal."""

    outcome: str
    answer: str
    replayed: bool
    language: str

    @property
    def is_success(self) -> bool:
        return self.outcome == "ok"

    def error(self) -> SeteliError:
        """The refusal as the error that it is."""
        return error_of(self.outcome)(**json.loads(self.answer))


def verdict_of(row: Record) -> Verdict:
    return Verdict(outcome=row["outcome"], answer=row["answer"], replayed=row["replayed"], language=row["language"])


async def watch_for_guessing(borrow: Borrow, outcome: str, order: ChargeOrder) -> None:
    """After a verdict: show a miss to whoever watches, and trip the breaker when it is time."""
    if outcome != CodeUnknown.code:
        return
    async with borrow() as conn:
        await tell_of_miss(conn, order.provider_id, order.credential_id)


async def tell_of_miss(conn: Connection, provider_id: UUID, credential_id: UUID) -> None:
    """The same for a miss that is known to be one."""
    metrics.code_misses.inc()
    weighed = await weigh_misses(conn)
    log.warning(
        "code_missed", provider_id=str(provider_id), key_id=str(credential_id), misses_today=weighed.misses_today
    )
