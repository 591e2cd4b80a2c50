"""How many messages a second one worker process, or several, hand to a gateway that thinks for 100 ms over each.

The decisions are imported first, with no worker running. Then everything runs as in production: the worker sends, the
phone network reports `sent` and `delivered` for each text, the web process takes the receipts, all on this machine.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from bench.decisions import import_command, write_csv
from bench.history import DELIVERED, live_through, wait_until
from bench.machine import CpuClock
from bench.report import Result, per_item_ms
from bench.sandbox import PhoneText, read_texts, set_seconds_per_call
from bench.stage import Stage
from service.db import Connection

GOAL_PER_S = 500.0
SECONDS_PER_CALL = 0.1
# The middle of the run: neither the worker's start nor the last stragglers.
FROM_SHARE, TO_SHARE = 0.1, 0.9

ACCEPTED = "SELECT count(*) FROM attempts WHERE outcome = 'accepted'"


@dataclass(frozen=True)
class Plan:
    messages: int = 10_000
    history: int = 1_000  # sent and delivered before
    workers: int = 1


def measure(stage: Stage, plan: Plan) -> Result:
    """Raises BenchFailed when the sending stalls."""
    live_through(stage, messages=plan.history)
    path = write_csv(stage.home.folder / "decisions.csv", plan.messages, series="throughput", first=plan.history)
    stage.run_to_end("import", import_command(path))
    stage.settle()
    with stage.running("sandbox"), stage.running("web"):
        set_seconds_per_call(stage.sandbox_url, SECONDS_PER_CALL)
        with ExitStack() as workers:
            for name in ("worker", *(f"worker-{number}" for number in range(2, plan.workers + 1))):
                workers.enter_context(stage.running(name))
            wait_until(stage, ACCEPTED, plan.history + round(plan.messages * FROM_SHARE))
            before = CpuClock.read(stage.pids)
            done_before = stage.ask(_accepted)
            wait_until(stage, ACCEPTED, plan.history + round(plan.messages * TO_SHARE))
            used = CpuClock.read(stage.pids).since(before)
            done = stage.ask(_accepted) - done_before
            wait_until(stage, DELIVERED, plan.history + plan.messages)
        all_texts = read_texts(stage.sandbox_url)
    checks = stage.ask(lambda conn: _check(conn, plan.history + plan.messages, all_texts))
    texts = all_texts[plan.history :]
    senders = "one worker" if plan.workers == 1 else f"{plan.workers} workers"
    return Result(
        name="throughput" if plan.workers == 1 else "workers",
        what=f"messages handed over by {senders}, {1000 * SECONDS_PER_CALL:g} ms a call, receipts taken meanwhile",
        value=round(_rate_per_s(texts), 1),
        goal=GOAL_PER_S,
        unit="/s",
        at_least=True,
        figures={
            "messages": plan.messages,
            "processors busy": round(sum(used.values()) / (done / _rate_per_s(texts)), 2),
            "seconds from first to last text": round(texts[-1].at_s - texts[0].at_s, 1),
        },
        checks=checks,
        cpu_ms=per_item_ms(used, done),
        cpu_of="message",
    )


def _rate_per_s(texts: list[PhoneText]) -> float:
    """By the phone network's own record, over the middle of the run."""
    first, last = round(len(texts) * FROM_SHARE), round(len(texts) * TO_SHARE) - 1
    return (last - first) / (texts[last].at_s - texts[first].at_s)


async def _accepted(conn: Connection) -> int:
    return int(await conn.fetchval(ACCEPTED))


async def _check(conn: Connection, messages: int, texts: list[PhoneText]) -> dict[str, bool]:
    attempts = await conn.fetchrow(
        "SELECT count(*), count(DISTINCT message_id), count(*) FILTER (WHERE outcome = 'accepted') FROM attempts"
    )
    receipts = await conn.fetchval("SELECT count(*) FROM receipts")
    return {
        "every family got its text, once": len(texts) == len({text.to for text in texts}) == messages,
        "one attempt for each message, its acceptance recorded": tuple(attempts or ()) == (messages,) * 3,
        "both receipts of each text recorded": receipts == 2 * messages,
    }
