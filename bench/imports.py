"""The import of decisions from CSV against psql's `\\copy` of the same rows into one indexed table.

Both read the same file and are timed as whole commands, from start to exit. They take turns in one run, every round
with decisions that are new to both.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.decisions import COLUMNS, import_command, write_csv
from bench.machine import CpuClock
from bench.report import Result, per_item_ms
from bench.stage import BenchFailed, Stage
from service.db import Connection

GOAL = 10.0
_TYPES = {"granted": "bigint", "valid_from": "date", "valid_to": "date"}
TABLE = f"""
CREATE TABLE bench_decisions ({", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in COLUMNS)});
CREATE UNIQUE INDEX bench_decisions_ref ON bench_decisions (decision_ref);
"""


@dataclass(frozen=True)
class Plan:
    decisions: int = 100_000
    rounds: int = 3


def measure(stage: Stage, plan: Plan) -> Result:
    """Raises BenchFailed when a command fails."""
    stage.execute(TABLE)
    copy_s: list[float] = []
    import_s: list[float] = []
    # What any command of ours takes before it does anything: most of it is importing libraries.
    start_s = stage.run_to_end("start", ["-m", "service", "import", "decisions", "--help"])
    for number in range(plan.rounds):
        path = write_csv(
            stage.home.folder / "decisions.csv", plan.decisions, series=f"r{number}", first=number * plan.decisions
        )
        stage.execute("CHECKPOINT")
        copy_s.append(_copy(stage, path))
        stage.execute("CHECKPOINT")
        before = CpuClock.read(stage.pids)
        children_s = _children_s()
        import_s.append(stage.run_to_end("import", import_command(path)))
        used = CpuClock.read(stage.pids).since(before) | {"import": _children_s() - children_s}
    return Result(
        name="import",
        what=f"import of {plan.decisions} decisions from CSV, as a multiple of \\copy of the same rows",
        value=round(median(import_s) / median(copy_s), 2),
        goal=GOAL,
        unit="×",
        at_least=False,
        figures={
            "\\copy, s": round(median(copy_s), 2),
            "import, s": round(median(import_s), 2),
            "of that the command's own start, s": round(start_s, 2),
            "decisions per second": round(plan.decisions / median(import_s)),
            "all rounds, s": {"\\copy": [round(each, 2) for each in copy_s], "import": [round(e, 2) for e in import_s]},
        },
        checks=stage.ask(lambda conn: _check(conn, plan.decisions * plan.rounds)),
        cpu_ms=per_item_ms(used, plan.decisions),
        cpu_of="decision",
    )


def _children_s() -> float:
    """Processor seconds of our own children that have ended and were waited for."""
    times = os.times()
    return times.children_user + times.children_system


def _copy(stage: Stage, path: Path) -> float:
    command = f"\\copy bench_decisions ({', '.join(COLUMNS)}) FROM '{path}' WITH (FORMAT csv, HEADER)"
    started = time.perf_counter()
    done = subprocess.run(
        [stage.postgres.binaries / "psql", "--no-psqlrc", "-q", "-d", stage.database_url, "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env={"LANG": "C.UTF-8"},
        timeout=600,
    )
    if done.returncode != 0:
        raise BenchFailed(f"\\copy failed: {done.stderr}")
    return time.perf_counter() - started


async def _check(conn: Connection, expected: int) -> dict[str, bool]:
    counts = {
        table: await conn.fetchval(f"SELECT count(*) FROM {table}")
        for table in ("bench_decisions", "decisions", "vouchers", "voucher_codes", "codes", "beneficiaries")
    }
    messages = await conn.fetchval("SELECT count(DISTINCT secret_id) FROM messages WHERE state = 'pending'")
    return {
        "every decision has its voucher, code and family": set(counts.values()) == {expected},
        "every code has its message waiting": messages == expected,
    }
