"""The command line that sets a service up: from an empty database to a key that works."""

from __future__ import annotations

import asyncio
import base64
import shlex
from datetime import UTC, datetime

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from service.db import Connection, connect
from service.organisers.commands import organiser_app, programme_app, region_app
from service.providers.commands import key_app, provider_app
from service.providers.keys import looks_like_key
from service.providers.operations import authenticate
from service.web import Caller
from tests.rows import once_then_copied
from tests.sessions import Sessions

app = typer.Typer()
for name, commands in (
    ("region", region_app),
    ("organiser", organiser_app),
    ("programme", programme_app),
    ("provider", provider_app),
    ("key", key_app),
):
    app.add_typer(commands, name=name)

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
    "COLUMNS": "200",
}
SET_UP = (
    "region add kuusiranta --name 'Kuusirannan seutu'",
    "organiser add county --name 'Kuusirannan hyvinvointialue' --region kuusiranta"
    " --help-phone '014 555 0101' --directory-address kuusiranta.example/ps",
    "programme add kotipalvelu --organiser county --unit minutes --step 15 --unit-value-cents 3550"
    " --name-fi Kotipalvelu --name-sv Hemservice --name-en 'Home help'",
    "provider add 20774740 --name 'Kotiapu Onni Oy'",
    "provider approve 2077474-0 --programme kotipalvelu --region kuusiranta"
    " --valid-from 2026-01-01 --valid-to 2026-12-31",
)


class CommandLine:
    def __init__(self, database_url: str, redis_url: str) -> None:
        self._environment = {**ENVIRONMENT, "DATABASE_URL": database_url, "REDIS_URL": redis_url}
        self._database_url = database_url
        self._runner = CliRunner()

    def run(self, line: str, *, status: int = 0, **environment: str) -> Result:
        result = self._runner.invoke(app, shlex.split(line), env={**self._environment, **environment})
        assert result.exit_code == status, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    def caller(self, key: str) -> Caller | None:
        async def look() -> Caller | None:
            conn = await connect(self._database_url)
            try:
                return await authenticate(conn, key, datetime.now(UTC))
            finally:
                await conn.close()

        return asyncio.run(look())


@pytest.fixture
async def command_line(database_url: str, redis_url: str, sessions: Sessions) -> CommandLine:
    made = CommandLine(database_url, redis_url)

    async def set_up(_: Connection) -> dict[str, str]:
        for line in SET_UP:
            await asyncio.to_thread(made.run, line)  # each command has an event loop of its own
        return {}

    conn, replica = await sessions.connection(), await sessions.replica()
    await once_then_copied(conn, set_up, name="command line", replica=replica)
    return made


def test_a_set_up_that_is_run_again_says_the_same_and_changes_nothing(command_line: CommandLine) -> None:
    again = [command_line.run(line).stdout for line in SET_UP]
    assert again[1] == "Organiser county: Kuusirannan hyvinvointialue; providers are listed at kuusiranta.example/ps\n"
    assert again[4] == "2077474-0 is approved for kotipalvelu by kuusiranta from 2026-01-01 to 2026-12-31\n"


def test_a_key_is_alone_on_its_line_and_works_until_it_is_revoked(command_line: CommandLine) -> None:
    made = command_line.run("key create --provider 2077474-0 --name Ajanvaraus")
    key = made.stdout.strip()
    assert looks_like_key(key)
    assert "only time" in made.stderr
    assert key not in made.stderr
    caller = command_line.caller(key)
    assert caller is not None
    assert caller.owner == "provider"
    listed = command_line.run("key list --provider 2077474-0").stdout
    assert str(caller.key_id) in listed
    assert key[:-4] not in listed
    command_line.run(f"key revoke {caller.key_id}")
    assert command_line.caller(key) is None
    assert "revoked" in command_line.run("key list --provider 2077474-0").stdout


