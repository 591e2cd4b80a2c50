"""From a decision to its text: through the real web, worker and sandbox processes, at a steady rate.

The caller keeps to its clock whether or not the last decision was answered, as many case systems at once would. The
time of arrival is the sandbox's own record, by the clock that all processes of this machine share.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import aiohttp

from bench.decisions import phone_of
from bench.history import live_through
from bench.machine import CpuClock
from bench.report import Result, per_item_ms, percentile
from bench.sandbox import PhoneText, read_texts
from bench.stage import BenchFailed, Stage
from service.sandbox.processes import ticks
from service.sandbox.sample import HOME_HELP

GOAL_MS = 500.0
WARM_UP_DECISIONS = 20
ARRIVAL_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Plan:
    per_s: float = 50.0
    seconds: float = 20.0
    history: int = 1_000  # sent and delivered before

    @property
    def decisions(self) -> int:
        return round(self.per_s * self.seconds)


@dataclass
class _Posted:
    """When each decision was sent and answered, by the family's number."""

    sent_s: dict[str, float] = field(default_factory=dict)
    answered_s: dict[str, float] = field(default_factory=dict)
    other_answers: int = 0


def measure(stage: Stage, plan: Plan) -> Result:
    """Raises BenchFailed when not even the first texts arrive."""
    live_through(stage, messages=plan.history)
    first = plan.history + WARM_UP_DECISIONS
    with stage.running("sandbox"), stage.running("web"), stage.running("worker"):
        asyncio.run(_post(stage, Plan(10.0, WARM_UP_DECISIONS / 10.0), first=plan.history))
        _wait_for_texts(stage, first)
        before = CpuClock.read(stage.pids)
        posted = asyncio.run(_post(stage, plan, first=first))
        used = CpuClock.read(stage.pids).since(before)
        texts = _wait_for_texts(stage, first + plan.decisions)
    return _result(plan, posted, texts[first:], used)


async def _post(stage: Stage, plan: Plan, *, first: int) -> _Posted:
    posted = _Posted()
    headers = {"Authorization": f"Bearer {stage.api_keys.organiser_key}"}
    connector = aiohttp.TCPConnector(limit=64)
    async with aiohttp.ClientSession(stage.web_url, headers=headers, connector=connector) as session:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(plan.decisions):
                await asyncio.sleep(max(0.0, started + number / plan.per_s - time.perf_counter()))
                tasks.create_task(_post_one(session, posted, first + number))
    return posted


async def _post_one(session: aiohttp.ClientSession, posted: _Posted, number: int) -> None:
    phone = phone_of(number)
    posted.sent_s[phone] = time.time()
    async with session.post("/v1/decisions", json=_decision(number)) as answer:
        await answer.read()
        if answer.status == 201:
            posted.answered_s[phone] = time.time()
        else:
            posted.other_answers += 1


def _decision(number: int) -> dict[str, object]:
    today = datetime.now(UTC).date()
    return {
        "decision_ref": f"delivery-{number:06d}",
        "programme": HOME_HELP,
        "status": "confirmed",
        "client_ref": f"client-{number:06d}",
        "beneficiary": {"phone": phone_of(number), "language": "fi"},
        "granted": 1200,
        "valid_from": str(today),
        "valid_to": str(today + timedelta(days=90)),
    }


def _wait_for_texts(stage: Stage, count: int) -> list[PhoneText]:
    texts: list[PhoneText] = []
    for _ in ticks(ARRIVAL_TIMEOUT_S, every_s=0.5):
        texts = read_texts(stage.sandbox_url)
        if len(texts) >= count:
            return texts
    raise BenchFailed(
        f"{len(texts)} of {count} texts arrived:\n{stage.last_lines('worker')}\n{stage.last_lines('web')}"
    )


def _result(plan: Plan, posted: _Posted, texts: list[PhoneText], used_s: dict[str, float]) -> Result:
    from_post = [1000 * (text.at_s - posted.sent_s[text.to]) for text in texts if text.to in posted.sent_s]
    from_answer = [1000 * (text.at_s - posted.answered_s[text.to]) for text in texts if text.to in posted.answered_s]
    answers = [1000 * (at_s - posted.sent_s[phone]) for phone, at_s in posted.answered_s.items()]
    return Result(
        name="delivery",
        what=f"from sending a decision to its text at the phone network, p99, at {plan.per_s:g} decisions/s",
        value=round(percentile(from_post, 0.99), 1),
        goal=GOAL_MS,
        unit="ms",
        at_least=False,
        figures={
            "decisions": plan.decisions,
            "request to text, ms": _spread(from_post),
            # A text may arrive before the answer does: the worker is woken at the commit.
            "answer to text, ms": _spread(from_answer),
            "request to answer, ms": _spread(answers),
        },
        checks={
            "every decision was answered 201": posted.other_answers == 0 and len(answers) == plan.decisions,
            "every family got its text, once": len(texts) == len({text.to for text in texts}) == plan.decisions,
        },
        cpu_ms=per_item_ms(used_s, plan.decisions),
        cpu_of="decision",
    )


def _spread(values: list[float]) -> str:
    return ", ".join(
        f"{name} {percentile(values, share):.1f}" for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    )
