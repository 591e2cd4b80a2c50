"""What the database decided of a request, and who asks for too much that is not its business."""

from __future__ import annotations

import json
from dataclasses import dataclass
from uuid import UUID

import structlog
from asyncpg import Record

from service import metrics
from service.db import Pool, autocommit
from service.debits.model import CodeUnknown, error_of
from service.debits.queries import charging as queries
from service.errors import SeteliError

log = structlog.get_logger()

# 50 misses a day on the whole installation: somebody is trying codes out through several keys, and a person must look.
BREAKER_MISSES_PER_DAY = 50


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


async def watch_for_guessing(pool: Pool, outcome: str, provider_id: UUID, credential_id: UUID) -> None:
    if outcome != CodeUnknown.code:
        return
    async with autocommit(pool) as conn:
        misses_today = await queries.count_misses_today(conn)
    tell_of_miss(misses_today, provider_id, credential_id)


def tell_of_miss(misses_today: int, provider_id: UUID, credential_id: UUID) -> None:
    """Count a miss where people look, and call somebody when there are many of the whole installation."""
    metrics.code_misses.inc()
    metrics.code_misses_today.set(misses_today)
    log.warning("code_missed", provider_id=str(provider_id), key_id=str(credential_id), misses_today=misses_today)
    if misses_today >= BREAKER_MISSES_PER_DAY:
        log.error("code_guessing_suspected", misses_today=misses_today)
