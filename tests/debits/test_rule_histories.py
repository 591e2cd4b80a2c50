"""The rules, each with a likely mistake in it: a short history is answered by the database as the rule book in Python
says, and is not as soon as the mistake is made. So random histories have a judge that can fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from tests.conftest import Addresses
from tests.debits.rule_histories import HISTORIES, History
from tests.debits.rule_worlds import open_world
from tests.debits.test_rule_machine import RuleMachine, machine_of


@pytest.fixture(scope="module")
def machine(servers: Addresses) -> Iterator[type[RuleMachine]]:
    """One database for all: a mistake is taken out again."""
    with asyncio.Runner() as runner:
        conn = runner.run(open_world(servers, "histories"))
        yield machine_of(runner.run, conn)
        runner.run(conn.close())


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.name)
def test_a_history_is_played_as_the_rules_say_and_sees_the_fault(machine: type[RuleMachine], history: History) -> None:
    history.play(machine())
    function, told, instead = history.fault
    right = machine.run(machine.conn.fetchval("SELECT pg_get_functiondef($1::text::regproc)", f"public.{function}"))
    assert told in right
    machine.run(machine.conn.execute(right.replace(told, instead)))
    try:
        with pytest.raises((AssertionError, asyncpg.PostgresError)):
            history.play(machine())
    finally:
        machine.run(machine.conn.execute(right))
