from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.sandbox.desk import Application, Sandbox, running, running_sandbox


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with running_sandbox(tmp_path / "data", sent_after_s=0.01, delivered_after_s=0.02) as running_one:
        yield running_one


@pytest.fixture
async def application() -> AsyncIterator[Application]:
    application = Application()
    app = web.Application()
    app.router.add_post("/{path:.*}", application.hook)
    async with running(app) as url:
        application.url = url
        yield application
