"""`python -m service channel …`: what a person does when a gateway has to stop."""

from __future__ import annotations

import asyncio
import base64
import shlex
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from service.channels.commands.channel import channel_app

KEY = f"1:{base64.b64encode(bytes(32)).decode()}"


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "ENCRYPTION_KEYS": KEY,
        "INDEX_KEYS": KEY,
        "TWILIO_ACCOUNT_SID": "AC0",
        "TWILIO_AUTH_TOKEN": "x",
        "TWILIO_SENDER": "Seteli",
        "SMTP_HOST": "127.0.0.1",
        "EMAIL_SENDER": "Seteli <seteli@kuusiranta.example>",
        "SMS_PARTS_PER_DAY": "500",
        "COLUMNS": "240",
    }


def run(environment: dict[str, str], line: str, *, status: int = 0) -> str:
    result = CliRunner().invoke(channel_app, shlex.split(line), env=environment)
    assert result.exit_code == status, result.output
    return result.output


def ask(environment: dict[str, str], statement: str) -> Any:
    async def fetch() -> Any:
        connection = await asyncpg.connect(environment["DATABASE_URL"])
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def test_a_channel_is_paused_and_resumed_and_its_status_tells_why(environment: dict[str, str]) -> None:
    assert "open" in run(environment, "status")
    run(environment, "pause sms --reason 'sender changes at noon'")
    shown = run(environment, "status")
    for word in ("paused", "sender changes at noon", "command line:", "resumed by hand", "0 of 500"):
        assert word in shown
    assert "sends again" in run(environment, "resume sms")
    assert "was not paused" in run(environment, "resume sms")
    assert "paused" not in run(environment, "status")


def test_resuming_after_a_spent_budget_raises_it_for_today(environment: dict[str, str]) -> None:
    pause = "INSERT INTO gateway_pauses VALUES ('twilio', 'budget', now(), now() + interval '5 hours')"
    ask(environment, pause)
    assert "today's budget is 500 parts higher" in run(environment, "resume sms")
    ask(environment, pause)
    run(environment, "resume sms --extra-parts 50")
    assert ask(environment, "SELECT extra FROM gateway_spend") == 550
    assert "0 of 1050" in run(environment, "status")


@pytest.mark.parametrize(
    "line", ["pause sms", "pause sms --reason ''", "pause fax --reason x", "resume sms --extra-parts 0"]
)
def test_what_makes_no_sense_is_refused(environment: dict[str, str], line: str) -> None:
    run(environment, line, status=2)
