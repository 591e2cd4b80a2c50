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
    ("a capture is its hold's duplicate", "is_double", "o.starts_at IS NOT DISTINCT FROM h.starts_at", "false"),
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
    ("the family pays nothing", "price_of", "(2 * v_total + p_per)", "(2 * v_paid + p_per)"),
    ("the voucher pays more than the price", "price_of", "LEAST(v_price, v_value)", "v_value"),
    ("a capture costs what is asked today", "check_charge", "IF h.hold_id IS NULL THEN", "IF true THEN"),
    ("a hold is captured again", "capture_hold", "v_hold.state <> 'held' OR", "false OR"),
    ("a hold is dropped again", "free_hold", "k.hold_id = p_hold AND k.state = 'held'", "k.hold_id = p_hold"),
    ("another provider's hold is captured", "capture_hold", "k.provider_id = o.provider_id AND k.hold_id", "k.hold_id"),
    ("more is taken back than is left", "reverse_debit", "WHEN v_amount > v_left", "WHEN v_amount > d.amount"),
    (
        "another provider's debit is taken back",
        "reverse_debit",
        "e.provider_id = p_provider AND e.entry_id",
        "e.entry_id",
    ),
    ("what was cancelled while suspended is open", "check_charge", "OR v.late_entry_stopped", ""),
    ("visits that are alike are not asked about", "is_double", "e.amount = p_amount", "false"),
    (
        "what a cancelled voucher leaves has expired",
        "close_vouchers",
        "CASE WHEN u.cancelled_from IS NULL THEN v_left",
        "CASE WHEN true THEN v_left",
    ),
    ("a lowering takes what is used", "apply_version", "GREATEST(d.granted,", "LEAST(d.granted,"),
)


@pytest.mark.slow
@pytest.mark.timeout(3600)
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
