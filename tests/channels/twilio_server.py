"""A small server on loopback that answers as it is told to, and keeps what it was asked: for tests of the gateway."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

ACCOUNT = "AC" + "0" * 32
SID = "SM" + "a" * 32


def message(**changes: Any) -> dict[str, Any]:
    """Twilio's JSON of a message just accepted."""
    return {
        "sid": SID,
        "status": "queued",
        "num_segments": "1",
        "direction": "outbound-api",
        "body": "the text",
        "date_created": "Thu, 24 Aug 2023 05:01:45 +0000",
        "error_code": None,
    } | changes


class TwilioServer:
    """`behaviour`: ("json", status, body) | ("raw", status, bytes, content type) | "hang" | "drop"."""

    def __init__(self) -> None:
        self.behaviour: Any = ("json", 201, message())
        self.forms: list[dict[str, str]] = []
        self.queries: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.asked = asyncio.Event()
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        self.queries.append(dict(request.query))
        form = await request.post()
        self.forms.append({name: str(value) for name, value in form.items()})
        self.asked.set()
        if self.behaviour == "hang":
            await asyncio.sleep(30)
        if self.behaviour == "drop":
            assert request.transport is not None
            request.transport.close()
            await asyncio.sleep(0)
            raise ConnectionResetError
        if self.behaviour[0] == "json":
            _, status, body = self.behaviour
            return web.Response(status=status, text=json.dumps(body), content_type="application/json")
        _, status, content, content_type = self.behaviour
        return web.Response(status=status, body=content, content_type=content_type)


@contextlib.asynccontextmanager
async def twilio_server() -> AsyncIterator[TwilioServer]:
    server = TwilioServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
