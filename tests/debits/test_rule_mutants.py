"""The judge of the rules can fail: each of these faults in the database is seen by random histories."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import Addresses
from tests.debits.rule_worlds import open_world
from tests.debits.test_rule_machine import RuleMachine, machine_of

FAULTS = (
    ("late entry ends a day early", "check_charge", "WHEN p_today > LEAST(", "WHEN p_today >= LEAST("),
    ("one visit a week less", "check_charge", "c.used_visits + c.visits > c", "c.used_visits + c.visits >= c"),
    ("holds have no place in the week", "week_use", "h.state = 'held'", "h.state = 'none'"),
    ("parts in no steps", "takes", "p_room / p_step * p_step", "p_room"),
    (
        "cents of a part rounded down",
        "reverse_debit",
        "(v_done.amount + v_amount) + d.amount)",
        "(v_done.amount + v_amount))",
    ),
    (
        "what was held is lost",
        "free_hold",
        "available = v.available + v_hold.amount",
        "expired = v.expired + v_hold.amount",
    ),
    ("Friday is Saturday", "tariff_band", "= 6 THEN", "= 5 THEN"),
    ("holidays are weekdays", "tariff_band", "p_day = ANY(p_holidays)", "false"),
    ("a changed cap is no next day", "next_allowed_date", "c.starts_on > p_day", "false"),
    ("the oldest price list", "prices_on", "ORDER BY l.starts_on DESC", "ORDER BY l.starts_on"),
    ("the oldest cap", "caps_on", "ORDER BY c.starts_on DESC", "ORDER BY c.starts_on"),
    ("a capture is its hold's duplicate", "check_charge", "o.starts_at IS DISTINCT FROM h.starts_at", "true"),
    ("a hold is charged as what is left of it", "capture_hold", "o.partial := true", "o.partial := false"),
    ("a capture takes more than was held", "check_charge", "WHEN c.asked > h.amount", "WHEN c.asked > h.amount + 1000"),
    ("lapsed holds are captured", "capture_hold", "OR v_hold.lapses_at <= now()", ""),
    ("what is settled is taken back", "reverse_debit", "s.entry_id = d.entry_id", "false"),
    (
        "a visit comes back with the first part",
        "reverse_debit",
        "WHEN v_amount = v_left THEN -1",
        "WHEN v_amount > 0 THEN -1",
    ),
    ("a closed voucher gets its value back", "reverse_debit", "v.state <> 'closed'", "true"),
    ("a replay is another debit", "claim_request", "IF NOT FOUND THEN", "IF false THEN"),
    ("the family pays nothing", "check_charge", "(2 * v_total + v_per)", "(2 * v_paid + v_per)"),
)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("fault", "function", "told", "instead"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_a_fault_in_the_rules_is_seen(servers: Addresses, fault: str, function: str, told: str, instead: str) -> None:
    with asyncio.Runner() as runner:
        conn = runner.run(open_world(servers, "mutants"))
        runner.run(break_it(conn, function, told, instead))
        with pytest.raises((AssertionError, asyncpg.PostgresError)):
            play_until_seen(machine_of(runner.run, conn))
        runner.run(conn.close())


async def break_it(conn: asyncpg.Connection[asyncpg.Record], function: str, told: str, instead: str) -> None:
    source = await conn.fetchval("SELECT pg_get_functiondef($1::text::regproc)", f"public.{function}")
    assert told in source
    await conn.execute(source.replace(told, instead))


def play_until_seen(machine: Callable[[], RuleMachine]) -> None:
    profile = settings(
        max_examples=400,
        stateful_step_count=40,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=profile)
