"""A running sandbox, and an application that receives its webhooks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from twilio.request_validator import RequestValidator

from service.sandbox.server import LISTENING, SandboxSettings, build_app

ACCOUNT = "AC" + "0123456789abcdef" * 2
TOKEN = "a token of the sandbox"
OVERRIDES = "#ct=3000&rc=5&rt=1500&rp=all"
FAMILY = "+358401234567"


@dataclass
class Application:
    """Keeps every webhook with whether its signature holds; answers what the test tells it to."""

    url: str = ""
    received: list[dict[str, str]] = field(default_factory=list)
    genuine: list[bool] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    """Statuses to give, first to last; then 200."""
    body: str = "<Response/>"

    async def hook(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.received.append(form)
        signature = request.headers["X-Twilio-Signature"]
        url = self.url + request.path_qs
        self.genuine.append(RequestValidator(TOKEN).validate(url, form, signature))
        return web.Response(
            text=self.body, status=self.answers.pop(0) if self.answers else 200, content_type="text/xml"
        )

    @property
    def statuses(self) -> list[str]:
        return [form["MessageStatus"] for form in self.received if "MessageStatus" in form]


@dataclass
class Sandbox:
    """What a test needs of a running sandbox."""

    url: str
    smtp_port: int
    data: Path
    session: aiohttp.ClientSession

    @property
    def messages_url(self) -> str:
        return f"{self.url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"

    async def create(self, *, timeout_s: float = 10, **form: str) -> tuple[int, Any]:
        """POST a text as Twilio's clients do; gives the status and the JSON."""
        form = {"To": FAMILY, "From": "Seteli", "Body": "Hei", **form}
        async with self.session.post(
            self.messages_url,
            data={name: value for name, value in form.items() if value != "-"},
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            headers=authorization(),
        ) as response:
            is_json = response.content_type == "application/json"
            return response.status, await response.json() if is_json else await response.text()

    async def look_up(self, path: str = "", **query: str) -> tuple[int, Any]:
        """GET from Twilio's protocol: the list, or `path` as an answer's uri names it."""
        url = self.url + path if path else self.messages_url
        async with self.session.get(url, params=query, headers=authorization()) as response:
            return response.status, await response.json()

    async def get(self, path: str) -> Any:
        async with self.session.get(self.url + path) as response:
            return await response.json()

    async def post(self, path: str, content: object) -> tuple[int, Any]:
        async with self.session.post(self.url + path, json=content) as response:
            return response.status, await response.json()

    async def inject(self, **faults: object) -> None:
        status, answer = await self.post("/faults", faults)
        assert status == 200, answer


def authorization(user: str = ACCOUNT, password: str = TOKEN) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(user, password)}


async def until(holds: Callable[[], object], *, timeout_s: float = 5) -> None:
    """Wait until `holds`, or fail."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running_sandbox(data: Path, **settings: Any) -> AsyncIterator[Sandbox]:
    app = build_app(SandboxSettings("127.0.0.1", 0, 0, ACCOUNT, TOKEN, data, **settings))
    async with aiohttp.ClientSession() as session, running(app) as url:
        yield Sandbox(url, app[LISTENING].smtp_port, data, session)
