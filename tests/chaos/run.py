"""One run: every fault in turn under load, then healing, convergence, judgement."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import aiohttp

from tests.chaos.doomed import MAIL, TEXT, kill_at_points, let_leases_end
from tests.chaos.families import Phones
from tests.chaos.faults import Fault, set_sandbox_faults
from tests.chaos.judge import CONVERGE_WITHIN_S, Verdict, converge, judge
from tests.chaos.late import bring_late_receipts
from tests.chaos.ledger import Ledger
from tests.chaos.sleeper import SLEEPER, sleep_past_lease
from tests.chaos.stack import Stack, running
from tests.chaos.traffic import Callers

CONNECTIONS = 200


@dataclass(frozen=True)
class Plan:
    """What to do, for how long each. `points`: where workers die while sending; all: at every one there is."""

    seed: int
    faults: Sequence[Fault] = ()
    seconds_each: float = 5.0
    points: Sequence[int] = ()
    all_points: bool = False
    mutant: str | None = None
    workers: int = 1
    has_sleeper: bool = False
    patience_s: float = CONVERGE_WITHIN_S


@dataclass(frozen=True)
class Outcome:
    verdicts: dict[str, Verdict]
    injected: dict[str, int]
    tried_again: dict[str, int]
    general: list[str]
    converged_s: float
    took_s: float

    @property
    def is_good(self) -> bool:
        return not self.general and all(
            not (verdict.lost or verdict.repeated or verdict.stuck or verdict.violations)
            for verdict in self.verdicts.values()
        )


async def run(plan: Plan, folder: Path) -> Outcome:
    """Run it over an empty folder. Call it in the main thread."""
    started, rng, ledger = time.monotonic(), Random(f"chaos {plan.seed}"), Ledger()
    injected: dict[str, int] = {}
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with (
        running(folder, mutant=plan.mutant, workers=plan.workers) as stack,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        phones = Phones(
            stack.world.base_url,
            session,
            rng,
            auth_token=stack.env["TWILIO_AUTH_TOKEN"],
            number=stack.env["TWILIO_SENDER"],
        )
        callers = Callers(stack.world, phones, session, rng, ledger)
        for fault in plan.faults:
            seconds = plan.seconds_each if fault.seconds is None else fault.seconds
            _, injected[fault.name] = await asyncio.gather(
                callers.work(fault.name, fault.load, seconds=seconds), fault.inject(stack, rng, seconds)
            )
            await stack.be_ready()
        if plan.points or plan.all_points:
            injected |= await _doom_workers(stack, callers, plan)
        if plan.has_sleeper:
            await converge(stack, within_s=plan.patience_s)
            await stack.workers_off()
            injected[SLEEPER] = await sleep_past_lease(stack, callers)
        converged_s = await converge(stack, within_s=plan.patience_s)
        await stack.be_ready(with_workers=True)
        late = await bring_late_receipts(stack, callers)
        verdicts, general = await judge(stack, callers, ledger)
    for doomed in {TEXT, MAIL} & verdicts.keys():
        if verdicts[doomed].to_person:
            verdicts[doomed].violations.append("a worker that died once was enough to need a person")
    for fault in plan.faults:
        if fault.mails_once and fault.name in verdicts and verdicts[fault.name].mails_repeated_untimed:
            verdicts[fault.name].violations.append("a mail came again whose sender had been told that it was taken")
    verdicts = {name: verdicts.get(name, Verdict()) for name in injected} | verdicts
    took_s = time.monotonic() - started
    return Outcome(verdicts, injected, dict(ledger.tried_again), general + late, converged_s, took_s)


async def _doom_workers(stack: Stack, callers: Callers, plan: Plan) -> dict[str, int]:
    points = None if plan.all_points else plan.points
    await converge(stack, within_s=plan.patience_s)  # what is still open from before is not theirs to look after
    await stack.workers_off()
    await set_sandbox_faults(stack, {"receipts_lost": 1})  # a receipt would tell what the dead one knew
    kills = {fault: await kill_at_points(stack, callers, fault, points) for fault in (TEXT, MAIL)}
    await set_sandbox_faults(stack, {})
    await let_leases_end(stack)
    await stack.workers_on()
    return kills
