"""Wakes a worker by id, after commit. Nothing more: the record of what is to be done is in PostgreSQL.

A wake-up that is lost costs a second, until the dispatcher looks by itself; so nobody waits for one, and a Redis that
is down is logged and counted, never an error of the request. JSON on the wire: arq's default, pickle, would let whoever
can write to Redis run code here.
"""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

import structlog
from arq.connections import ArqRedis, RedisSettings, create_pool
from redis.exceptions import RedisError

from service import metrics

log = structlog.get_logger()

DISPATCH_JOB = "dispatch"
IMPORT_JOB = "import"
TIMEOUT_S = 1.0
WAITING_MAX = 1_000


def redis_settings(url: str) -> RedisSettings:
    """The address, with time-outs short enough that a dead Redis is noticed and not waited for."""
    settings = RedisSettings.from_dsn(url)
    settings.conn_timeout = 1
    settings.conn_retries = 0
    return settings


def to_json(value: object) -> bytes:
    return json.dumps(value).encode()


class Wakeups:
    """Connects when first needed, and again after a loss."""

    def __init__(self, redis_url: str) -> None:
        self._settings = redis_settings(redis_url)
        self._redis: ArqRedis | None = None
        self._connecting = asyncio.Lock()
        self._sending: set[asyncio.Task[None]] = set()

    def wake(self, message_id: UUID) -> None:
        """Tell a worker that there is a message to send. Waits for nothing and never raises."""
        self._begin(DISPATCH_JOB, message_id)

    def wake_import(self, import_id: UUID) -> None:
        """Tell a worker that there is an import to grant. Waits for nothing and never raises."""
        self._begin(IMPORT_JOB, import_id)

    def _begin(self, job: str, row_id: UUID) -> None:
        if len(self._sending) >= WAITING_MAX:
            metrics.wakeups_failed.inc()
            return
        task = asyncio.create_task(self._send(job, row_id))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def is_up(self) -> bool:
        """Whether Redis answers within a second."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await (await self._connected()).ping()
        except (RedisError, OSError, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        """Let the wake-ups that are on their way arrive, then hang up."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=TIMEOUT_S)
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None

    async def _connected(self) -> ArqRedis:
        async with self._connecting:
            if self._redis is None:
                self._redis = await create_pool(self._settings, job_serializer=to_json, job_deserializer=json.loads)
            return self._redis

    async def _send(self, job: str, row_id: UUID) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                redis = await self._connected()
                await redis.enqueue_job(job, str(row_id))
        except (RedisError, OSError, TimeoutError) as error:
            metrics.wakeups_failed.inc()
            log.warning("wakeup_failed", job=job, error=type(error).__name__)
