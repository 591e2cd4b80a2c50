"""A whole installation inside the test: the real application over the test's own database, with sample data."""

from __future__ import annotations

import base64
import functools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from service.app import build_app
from service.db import Connection, transaction
from service.errors import RequestInFlight
from service.providers.operations import create_key
from service.resources import Resources, open_resources
from service.sandbox.sample import COUNTY, PROVIDERS, TOWN, load_sample
from service.settings import Settings
from service.web.server import Runner
from tests.rows import once_then_copied
from tests.sessions import Sessions, sessions_of

PUBLIC_URL = "https://seteli.test"


def settings_for(database_url: str, redis_url: str, **changes: Any) -> Settings:
    """Settings of an installation whose gateways lead nowhere, unless `changes` say otherwise."""
    return _settings(database_url=SecretStr(database_url), redis_url=SecretStr(redis_url), **changes)


@functools.cache  # what a test changes is often the same, and reading them costs more than many a test
def _settings(**changes: Any) -> Settings:
    known: dict[str, Any] = {
        "public_url": PUBLIC_URL,
        "encryption_keys": f"e1:{base64.b64encode(b'e' * 32).decode()}",
        "index_keys": f"i1:{base64.b64encode(b'i' * 32).decode()}",
        "twilio_account_sid": "AC" + "0" * 32,
        "twilio_auth_token": SecretStr("token"),
        "twilio_sender": "+358457300100",
        "twilio_base_url": "http://127.0.0.1:9",
        "smtp_host": "127.0.0.1",
        "smtp_port": 9,
        "email_sender": "Seteli <seteli@seteli.test>",
        "quiet_from": 0,  # at whatever hour the tests run
        "quiet_to": 0,
    }
    return Settings(**known | changes)


@dataclass
class Installation:
    """Keys by owner, and a client that speaks to the application."""

    resources: Resources
    client: TestClient[web.Request, web.Application]
    keys: dict[str, str] = field(default_factory=dict)

    async def call(
        self, owner: str, method: str, path: str, body: object = None, *, key: str | None = None, language: str = "en"
    ) -> ClientResponse:
        headers = {"Authorization": f"Bearer {self.keys[owner]}", "Accept-Language": language}
        if key is not None:
            headers["Idempotency-Key"] = key
        while True:
            answer = await self.client.request(method, path, json=body, headers=headers)
            # On a busy machine a lock may not come free in time: a client then asks again, as the answer tells it to.
            if answer.status != HTTPStatus.CONFLICT or (await answer.json())["code"] != RequestInFlight.code:
                return answer

    async def decide(self, owner: str = COUNTY, **changes: Any) -> dict[str, Any]:
        answer = await self.call(owner, "POST", "/v1/decisions", decision(**changes))
        assert answer.status == 201, await answer.text()
        return dict(await answer.json())

    async def code_of(self, voucher_id: str) -> str:
        """What the family would read in its text."""
        from service.vouchers import operations

        async with transaction(self.resources.pool) as conn:
            row = await conn.fetchrow(
                "SELECT organiser_id, code_id FROM vouchers WHERE voucher_id = $1::text::uuid", voucher_id
            )
            pair = (row["organiser_id"], row["code_id"])
            fields = await operations.secret_fields(conn, self.resources.keys, [pair])
        return fields[pair[1]]["code"]


def decision(**changes: Any) -> dict[str, Any]:
    """A decision as a case system posts it: twelve hours of home help."""
    from datetime import UTC, datetime

    from service.vouchers.decisions import helsinki_day

    today = helsinki_day(datetime.now(UTC))
    known: dict[str, Any] = {
        "decision_ref": f"KH-{uuid4().hex[:10]}",
        "programme": "kotipalvelu",
        "status": "provisional",
        "client_ref": f"perhe-{uuid4().hex[:6]}",
        "beneficiary": {"phone": "040 123 4567", "language": "fi", "initials": "M.V."},
        "granted": 720,
        "weekly": {"visits": 21},  # tests charge more on one day than a family is granted in a week
        "valid_from": str(today),
        "valid_to": str(today + timedelta(days=90)),
    }
    return known | changes


async def load_sample_with_keys(conn: Connection) -> dict[str, str]:
    await load_sample(conn)
    keys = {slug: (await create_key(conn, organiser_slug=slug, name="test")).key for slug in (COUNTY, TOWN)}
    for provider in PROVIDERS:
        made = await create_key(conn, business_id=provider.business_id, name="test")
        keys[provider.business_id] = made.key
    return keys


def take_port() -> tuple[socket.socket, int]:
    """A port of this machine for `install`, and ours from now on: one only looked up could be another's by then."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener, int(listener.getsockname()[1])


class Served(TestServer):
    """As the web process serves."""

    def __init__(self, app: web.Application, listener: socket.socket | None = None) -> None:
        super().__init__(app, **({"socket_factory": lambda *_asked: listener} if listener else {}))

    async def _make_runner(self, **kwargs: Any) -> Runner:
        return Runner(self.app, **kwargs)


async def _load_or_copy(conn: Connection, sessions: Sessions) -> dict[str, str]:
    return await once_then_copied(conn, load_sample_with_keys, name="sample", replica=await sessions.replica())


@asynccontextmanager
async def install(settings: Settings, *, listener: socket.socket | None = None) -> AsyncIterator[Installation]:
    """Open resources, load the sample data, make a key for each owner, and serve: on `listener` (of `take_port`) if
    others must find it.
    """
    sessions = sessions_of(settings.database_url.get_secret_value())
    has_all = settings.database_connections == Settings.model_fields["database_connections"].default
    async with open_resources(settings, pool=await sessions.pool() if sessions and has_all else None) as resources:
        async with transaction(resources.pool) as conn:
            keys = await (_load_or_copy(conn, sessions) if sessions else load_sample_with_keys(conn))
        async with TestClient(Served(build_app(resources), listener)) as client:
            yield Installation(resources, client, keys)
