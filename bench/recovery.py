"""How long after a gateway is back the last of the messages that it kept waiting has arrived.

It is away altogether: no connection can be made, as in an outage of the network or a restart of the carrier's edge.
Waits double with each try, so the answer is about as long as the outage itself; what is measured is that nothing adds
to that: no thundering herd, no message that was forgotten.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.decisions import import_command, write_csv
from bench.history import DELIVERED, live_through, wait_until
from bench.machine import CpuClock
from bench.report import Result, per_item_ms
from bench.sandbox import read_texts
from bench.stage import Stage

GOAL_S = 120.0  # docs/reliability.md: after healing, all has settled within this


@dataclass(frozen=True)
class Plan:
    messages: int = 2_000
    away_s: float = 15.0
    history: int = 1_000  # sent and delivered before


def measure(stage: Stage, plan: Plan) -> Result:
    """Raises BenchFailed when the sending stalls."""
    live_through(stage, messages=plan.history)
    path = write_csv(stage.home.folder / "decisions.csv", plan.messages, series="recovery", first=plan.history)
    stage.run_to_end("import", import_command(path))
    stage.settle()
    total = plan.history + plan.messages
    with stage.running("web"), stage.running("worker"):
        time.sleep(plan.away_s)
        before = CpuClock.read(stage.pids)
        with stage.running("sandbox"):
            healed_at_s = time.time()
            wait_until(stage, DELIVERED, total)
            settled_s = time.time() - healed_at_s
            used = CpuClock.read(stage.pids).since(before)
            texts = read_texts(stage.sandbox_url)
    late = [text.at_s - healed_at_s for text in texts[plan.history :]]
    return Result(
        name="recovery",
        what=f"from a gateway that is back after {plan.away_s:g} s to the last of {plan.messages} texts delivered",
        value=round(settled_s, 1),
        goal=GOAL_S,
        unit="s",
        at_least=False,
        figures={"messages": plan.messages, "last text at the phone network, s": round(max(late), 1)},
        checks={"every family got its text, once": len(texts) == len({text.to for text in texts}) == total},
        cpu_ms=per_item_ms(used, plan.messages),
        cpu_of="message",
    )
