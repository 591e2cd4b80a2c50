"""`provider profile …` on the command line."""

from __future__ import annotations

import shlex

import pytest
import typer
from typer.testing import CliRunner

from service.directory.commands import profile_app
from service.providers.commands import provider_app
from tests.organisers.test_commands import ENVIRONMENT

app = typer.Typer()
app.add_typer(provider_app, name="provider")
app.add_typer(profile_app, name="profile")


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    made = {**ENVIRONMENT, "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    run(made, "provider add 9000101-4 --name 'Apu Oy'")
    return made


def run(environment: dict[str, str], line: str, *, status: int = 0) -> str:
    result = CliRunner().invoke(app, shlex.split(line), env=environment)
    assert result.exit_code == status, result.output
    return result.output


def test_what_is_not_given_stays_and_an_empty_text_takes_away(environment: dict[str, str]) -> None:
    told = run(
        environment,
        "profile set 9000101-4 --description-fi Autamme --area Vaasa --area Oulu --hours weekday=08:00-16:00"
        " --hours evening --language sv --language fi --phone '014 555 0311' --web apu.example --takes-new",
    )
    for each in ("Autamme", "Vaasa, Oulu", "weekday 08:00-16:00, evening", "fi, sv", "https://apu.example", "taken"):
        assert each in told
    changed = run(environment, "profile set 9000101-4 --phone '' --full")
    assert "014" not in changed
    assert "not now" in changed
    assert "Autamme" in changed
    assert run(environment, "profile show 9000101-4") == changed


def test_what_is_not_as_it_must_be_is_told_in_a_sentence(environment: dict[str, str]) -> None:
    assert "“web” is not as it must be" in run(environment, "profile set 9000101-4 --web http://x.example", status=1)
    assert "“hours”" in run(environment, "profile set 9000101-4 --hours night", status=1)
    assert "no provider" in run(environment, "profile set 9000202-5 --full", status=1)
    assert "no programme" in run(environment, "profile set 9000101-4 --programme x --full", status=1)
