"""The story's way to the service: nothing but HTTP, with the patience that every caller of a real service needs.

A connection that breaks, a 503 and a 409 `request_in_flight` are tried again with the same Idempotency-Key, which is
what makes trying again safe. So the story can be played while processes are being killed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

PATIENCE_S = 90.0
PAUSE_S = 0.25
POLL_S = 0.02
CALL_TIMEOUT_S = 20.0

Json = Mapping[str, Any]
T = TypeVar("T")


class StepFailed(Exception):
    """A step of the story did not come out as it should; the text says what was expected."""


def expect(condition: object, otherwise: str) -> None:
    """Raises StepFailed."""
    if not condition:
        raise StepFailed(otherwise)


@dataclass(frozen=True)
class World:
    """Where the service and its sandbox are, and the keys of the two who call it."""

    base_url: str
    sandbox_url: str
    organiser_key: str
    provider_key: str


@dataclass(frozen=True)
class Answer:
    status: int
    content: bytes
    replayed: bool

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Client:
    """Calls the service as the case system or as the provider, and looks at the sandbox."""

    def __init__(self, world: World, session: aiohttp.ClientSession) -> None:
        self._world = world
        self._session = session

    async def as_organiser(self, method: str, path: str, body: Json | None = None, *, key: str | None = None) -> Answer:
        """One request with the organiser's key."""
        return await self._call(method, path, body, bearer=self._world.organiser_key, key=key)

    async def as_provider(self, method: str, path: str, body: Json | None = None, *, key: str | None = None) -> Answer:
        """One request with the provider's key."""
        return await self._call(method, path, body, bearer=self._world.provider_key, key=key)

    async def _call(self, method: str, path: str, body: Json | None, *, bearer: str, key: str | None) -> Answer:
        headers = {"Authorization": f"Bearer {bearer}", "Accept-Language": "fi"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return await self._patiently(method, self._world.base_url + path, body, headers)

    async def sandbox(self, method: str, path: str, **query: str) -> Answer:
        """One request to the sandbox."""
        return await self._patiently(method, self._world.sandbox_url + path, None, {}, query)

    async def page(self, url: str) -> Answer:
        """One page as a family's browser asks for it, without any key."""
        return await self._patiently("GET", url, None, {"Accept": "text/html"})

    async def text_from(self, phone: str, body: str) -> Answer:
        """The family texts; the sandbox tells what the service answered to its webhook."""
        return await self._patiently("POST", f"{self._world.sandbox_url}/inbound", {"from": phone, "body": body}, {})

    async def _patiently(
        self, method: str, url: str, body: Json | None, headers: Json, query: Mapping[str, str] | None = None
    ) -> Answer:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                async with self._session.request(method, url, json=body, headers=headers, params=query) as response:
                    content = await response.read()
                answer = Answer(response.status, content, response.headers.get("Idempotent-Replayed") == "true")
                if not _try_again(answer) or time.monotonic() > deadline:
                    return answer
            except (aiohttp.ClientError, TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise StepFailed(f"{method} {url}: {type(error).__name__} for {PATIENCE_S:.0f} s") from error
            await asyncio.sleep(PAUSE_S)


def _try_again(answer: Answer) -> bool:
    return answer.status == 503 or (answer.status == 409 and answer.json.get("code") == "request_in_flight")


@asynccontextmanager
async def open_client(world: World) -> AsyncIterator[Client]:
    """A client over a session of its own."""
    timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Client(world, session)


async def wait_for(what: str, look: Callable[[], Awaitable[T | None]], *, timeout_s: float = PATIENCE_S) -> T:
    """Look again and again until there is something. Raises StepFailed naming `what` did not come."""
    deadline = time.monotonic() + timeout_s
    while (found := await look()) is None:
        expect(time.monotonic() < deadline, f"{what} did not come within {timeout_s:.0f} s")
        await asyncio.sleep(POLL_S)
    return found
