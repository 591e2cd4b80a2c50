"""Programmes on the command line: how families are written to."""

from __future__ import annotations

import base64
import shlex

import pytest
from typer.testing import CliRunner

from service.organisers.commands import organiser_app, programme_app

KEY = f"1:{base64.b64encode(bytes(32)).decode()}"
ENVIRONMENT = {
    "PUBLIC_URL": "http://127.0.0.1:8000",
    "ENCRYPTION_KEYS": KEY,
    "INDEX_KEYS": KEY,
    "TWILIO_ACCOUNT_SID": "AC0",
    "TWILIO_AUTH_TOKEN": "x",
    "TWILIO_SENDER": "Seteli",
    "SMTP_HOST": "127.0.0.1",
    "EMAIL_SENDER": "Seteli <seteli@kuusiranta.example>",
    "COLUMNS": "240",
}
ADD = (
    "add kotipalvelu --organiser county --unit minutes --name-fi Kotipalvelu --name-sv Hemservice --name-en 'Home help'"
)


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    made = {**ENVIRONMENT, "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    line = "add county --name County --help-phone '014 555 0101' --directory-address x.example/ps --language se"
    assert CliRunner().invoke(organiser_app, shlex.split(line), env=made).exit_code == 0
    return made


def run(environment: dict[str, str], line: str, *, status: int = 0) -> str:
    result = CliRunner().invoke(programme_app, shlex.split(line), env=environment)
    assert result.exit_code == status, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def test_a_programme_says_how_families_are_written_to(environment: dict[str, str]) -> None:
    run(environment, f"{ADD} --neutral-texts --receipts daily --name ru='Помощь на дому'")
    listed = run(environment, "list --organiser county")
    assert "neutral" in listed
    assert "daily" in listed
    assert "ru" in listed
    told = run(environment, "change kotipalvelu --organiser county --plain-texts --name et=Koduabi")
    assert "plain texts, receipts daily" in told
    assert "et" in told
    assert "plain texts, receipts off" in run(environment, "change kotipalvelu --organiser county --receipts off")


@pytest.mark.parametrize(
    ("line", "status", "told"),
    [
        ("change kotipalvelu --organiser county --name de=Haushilfe", 2, "LANGUAGE=NAME"),
        ("change kotipalvelu --organiser county --name Koduabi", 2, "LANGUAGE=NAME"),
        ("change kotipalvelu --organiser county --receipts weekly", 2, "weekly"),
        ("change nothing --organiser county --receipts off", 1, "programme"),
    ],
)
def test_what_cannot_be_is_told_as_a_sentence(environment: dict[str, str], line: str, status: int, told: str) -> None:
    run(environment, ADD)
    assert told in run(environment, line, status=status)