def test_a_narrow_key_has_only_what_was_asked_for(command_line: CommandLine) -> None:
    line = "key create --organiser county --name x --permission vouchers:read --expires 2099-01-01"
    caller = command_line.caller(command_line.run(line).stdout.strip())
    assert caller is not None
    assert caller.permissions == {"vouchers:read"}


def test_a_suspended_providers_key_is_refused_until_it_is_resumed(command_line: CommandLine) -> None:
    key = command_line.run("key create --provider 2077474-0 --name x").stdout.strip()
    command_line.run("provider suspend 2077474-0")
    assert command_line.caller(key) is None
    assert "suspended" in command_line.run("provider list").stdout
    command_line.run("provider resume 2077474-0")
    assert command_line.caller(key) is not None


def test_lists_show_names_units_and_approvals(command_line: CommandLine) -> None:
    assert "Kuusirannan seutu" in command_line.run("organiser list").stdout
    programmes = command_line.run("programme list --organiser county").stdout
    assert "15 min" in programmes
    assert "€35.50 / hour" in programmes
    assert "kotipalvelu · Kuusirannan seutu · 2026-01-01–2026-12-31" in command_line.run("provider list").stdout


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("provider add 2077474-1 --name x", "not a valid Finnish business id"),
        ("provider add 2077474-0 --name Toinen", "under another name"),
        ("organiser list-", None),
        ("programme list --organiser nobody", "no organiser “nobody”"),
        ("key create --name x", "Exactly one must be named"),
        ("key create --provider 2077474-0 --name x --permission decisions:write", "debits:read"),
        ("key revoke 00000000-0000-0000-0000-000000000000", "no key with the id"),
        ("key revoke not-an-id", None),
        ("provider approve 2077474-0 --programme x --region kuusiranta --valid-from 2026-01-01", "no programme “x”"),
        ("provider approve 2077474-0 --programme x --region kuusiranta --valid-from 1.1.2026", None),
        (
            "programme add x --organiser county --unit cents --unit-value-cents 5 --name-fi a --name-sv b --name-en c",
            "no unit value",
        ),
        ("programme add x --organiser county --unit weeks --name-fi a --name-sv b --name-en c", None),
    ],
)
def test_what_cannot_be_is_one_sentence_and_no_traceback(
    command_line: CommandLine, line: str, told: str | None
) -> None:
    result = command_line.run(line, status=2 if told is None else 1)
    assert told is None or told in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_a_missing_setting_and_a_database_that_is_down_are_told(command_line: CommandLine) -> None:
    missing = command_line.run("organiser list", status=1, EMAIL_SENDER="")
    assert "EMAIL_SENDER: is not set" in missing.stderr
    down = command_line.run("organiser list", status=1, DATABASE_URL="postgresql://app@127.0.0.1:1/x?sslmode=disable")
    assert "Traceback" not in down.output
    assert "cannot reach its database" in down.stderr
    assert "Idempotency-Key" not in down.stderr


def test_prices_are_set_and_shown(command_line: CommandLine) -> None:
    for line in SET_UP:
        command_line.run(line)
    first = (
        "provider price set 2077474-0 --programme kotipalvelu --region kuusiranta --starts-on 2026-01-01"
        " --weekday-cents 3600 --sunday-cents 6000"
    )
    told = command_line.run(first).output
    assert command_line.run(first).output == told == command_line.run("provider price list 2077474-0").output
    assert told.count("€36.00") == 3
    assert "€60.00" in told
    assert "in force" in told
    refused = command_line.run(first.replace("3600", "3700"), status=1).output
    assert "A version that has begun never changes" in refused
    told = command_line.run(first.replace("3600", "3700").replace("2026-01-01", "2099-01-01"), status=1).output
    assert "is not approved for the programme" in told
    command_line.run(SET_UP[-1].replace("--valid-to 2026-12-31", ""))
    told = command_line.run(first.replace("3600", "3700").replace("2026-01-01", "2099-01-01")).output
    assert "to come" in told
