"""Debits over HTTP against `pgbench` calling the same function: what the service adds to the database's own work.

Both charge random vouchers of the same set, one 15-minute visit each, with a key of its own. They take turns in one
run, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit
from uuid import UUID

from bench.decisions import import_command, write_csv
from bench.load import AMOUNT_MINUTES, LoadOrders, write_orders
from bench.machine import CpuClock
from bench.pgbench import debit_script, new_id_function, run_pgbench
from bench.report import Result, per_item_ms
from bench.stage import BenchFailed, Stage
from service.crypto import Keys
from service.db import Connection
from service.vouchers.sealing import open_code

GOAL = 0.5
PGBENCH_CLIENTS = 16
WARM_UP = "warm-up"
GRANTED_MINUTES = 900_000  # more than any run can spend

# The table stands for what a client knows: pgbench cannot hold a list of codes. One look-up by a number, all in
# memory; ids are time-ordered as the service's are.
CODES_TABLE = "CREATE TABLE bench_codes (number integer PRIMARY KEY, code_index bytea NOT NULL)"


@dataclass(frozen=True)
class Plan:
    vouchers: int = 20_000
    connections: Sequence[int] = (16, 32, 64)
    rounds: int = 3
    seconds: float = 8.0


@dataclass
class _Tally:
    """What all rounds together came to."""

    per_s: dict[str, list[float]] = field(default_factory=dict)
    waits_ms: dict[str, str] = field(default_factory=dict)
    cpu_ms: dict[str, Mapping[str, float]] = field(default_factory=dict)
    other_answers: int = 0
    charged: int = 0

    def median_of(self, name: str) -> float:
        return round(median(self.per_s[name]), 1)


def measure(stage: Stage, plan: Plan) -> Result:
    """Raises BenchFailed when something does not run at all; wrong numbers are told by the checks."""
    codes = _prepare(stage, plan)
    tally = _Tally()
    with stage.running("web"):
        _charge_over_http(stage, tally, codes, max(plan.connections), min(plan.seconds, 3.0), WARM_UP)
        for number in range(plan.rounds):
            _charge_by_pgbench(stage, tally, plan.seconds)
            for connections in plan.connections:
                _charge_over_http(stage, tally, codes, connections, plan.seconds, f"round-{number}")
    best = max(plan.connections, key=lambda connections: tally.median_of(_http(connections)))
    return Result(
        name="debits",
        what=f"debits over HTTP, as a share of pgbench with {PGBENCH_CLIENTS} clients calling the same function",
        value=round(tally.median_of(_http(best)) / tally.median_of("pgbench"), 3),
        goal=GOAL,
        unit="×",
        at_least=True,
        figures=_figures(tally, plan, best),
        checks=stage.ask(lambda conn: _check(conn, tally)),
        cpu_ms=tally.cpu_ms[_http(best)],
        cpu_of="debit",
    )


def _http(connections: int) -> str:
    return f"http, {connections} connections"


def _prepare(stage: Stage, plan: Plan) -> list[str]:
    """Vouchers through the service's own import; returns their codes."""
    path = write_csv(
        stage.home.folder / "vouchers.csv", plan.vouchers, series="debits", granted_minutes=GRANTED_MINUTES
    )
    stage.run_to_end("import", import_command(path))
    keys = stage.open_keys()
    codes = stage.ask(lambda conn: _read_codes(conn, keys))
    if len(codes) != plan.vouchers:
        raise BenchFailed(f"{plan.vouchers} decisions gave {len(codes)} codes:\n{stage.last_lines('import')}")
    stage.settle()
    provider_id, key_id = stage.ask(_read_provider)
    _script(stage).write_text(
        debit_script(
            provider_id=provider_id,
            key_id=key_id,
            new_id=new_id_function(stage.ask(_has_uuidv7)),
            codes="(SELECT code_index FROM bench_codes WHERE number = :number) b",
            code_index="b.code_index",
            choice=f"\\set number random(1, {len(codes)})\n",
        )
    )
    return codes


def _script(stage: Stage) -> Path:
    return stage.home.folder / "debit.pgbench.sql"


