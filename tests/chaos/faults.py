"""The faults: each is put in force for some seconds under load, counts what it injected, and heals when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import aiohttp
import redis.asyncio
from redis.exceptions import RedisError

from tests.chaos.stack import Stack
from tests.chaos.traffic import Load

UNDELIVERABLE = ("+358400030005", "+358400030006", "+358400030007")  # the sandbox reports so, for good

USUAL = Load()

Injector = Callable[[Stack, Random, float], Awaitable[int]]  # returns how many were injected


@dataclass(frozen=True)
class Fault:
    name: str
    inject: Injector
    load: Load = USUAL
    seconds: float | None = None  # none: as long as the others
    mails_once: bool = False  # whoever sends lives, and hears the mail server or times out: else no mail comes again


def _killing(*names: str, every_s: tuple[float, float] = (0.3, 1.2)) -> Injector:
    async def inject(stack: Stack, rng: Random, seconds: float) -> int:
        ends_at, kills = time.monotonic() + seconds, 0
        while True:
            await asyncio.sleep(rng.uniform(*every_s))
            if time.monotonic() >= ends_at and kills:
                return kills
            name = rng.choice(stack.workers) if (chosen := rng.choice(names)) == "worker" else chosen
            pid = stack.pids[name]
            stack.kill(name)
            kills += 1
            await stack.run_again(name, pid)

    return inject


async def _flush(stack: Stack, rng: Random, seconds: float) -> int:
    """FLUSHALL, again and again."""
    ends_at, flushed = time.monotonic() + seconds, 0
    client = redis.asyncio.Redis.from_url(stack.redis_url)
    async with contextlib.aclosing(client):
        while time.monotonic() < ends_at:
            await asyncio.sleep(rng.uniform(0.05, 0.4))
            with contextlib.suppress(RedisError, OSError):
                await client.flushall()
                flushed += 1
    return flushed


async def _redis_off(stack: Stack, _rng: Random, seconds: float) -> int:
    pid = stack.pids["valkey"]
    stack.keep_off("valkey")
    await asyncio.sleep(seconds)
    stack.let_on("valkey")
    await stack.run_again("valkey", pid)
    return 1


def _at_the_sandbox(**rates: float) -> Injector:
    async def inject(stack: Stack, rng: Random, seconds: float) -> int:
        before = await set_sandbox_faults(stack, {**rates, "seed": rng.randrange(10**6)})
        await asyncio.sleep(seconds)
        after = await set_sandbox_faults(stack, {})
        return sum(after.values()) - sum(before.values())

    return inject


async def set_sandbox_faults(stack: Stack, settings: dict[str, Any]) -> dict[str, int]:
    """Put these in force in place of those before; returns how many of each were injected so far."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{stack.world.sandbox_url}/faults", json=settings) as response,
    ):
        assert response.status == 200, await response.text()
        injected: dict[str, int] = (await response.json())["injected"]
        return injected


FAULTS: Sequence[Fault] = (
    Fault("kill worker", _killing("worker")),
    Fault("kill web", _killing("web")),
    Fault("kill postgres", _killing("postgres"), Load(emails=0.5), mails_once=True),
    Fault("kill valkey", _killing("valkey")),
    Fault("kill anything", _killing("worker", "web", "postgres", "valkey")),
    Fault("FLUSHALL", _flush),
    Fault("Redis off", _redis_off),
    Fault(
        "gateway: time-outs, 5xx, 429",
        # Receipts that come would tell what the gateway did not: here most have to be asked for.
        _at_the_sandbox(
            timeout_after_accept=0.06,
            error_5xx=0.05,
            error_5xx_after_accept=0.05,
            error_429=0.06,
            receipts_lost=0.6,
            receipts_delayed_s=1.5,
        ),
        Load(emails=0),
    ),
    Fault(
        "receipts: lost, twice, out of order, forged",
        _at_the_sandbox(receipts_lost=0.1, receipts_duplicated=0.1, receipts_reordered=0.2, receipts_forged=0.1),
        Load(emails=0, phones=UNDELIVERABLE),
    ),
    Fault(
        "mail: 4xx, dropped, 250 lost",
        _at_the_sandbox(smtp_4xx=0.1, smtp_drop_in_data=0.05, smtp_lost_250=0.05),
        Load(emails=1, chargers=0),
    ),
)


MASS_PER_S = 30.0
KILL_EVERY_S = (5.0, 15.0)


def masses(*, texts: int, mails: int) -> Sequence[Fault]:
    """As many decisions as that, while the gateways fail at the rates of a bad day and workers are killed besides."""
    of_texts = {"timeout_after_accept": 0.03, "error_5xx": 0.025, "error_5xx_after_accept": 0.01, "error_429": 0.03}
    of_receipts = {
        "receipts_lost": 0.1,
        "receipts_duplicated": 0.1,
        "receipts_reordered": 0.2,
        "receipts_forged": 0.02,
    }
    of_mails = {"smtp_4xx": 0.03, "smtp_5xx": 0.01, "smtp_drop_in_data": 0.02, "smtp_lost_250": 0.02}
    calm = Load(MASS_PER_S, emails=0, chargers=1, longest_s=2)
    return [
        Fault(
            "many texts: all of it",
            _both(_at_the_sandbox(**of_texts, **of_receipts), _killing("worker", every_s=KILL_EVERY_S)),
            calm,
            texts / MASS_PER_S,
        ),
        Fault(
            "many mails: all of it",
            _both(_at_the_sandbox(**of_mails), _killing("worker", every_s=KILL_EVERY_S)),
            replace(calm, emails=1, chargers=0),
            mails / MASS_PER_S,
        ),
    ]


def _both(one: Injector, other: Injector) -> Injector:
    async def inject(stack: Stack, rng: Random, seconds: float) -> int:
        return sum(await asyncio.gather(one(stack, rng, seconds), other(stack, rng, seconds)))

    return inject
