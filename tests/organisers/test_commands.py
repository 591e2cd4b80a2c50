"""Programmes on the command line: how families are written to."""

from __future__ import annotations

import base64
import shlex
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

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


TOMORROW = datetime.now(ZoneInfo("Europe/Helsinki")).date() + timedelta(days=2)  # tomorrow even if it is midnight soon


def test_rules_are_set_from_a_day_on_and_shown_side_by_side(environment: dict[str, str]) -> None:
    run(environment, f"{ADD} --step 15 --unit-value-cents 3350")
    line = (
        f"rules set county kotipalvelu --starts-on {TOMORROW} --evening 18:00-22:00 --evening-cents 4020"
        " --saturday-cents 4470 --sunday-cents 5580 --weekly-visits 2 --task-type lastenhoito --task-type siivous"
        " --eves-are-holidays --no-show-allowed --late-entry-days 14"
    )
    told = run(environment, line)
    assert told == run(environment, "rules list county kotipalvelu")
    assert "from 2000-01-01 (in force)" in told
    assert f"from {TOMORROW} (to come)" in told
    for words in ("€40.20 / hour, 18:00–22:00", "€55.80 / hour", "lastenhoito, siivous", "14 days", "is charged"):
        assert words in told
    assert run(environment, line) == told
    gone = run(
        environment, f"rules set county kotipalvelu --starts-on {TOMORROW} --without evening --without task-types"
    )
    assert "18:00" not in gone
    assert "siivous" not in gone
    assert "€55.80" in gone


def test_a_version_that_has_not_begun_can_be_withdrawn(environment: dict[str, str]) -> None:
    run(environment, f"{ADD} --step 15 --unit-value-cents 3350")
    before = run(environment, "rules list county kotipalvelu")
    run(environment, f"rules set county kotipalvelu --starts-on {TOMORROW} --weekly-visits 2")
    assert run(environment, f"rules withdraw county kotipalvelu --starts-on {TOMORROW}") == before
    again = run(environment, f"rules withdraw county kotipalvelu --starts-on {TOMORROW}", status=1)
    assert "No version of the rules begins on" in again
    first = run(environment, "rules withdraw county kotipalvelu --starts-on 2000-01-01", status=1)
    assert "A version that has begun never changes" in first


def test_one_value_may_be_given_for_every_band(environment: dict[str, str]) -> None:
    run(environment, f"{ADD} --step 15 --unit-value-cents 3350")
    told = run(environment, f"rules set county kotipalvelu --starts-on {TOMORROW} --unit-value-cents 3400")
    assert told.count("€34.00") == 3  # and the evening is as the weekday
    told = run(environment, f"rules set county kotipalvelu --starts-on {TOMORROW} --without values")
    assert told.count("€34.00") == 0


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        ("--starts-on 2026-01-01 --step 30", 1, "A version that has begun never changes; the earliest day"),
        (f"--starts-on {TOMORROW} --step 25", 1, "“step” is not possible"),
        (f"--starts-on {TOMORROW} --evening-cents 4020", 1, "An evening needs a beginning"),
        (f"--starts-on {TOMORROW} --weekly-minutes 20000", 1, "“weekly_minutes” is not possible"),
        (f"--starts-on {TOMORROW} --evening late", 2, "18:00-22:00"),
        (f"--starts-on {TOMORROW} --without values --weekday-cents 3400", 2, "--without values contradicts"),
        (f"--starts-on {TOMORROW} --without values --unit-value-cents 3400", 2, "--without values contradicts"),
        (f"--starts-on {TOMORROW} --without evening --evening 18:00-22:00", 2, "--without evening contradicts"),
        (f"--starts-on {TOMORROW} --without task-types --task-type siivous", 2, "--without task-types contradicts"),
        ("--starts-on tomorrow", 2, "tomorrow"),
        ("", 2, "--starts-on"),
    ],
)
def test_rules_that_cannot_be_are_told_as_a_sentence(
    environment: dict[str, str], options: str, status: int, told: str
) -> None:
    run(environment, f"{ADD} --step 15 --unit-value-cents 3350")
    assert told in run(environment, f"rules set county kotipalvelu {options}", status=status)


def test_an_organiser_lists_its_providers_here_unless_it_says_where(database_url: str, redis_url: str) -> None:
    made = {
        **ENVIRONMENT,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "PUBLIC_URL": "https://seteli.kunta.fi",
    }
    listed = {
        "kunta": "seteli.kunta.fi/d/kunta",
        "hyvinvointialue": "seteli.kunta.fi/d",  # the whole would be 33 characters long
    }
    for slug, address in listed.items():
        line = f"add {slug} --name Kunta --help-phone '014 555 0101'"
        told = CliRunner().invoke(organiser_app, shlex.split(line), env=made)
        assert told.exit_code == 0, told.output
        assert f"listed at {address}\n" in told.output
        again = CliRunner().invoke(organiser_app, shlex.split(line), env=made)
        assert again.exit_code == 0, again.output
    long = {**made, "PUBLIC_URL": "https://palveluseteli.hyvinvointialue.fi"}
    refused = CliRunner().invoke(organiser_app, shlex.split("add c --name C --help-phone '014 1'"), env=long)
    assert refused.exit_code == 1
    assert "directory_address" in refused.output


def test_an_organiser_moves_to_this_installations_directory(environment: dict[str, str]) -> None:
    def change(line: str, *, status: int = 0) -> str:
        result = CliRunner().invoke(organiser_app, shlex.split(f"change {line}"), env=environment)
        assert result.exit_code == status, result.output
        return result.output

    assert "call 014 555 0101, providers are listed at 127.0.0.1:8000/d/county" in change("county --own-directory")
    assert "call 014 555 0999, providers are listed at 127.0.0.1:8000/d/county" in change(
        "county --help-phone '014 555 0999'"
    )
    assert "listed at x.example/ps" in change("county --directory-address x.example/ps")
    assert "“directory_address”" in change(f"county --directory-address {'x' * 31}", status=1)
    assert "no organiser" in change("nobody --own-directory", status=1)
