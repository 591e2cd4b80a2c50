"""Blocks and the alarm on the command line."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from service.db import connect
from service.guessing.commands import block_app
from service.providers.keys import looks_like_key
from tests.providers.test_commands import CommandLine, app

app.add_typer(block_app, name="block")


async def misses(database_url: str, credential_id: UUID, count: int) -> None:
    conn = await connect(database_url)
    for _ in range(count):
        await conn.execute("SELECT count_miss(gen_random_uuid(), $1)", credential_id)
    await conn.execute("SELECT weigh_misses()")
    await conn.close()


async def test_a_block_and_the_alarm_are_shown_and_ended(database_url: str, redis_url: str) -> None:
    command_line, guesser = CommandLine(database_url, redis_url), uuid4()

    async def run(command: str) -> str:
        result = await asyncio.to_thread(command_line.run, command)
        return str(result.output)

    assert "No alarm: 0 misses" in await run("block list")
    await misses(database_url, guesser, 50)
    listed = await run("block list")
    assert "ALARM since" in listed
    assert str(guesser) in listed
    assert "Lifted" in await run(f"block lift {guesser} --reason 'called them'")
    assert "Acknowledged" in await run("block acknowledge --reason 'one till'")
    assert "No alarm: 50 misses" in await run("block list")


async def test_support_has_keys_of_its_own(database_url: str, redis_url: str) -> None:
    command_line = CommandLine(database_url, redis_url)
    for name in ("Anna", "Bertta", "Cecilia"):
        made = await asyncio.to_thread(command_line.run, f"key create --support --name {name}")
        assert looks_like_key(made.output.split()[0])
    listed = await asyncio.to_thread(command_line.run, "key list --support")
    assert "support:read, support:write" in listed.output
    assert "Cecilia" in listed.output
