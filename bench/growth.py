"""A debit with 10 000 vouchers in the tables and with millions, in turns; and the history of a provider of millions.

Two databases of one server, both filled by `bench.past`. As many vouchers are in use in both, those of the large one
spread over all of its tables: what differs is what lies around them. The figures tell, too, what it costs when any of
the millions may be the next, and its pages are not in memory. Many minutes and some 40 GB of disk, which is why it is
no part of a whole run.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any
from uuid import UUID

from bench.past import PROVIDER_ID, RARE_WORKER, Past, write_past
from bench.report import Result
from bench.rules import KINDS, Costs, count_unbalanced
from bench.stage import BenchFailed, Stage
from service.db import Connection, connect, migrate, open_pool
from service.debits.history import HistoryFilter
from service.debits.operations import LongReads, history, history_sums
from service.errors import SeteliError
from service.sandbox.postgres import create_database

GOAL = 1.2
FIRST_PAGE_GOAL_MS = 50.0
BYTES_PER_DEBIT = 1_200  # with its part of a voucher, and with what filling needs besides
PAGE = 51
LOOKS = 5
# As a production server has them; the rest stays as the sandbox has it.
SERVER = {"shared_buffers": "4GB", "max_wal_size": "16GB", "checkpoint_timeout": "15min"}
READ_IN_USE = """
SELECT count(e.kind), count(k.sealed), count(d.status) FROM decisions r
JOIN vouchers v ON v.organiser_id = r.organiser_id AND v.decision_id = r.decision_id
JOIN codes k ON k.organiser_id = v.organiser_id AND k.code_id = v.code_id
JOIN voucher_codes c ON c.code_index = sha256(convert_to('bench-' || substr(r.decision_ref, 3), 'UTF8'))
JOIN decisions d ON d.organiser_id = v.organiser_id AND d.decision_id = v.decision_id
LEFT JOIN entries e ON e.organiser_id = v.organiser_id AND e.voucher_id = v.voucher_id
WHERE (substr(r.decision_ref, 3)::bigint - 1) % (2 * {stride}) IN (0, 1)
"""
# A new key belongs on any leaf of its index, as the provider has chosen it: the index has to be in memory, too.
READ_KEYS = "SELECT count(idempotency_key) FROM requests WHERE owner_id IS NOT NULL"
WHILE_FILLING = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off", "synchronous_commit": "off"}


@dataclass(frozen=True)
class Plan:
    small: Past
    large: Past
    rounds: int = 10
    seconds: float = 4.0


USUAL = Plan(small=Past(10_000, 40_000), large=Past(5_000_000, 20_000_000))


def measure(stage: Stage, plan: Plan) -> Result:
    """Raises BenchFailed when the disk is too small, or something does not run at all."""
    needed = plan.large.debits * BYTES_PER_DEBIT
    if shutil.disk_usage(stage.home.folder).free < needed:
        raise BenchFailed(f"{needed / 1e9:.0f} GB of disk are needed in {stage.home.folder}")
    started = time.monotonic()
    urls = {"small": _fill(stage, "small", plan.small), "large": _fill(stage, "large", plan.large)}
    return measure_filled(stage, plan, urls, filled_s=time.monotonic() - started)


def measure_filled(stage: Stage, plan: Plan, urls: Mapping[str, str], *, filled_s: float) -> Result:
    """On databases that are filled already."""
    # Each place: its database, and how many of its vouchers are in use.
    places = {
        "small": ("small", None),
        "large": ("large", plan.small.vouchers),
        "large, any voucher": ("large", None),
    }
    pasts = {"small": plan.small, "large": plan.large}
    for name, past in pasts.items():
        asyncio.run(_ask(urls[name], _bring_into_memory(past.vouchers // plan.small.vouchers)))
    costs, warm_up = Costs(), Costs()
    for number in range(plan.rounds + 1):
        for place, kind in ((place, kind) for kind in KINDS for place in places):
            name, in_use = places[place]
            (costs if number else warm_up).call(
                stage,
                f"{kind}, {place}",
                kind,
                vouchers=pasts[name].vouchers,
                seconds=plan.seconds if number else 3 * plan.seconds,
                url=urls[name],
                in_use=in_use,
            )
    looks = {question: asyncio.run(_look(urls["large"], asked)) for question, asked in questions().items()}
    ratios = {kind: costs.ratio(f"{kind}, large", f"{kind}, small") for kind in KINDS}
    unbalanced = {name: asyncio.run(_ask(url, count_unbalanced)) for name, url in urls.items()}
    return Result(
        name="growth",
        what=f"a debit with {plan.large.vouchers:,} vouchers and {plan.large.debits:,} debits, times one with"
        f" {plan.small.vouchers:,}",
        value=max(ratios.values()),
        goal=GOAL,
        unit="×",
        at_least=False,
        figures={
            "filled in, min": round(filled_s / 60, 1),
            "the large one on disk": asyncio.run(_ask(urls["large"], _size)),
            "rounds": f"{plan.rounds} of {plan.seconds:g} s each, taking turns; medians; commits not waited for",
            **costs.figures(),
            **{f"{kind}, large ÷ small": ratio for kind, ratio in ratios.items()},
            **{
                f"{kind}, {place} ÷ small, processor time": costs.processor_ratio(f"{kind}, {place}", f"{kind}, small")
                for kind in KINDS
                for place in ("large", "large, any voucher")
            },
            f"history of half of all debits, {PAGE} lines": f"ms at first, then (goal: {FIRST_PAGE_GOAL_MS:g}), sums",
            **{f"history, {question}": look for question, look in looks.items()},
        },
        checks={
            f"every voucher of the {name} one adds up to its entries": not count for name, count in unbalanced.items()
        },
        cpu_ms={"postgres": median(costs.cpu_ms["ruled, large"])},
        cpu_of="debit with all rules in the large one",
    )


def _bring_into_memory(stride: int) -> Callable[[Connection], Awaitable[None]]:
    """Read what debits of the vouchers in use will: on a busy disk, charging alone would take minutes to."""

    async def read(conn: Connection) -> None:
        await conn.execute("SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off")
        await conn.execute(READ_IN_USE.format(stride=stride))
        await conn.execute("SET enable_bitmapscan = off")
        await conn.execute(READ_KEYS)

    return read


def questions() -> Mapping[str, HistoryFilter]:
    """Every filter: what is common, what is rare, and what nobody has; and the pairs that had been slow."""
    today = datetime.now(UTC).date()
    long_ago = today - timedelta(600)
    served = {"service_from": long_ago, "service_to": today - timedelta(570)}
    entered = {"entered_from": long_ago, "entered_to": today - timedelta(570)}
    worker = {"worker": "T-12"}
    asked: dict[str, dict[str, Any]] = {
        "nothing": {},
        "days of service": served,
        "days of entry": entered,
        "a programme": {"programme": "ruled"},
        "a rare programme": {"programme": "rare"},
        "an organiser": {"organiser": "bench-3"},
        "a worker": worker,
        "a rare worker": {"worker": RARE_WORKER},
        "no worker": {"worker": "nobody"},
        "captured": {"state": "captured"},
        "reversed": {"state": "reversed"},
        "partly reversed": {"state": "partly_reversed"},
        "disputed": {"state": "disputed"},
        "settled": {"state": "settled"},
        "the last four": {"last_four": "0042"},
        "a decision": {"decision_ref": "B-42"},
        "days of service and a programme": {"programme": "ruled", "service_from": long_ago},
        "days of service and a worker": served | worker,
        "days of service and captured": {"state": "captured", "service_from": long_ago},
        "days of service and reversed": served | {"state": "reversed"},
        "days of service and of entry": {"service_from": long_ago - timedelta(300)} | entered,
        "days of entry and a programme": entered | {"programme": "ruled"},
        "days of entry and a decision": entered | {"decision_ref": "B-42"},
        "a worker and a rare programme": worker | {"programme": "rare"},
        "a worker and reversed": worker | {"state": "reversed"},
    }
    return {name: HistoryFilter(**filters) for name, filters in asked.items()}


def _fill(stage: Stage, name: str, past: Past) -> str:
    url = stage.postgres.url(name)
    create_database(stage.postgres.url("postgres"), name, binaries=stage.postgres.binaries)
    asyncio.run(migrate(url))
    asyncio.run(_configure(url, WHILE_FILLING))
    asyncio.run(_ask(url, lambda conn: write_past(conn, past)))
    asyncio.run(_ask(url, _settle))
    asyncio.run(_configure(url, dict.fromkeys(WHILE_FILLING)))
    return url


async def _configure(url: str, settings: Mapping[str, str | None]) -> None:
    async def change(conn: Connection) -> None:
        for setting, value in settings.items():
            await conn.execute(
                f"ALTER SYSTEM RESET {setting}" if value is None else f"ALTER SYSTEM SET {setting} = {value}"
            )
        await conn.execute("SELECT pg_reload_conf()")

    await _ask(url, change)


async def _settle(conn: Connection) -> None:
    await conn.execute("SET maintenance_work_mem = '1GB'")
    await conn.execute("VACUUM (ANALYZE)")
    await conn.execute("CHECKPOINT")


async def _ask(url: str, work: Any) -> Any:
    conn = await connect(url, application_name="seteli bench", statement_timeout_ms=0)
    try:
        return await work(conn)
    finally:
        await conn.close()


async def _size(conn: Connection) -> str:
    return str(await conn.fetchval("SELECT pg_size_pretty(pg_database_size(current_database()))"))


async def _look(url: str, asked: HistoryFilter) -> str:
    pool = await open_pool(url, size=2)
    try:
        pages_ms = []
        for _ in range(1 + LOOKS):
            started = time.perf_counter()
            await history(pool, provider_id=UUID(PROVIDER_ID), asked=asked, after=None, limit=PAGE)
            pages_ms.append(1000 * (time.perf_counter() - started))
        started = time.perf_counter()
        try:
            await history_sums(pool, LongReads(), provider_id=UUID(PROVIDER_ID), asked=asked)
        except SeteliError as error:
            sums = error.code
        else:
            sums = f"{1000 * (time.perf_counter() - started):.0f}"
        return f"{pages_ms[0]:.1f}, {median(pages_ms[1:]):.1f}, {sums}"
    finally:
        pool.terminate()