async def _read_codes(conn: Connection, keys: Keys) -> list[str]:
    rows = await conn.fetch("SELECT code_id, sealed FROM codes")
    codes = [open_code(keys, row["code_id"], row["sealed"]) for row in rows]
    await conn.execute(CODES_TABLE)
    records = [(number, keys.index.current("code", code)) for number, code in enumerate(codes, start=1)]
    await conn.copy_records_to_table("bench_codes", records=records)
    return codes


async def _read_provider(conn: Connection) -> tuple[UUID, UUID]:
    row = await conn.fetchrow("SELECT provider_id, key_id FROM api_keys WHERE provider_id IS NOT NULL")
    assert row is not None
    return row["provider_id"], row["key_id"]


async def _has_uuidv7(conn: Connection) -> bool:
    return bool(await conn.fetchval("SELECT to_regproc('uuidv7') IS NOT NULL"))


def _charge_by_pgbench(stage: Stage, tally: _Tally, seconds: float) -> None:
    run = run_pgbench(stage, _script(stage), seconds=seconds, clients=PGBENCH_CLIENTS)
    tally.charged += run.transactions
    tally.per_s.setdefault("pgbench", []).append(run.per_s)
    tally.cpu_ms["pgbench"] = per_item_ms(run.used_s, run.transactions)


def _charge_over_http(
    stage: Stage, tally: _Tally, codes: list[str], connections: int, seconds: float, run: str
) -> None:
    address = urlsplit(stage.web_url)
    assert address.hostname is not None
    assert address.port is not None
    path = stage.home.folder / "orders.json"
    key = stage.api_keys.provider_key
    write_orders(
        path, LoadOrders(address.hostname, address.port, key, codes, connections, seconds, f"{run}-{connections}")
    )
    stage.log_file("load").unlink(missing_ok=True)
    before = CpuClock.read(stage.pids)
    stage.run_to_end("load", ["-m", "bench.load", str(path)])
    used = CpuClock.read(stage.pids).since(before)
    found = json.loads(stage.log_file("load").read_text())
    charged = found["answers"].pop("201", 0)
    name = WARM_UP if run == WARM_UP else _http(connections)
    tally.charged += charged
    tally.other_answers += sum(found["answers"].values())
    tally.per_s.setdefault(name, []).append(charged / found["elapsed_s"])
    tally.waits_ms[name] = f"p50 {found['p50_ms']:g} ms, p99 {found['p99_ms']:g} ms"
    tally.cpu_ms[name] = per_item_ms(used | {"load": found["cpu_s"]}, charged)


def _figures(tally: _Tally, plan: Plan, best: int) -> dict[str, object]:
    figures: dict[str, object] = {
        "vouchers": plan.vouchers,
        "rounds": f"{plan.rounds} of {plan.seconds:g} s each, taking turns; medians",
        "best": _http(best),
        "pgbench, 1/s": tally.median_of("pgbench"),
        "pgbench, processor ms for one debit": dict(tally.cpu_ms["pgbench"]),
    }
    for connections in plan.connections:
        name = _http(connections)
        figures[f"{name}, 1/s"] = tally.median_of(name)
        figures[f"{name}, waits"] = tally.waits_ms[name]
    figures["all rounds, 1/s"] = {name: [round(each) for each in all_] for name, all_ in tally.per_s.items()}
    return figures


async def _check(conn: Connection, tally: _Tally) -> dict[str, bool]:
    entries, charged = await conn.fetchrow("SELECT count(*), coalesce(sum(amount), 0)::bigint FROM entries") or (0, 0)
    debited = await conn.fetchval("SELECT sum(debited)::bigint FROM vouchers")
    unbalanced = await conn.fetchval("SELECT count(*) FROM vouchers WHERE granted <> available + debited")
    return {
        "every request was answered 201": tally.other_answers == 0,
        "one entry for every answer": entries == tally.charged,
        "the entries add up to what was answered": charged == tally.charged * AMOUNT_MINUTES,
        "the vouchers add up to the entries": debited == charged and unbalanced == 0,
    }
