"""The worker process: the dispatcher, and beside it an arq worker that is restarted whenever Redis comes back."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import Any, cast

import structlog
from arq.connections import ArqRedis, create_pool
from arq.cron import cron
from arq.worker import Worker, func
from redis.exceptions import RedisError

from service.channels.operations import Delivery
from service.logs import exception_fields
from service.queue import DISPATCH_JOB, IMPORT_JOB, redis_settings, to_json
from service.resources import open_resources
from service.settings import Settings
from service.workers.dispatcher import Dispatcher
from service.workers.jobs import (
    DISPATCHER,
    FAMILIES_JOB,
    REPAIR_JOB,
    SCHEDULES_JOB,
    dispatch,
    families,
    grant_import,
    repair,
    schedules,
)
from service.workers.retry import BackOff
from service.workers.status import status_pages

log = structlog.get_logger()

# kill -9 in mid-job: arq runs it again only after the longest time-out and 10 s.
JOB_TIMEOUT_S = 25
JOB_COMPLETION_WAIT_S = 8
POLL_DELAY_S = 0.05
JOBS_AT_ONCE = 100


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Deliver until `stop` is set, then finish what is in flight and return."""
    async with (
        open_resources(settings, process="worker") as resources,
        status_pages(settings.host, settings.worker_port),
    ):
        await serve(resources.delivery, settings.redis_url.get_secret_value(), stop)


async def serve(delivery: Delivery, redis_url: str, stop: asyncio.Event) -> None:
    """Run the dispatcher, with or without Redis, until `stop` is set."""
    dispatcher = Dispatcher(delivery)
    wakeups = asyncio.create_task(take_wakeups(dispatcher, redis_url))
    log.info("worker_started")
    try:
        await dispatcher.run(stop)
    finally:
        wakeups.cancel()
        await asyncio.gather(wakeups, return_exceptions=True)
        log.info("worker_stopped")


async def take_wakeups(dispatcher: Dispatcher, redis_url: str) -> None:
    """Run an arq worker until cancelled. It ends whenever Redis drops a connection: then another one is started."""
    # Its loggers quote jobs with their arguments.
    logging.getLogger("arq").setLevel(logging.CRITICAL)
    back_off = BackOff(random.random, first_s=0.2)
    while True:
        try:
            redis = await create_pool(redis_settings(redis_url), job_serializer=to_json, job_deserializer=json.loads)
            try:
                back_off.reset()
                dispatcher.wake()  # wake-ups may have been lost while we were away
                dispatcher.take_imports()
                await run_jobs(redis, dispatcher)
            finally:
                await redis.aclose(close_connection_pool=True)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("wakeups_interrupted", **exception_fields(error))
        await asyncio.sleep(back_off.next_s())


async def run_jobs(redis: ArqRedis, dispatcher: Dispatcher) -> None:
    """Run one arq worker until it ends, or until cancelled; its jobs then have a while to finish."""
    worker = build_worker(redis, dispatcher)
    try:
        await worker.async_run()
    finally:
        worker.allow_pick_jobs = False
        if worker.main_task is not None:
            worker.main_task.cancel()
        if worker.tasks:
            await asyncio.wait(worker.tasks.values(), timeout=JOB_COMPLETION_WAIT_S)
        for job in worker.tasks.values():
            job.cancel()
        await asyncio.gather(*worker.tasks.values(), return_exceptions=True)


def build_worker(redis: ArqRedis, dispatcher: Dispatcher) -> Worker:
    return Worker(
        functions=[
            func(cast(Any, job), name=name, timeout=JOB_TIMEOUT_S, keep_result=0, max_tries=2)
            for name, job in ((DISPATCH_JOB, dispatch), (IMPORT_JOB, grant_import))
        ],
        cron_jobs=[
            cron(
                cast(Any, repair),
                name=REPAIR_JOB,
                second=0,
                unique=True,
                timeout=JOB_TIMEOUT_S,
                keep_result=0,
                max_tries=1,
            ),
            cron(
                cast(Any, families),
                name=FAMILIES_JOB,
                minute=set(range(0, 60, 10)),
                second=30,
                unique=True,
                timeout=JOB_TIMEOUT_S,
                keep_result=0,
                max_tries=1,
            ),
            cron(
                cast(Any, schedules),
                name=SCHEDULES_JOB,
                second=15,
                unique=True,
                timeout=JOB_TIMEOUT_S,
                keep_result=0,
                max_tries=1,
            ),
        ],
        redis_pool=redis,
        ctx={DISPATCHER: dispatcher},
        handle_signals=False,  # the entry point does
        job_timeout=JOB_TIMEOUT_S,
        max_jobs=JOBS_AT_ONCE,
        poll_delay=POLL_DELAY_S,
        keep_result=0,
        job_serializer=to_json,
        job_deserializer=json.loads,
        log_results=False,
    )
