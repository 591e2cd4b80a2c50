"""What the rules cost: the debit's function on a voucher with every rule against one with none, in the database.

`ruled` has tariff bands, a price list, weekly caps in visits and minutes, task types, and visits with times; `plain`
has an amount. pgbench with one client calls them in turns, so that whatever else the machine does meets both. Commits
are not waited for: flushing to the disk is the same for both, and no work. What is compared is processor time, which
other programs disturb less than they do the clock; all is in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from bench.past import KEY_ID, PROVIDER_ID, UNBALANCED, Past, write_past
from bench.pgbench import debit_script, new_id_function, run_pgbench
from bench.report import Result, per_item_ms
from bench.stage import Stage
from service.db import Connection

GOAL = 1.5
WITHOUT_FLUSH = "-c synchronous_commit=off"
KINDS = ("plain", "ruled")


@dataclass(frozen=True)
class Plan:
    vouchers: int = 20_000
    debits: int = 80_000
    rounds: int = 15
    seconds: float = 2.0


@dataclass
class Costs:
    """Of every round, by what was measured."""

    latency_ms: dict[str, list[float]] = field(default_factory=dict)
    cpu_ms: dict[str, list[float]] = field(default_factory=dict)
    charged: int = 0

    def call(
        self, stage: Stage, name: str, kind: str, *, vouchers: int, seconds: float, url: str, in_use: int | None = None
    ) -> None:
        """One round of one kind of debit on the vouchers of one database; on `in_use` of them, spread evenly."""
        script = stage.home.folder / f"{kind}-{vouchers}-{in_use or vouchers}.pgbench.sql"
        stride = vouchers // (in_use or vouchers)
        if not script.exists():
            first = 1 if kind == "ruled" else 2  # see bench.past: odd ones have the rules
            script.write_text(
                debit_script(
                    provider_id=PROVIDER_ID,
                    key_id=KEY_ID,
                    new_id=new_id_function(stage.ask(_has_uuidv7)),
                    codes="",
                    code_index=f"sha256(convert_to('bench-' || ({2 * stride} * :half + {first}), 'UTF8'))",
                    choice=f"\\set half random(0, {vouchers // stride // 2 - 2})\n",
                    ruled=kind == "ruled",
                )
            )
        run = run_pgbench(stage, script, seconds=seconds, clients=1, url=url, options=WITHOUT_FLUSH)
        self.latency_ms.setdefault(name, []).append(run.latency_ms)
        self.cpu_ms.setdefault(name, []).append(per_item_ms(run.used_s, run.transactions)["postgres"])
        self.charged += run.transactions

    def ms(self, name: str) -> float:
        return median(self.latency_ms[name])

    def ratio(self, name: str, other: str) -> float:
        """Of the medians of all rounds, by the clock."""
        return round(self.ms(name) / self.ms(other), 3)

    def processor_ratio(self, name: str, other: str) -> float:
        """Of the medians of all rounds, by PostgreSQL's processor time."""
        return round(median(self.cpu_ms[name]) / median(self.cpu_ms[other]), 3)

    def figures(self) -> Mapping[str, object]:
        return {
            f"{name}, ms": f"{self.ms(name):.3f} (processor {median(self.cpu_ms[name]):.3f})"
            for name in self.latency_ms
        }


def measure(stage: Stage, plan: Plan) -> Result:
    """Raises BenchFailed when something does not run at all; wrong numbers are told by the checks."""
    stage.ask(lambda conn: write_past(conn, Past(plan.vouchers, plan.debits)))
    stage.settle()
    before = stage.ask(_count_debits)
    costs, warm_up = Costs(), Costs()
    for kind in KINDS:
        warm_up.call(stage, kind, kind, vouchers=plan.vouchers, seconds=plan.seconds, url=stage.database_url)
    for _ in range(plan.rounds):
        for kind in KINDS:
            costs.call(stage, kind, kind, vouchers=plan.vouchers, seconds=plan.seconds, url=stage.database_url)
    charged = costs.charged + warm_up.charged
    done = stage.ask(_count_debits) - before
    return Result(
        name="rules",
        what="a debit with all rules on, times the cost of a plain one, in the database",
        value=costs.processor_ratio("ruled", "plain"),
        goal=GOAL,
        unit="×",
        at_least=False,
        figures={
            "vouchers, debits": f"{plan.vouchers}, {plan.debits}",
            "rounds": f"{plan.rounds} of {plan.seconds:g} s each, taking turns; medians; commits not waited for",
            **costs.figures(),
            "by the clock": costs.ratio("ruled", "plain"),
        },
        checks={
            # A code that is stopped or a cap that is full would be quick.
            "all were charged but for visits that begin in the same second": charged * 0.99 <= done <= charged,
            "every voucher adds up to its entries": stage.ask(count_unbalanced) == 0,
        },
        cpu_ms={"postgres": median(costs.cpu_ms["ruled"])},
        cpu_of="debit with all rules",
    )


async def _has_uuidv7(conn: Connection) -> bool:
    return bool(await conn.fetchval("SELECT to_regproc('uuidv7') IS NOT NULL"))


async def _count_debits(conn: Connection) -> int:
    return int(await conn.fetchval("SELECT count(*) FROM entries WHERE kind = 'debit'"))


async def count_unbalanced(conn: Connection) -> int:
    return int(await conn.fetchval(UNBALANCED))
