"""The worker's own small window: whether it lives, and its metrics. Off unless WORKER_PORT is set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

log = structlog.get_logger()


@asynccontextmanager
async def status_pages(host: str, port: int | None) -> AsyncIterator[None]:
    """Serve /health/live and /metrics while the block runs; no `port`: nothing. Raises OSError if it is taken."""
    if port is None:
        yield
        return
    app = web.Application()
    app.router.add_get("/health/live", _live)
    app.router.add_get("/metrics", _metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        log.info("worker_status_served", port=port)
        yield
    finally:
        await runner.cleanup()


async def _live(_request: web.Request) -> web.Response:
    return web.json_response({"status": "live"})


async def _metrics(_request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
