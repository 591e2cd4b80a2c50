"""The caseworkers' list on the command line."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
import typer

from service.attention.commands import attention_app
from service.attention.operations import open_item
from service.db import connect
from tests.providers import test_commands as command_lines
from tests.providers.test_commands import SET_UP, CommandLine

app = typer.Typer()
app.add_typer(attention_app, name="attention")


@pytest.fixture
def run(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    line = CommandLine(database_url, redis_url)
    for command in SET_UP[:2]:
        line.run(command)
    monkeypatch.setattr(command_lines, "app", app)
    return line


def ask_for_a_person(database_url: str) -> str:
    async def ask() -> str:
        connection = await connect(database_url)
        organiser_id = await connection.fetchval("SELECT organiser_id FROM organisers")
        item_id = await open_item(connection, organiser_id=organiser_id, reason="bad_contact", subject_id=uuid4())
        await connection.close()
        return str(item_id)

    return asyncio.run(ask())


def test_what_is_open_is_listed_and_resolved_once(run: CommandLine, database_url: str) -> None:
    assert "Nothing needs a person" in run.run("attention list --organiser county").output
    item_id = ask_for_a_person(database_url)
    shown = run.run("attention list --organiser county").output
    assert item_id in shown
    assert "cannot receive messages" in shown
    assert "ei voi ottaa" in run.run("attention list --organiser county --language fi").output

    assert "resolved" in run.run(f"attention resolve {item_id} --reason 'called the family'").output
    assert "Nothing needs a person" in run.run("attention list --organiser county").output
    again = run.run(f"attention resolve {item_id} --reason again", status=1)
    assert "resolved this before" in again.output


def test_an_id_that_nobody_has_is_one_clear_sentence(run: CommandLine) -> None:
    for nonsense in ("nonsense", str(uuid4())):
        told = run.run(f"attention resolve {nonsense} --reason x", status=1).output
        assert "nothing with this id" in told
        assert "Traceback" not in told
