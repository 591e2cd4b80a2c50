"""Replies that are made while they are taken."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer

from service.errors import DatabaseUnavailable
from service.web import Call, Route, Stream, add_routes, edge

MUCH = 1_000
CHUNK = b"0123456789abcdef" * 4096


class Tap:
    """What happened to the chunks."""

    def __init__(self) -> None:
        self.given = 0
        self.is_closed = asyncio.Event()

    async def chunks(self, many: int, fails_at: int | None = None) -> AsyncGenerator[bytes, None]:
        try:
            for number in range(many):
                if number == fails_at:
                    raise DatabaseUnavailable if number % 2 == 0 else ZeroDivisionError
                self.given += 1
                yield CHUNK
                await asyncio.sleep(0)
        finally:
            self.is_closed.set()


@pytest.fixture
def tap() -> Tap:
    return Tap()


Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client(tap: Tap) -> AsyncIterator[Client]:
    async def get_stream(call: Call) -> Stream:
        many, fails_at = int(call.raw.match_info["many"]), call.raw.query.get("fails_at")
        return Stream(tap.chunks(many, None if fails_at is None else int(fails_at)), "text/csv; charset=utf-8")

    app = web.Application(middlewares=[edge])
    add_routes(app, [Route("GET", "/{many}", get_stream, None, "", streams="text/csv")], None)  # type: ignore[arg-type]
    async with TestClient(TestServer(app)) as running:
        yield running


async def test_a_stream_is_sent_whole_and_as_what_it_is(client: Client, tap: Tap) -> None:
    answer = await client.get("/40")
    assert await answer.read() == CHUNK * 40
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert tap.is_closed.is_set()


async def test_a_chunk_with_nothing_in_it_is_not_the_end(
    client: Client, tap: Tap, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def chunks(many: int, _fails_at: int | None = None) -> AsyncGenerator[bytes, None]:
        for _ in range(many):
            yield b""
            yield CHUNK

    monkeypatch.setattr(tap, "chunks", chunks)
    assert await (await client.get("/2")).read() == CHUNK * 2


async def test_a_stream_of_nothing_is_an_empty_answer(client: Client) -> None:
    answer = await client.get("/0")
    assert (answer.status, await answer.read()) == (200, b"")


async def test_head_is_answered_without_beginning(client: Client, tap: Tap) -> None:
    answer = await client.head("/40")
    assert (answer.status, await answer.read()) == (200, b"")
    assert tap.given == 0


async def test_what_fails_before_the_first_chunk_is_a_problem_like_any(client: Client) -> None:
    answer = await client.get("/40?fails_at=0")
    assert answer.status == 503
    assert (await answer.json())["code"] == "database_unavailable"


@pytest.mark.parametrize("fails_at", [20, 21], ids=["an error of ours", "a fault of ours"])
async def test_what_fails_later_is_seen_as_a_transfer_without_its_end(client: Client, fails_at: int, tap: Tap) -> None:
    with pytest.raises(ClientError):
        await (await client.get(f"/{MUCH}?fails_at={fails_at}")).read()
    assert tap.given == fails_at
    assert (await client.get("/1")).status == 200


async def test_a_caller_that_hangs_up_ends_it(client: Client, tap: Tap) -> None:
    answer = await client.get(f"/{MUCH * 100}")
    await answer.content.readexactly(100)
    answer.close()
    async with asyncio.timeout(5):
        await tap.is_closed.wait()
    assert tap.given < MUCH * 100


async def test_a_caller_that_takes_nothing_is_hung_up_on(
    client: Client, tap: Tap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["service.web.edge"], "TAKE_TIMEOUT_S", 0.2)
    answer = await client.get(f"/{MUCH}")
    async with asyncio.timeout(5):
        await tap.is_closed.wait()
    assert tap.given < MUCH
    with pytest.raises(ClientError):
        await answer.read()
