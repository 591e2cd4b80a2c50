"""The pages in a real browser: Debian's Chromium before the real application, served on a port of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import BrowserContext, Page

from service.settings import Settings
from tests.browsers import Browser
from tests.chromium import open_chromium
from tests.installations import Installation, install, settings_for, take_port

PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1200, "height": 800}


@asynccontextmanager
async def serve(database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    """The installation as a browser on this machine sees it: over plain HTTP, at the address that it believes in."""
    listener, port = take_port()
    settings: Settings = settings_for(database_url, redis_url, public_url=f"http://127.0.0.1:{port}")
    async with install(settings, listener=listener) as installation:
        yield installation


@asynccontextmanager
async def open_window(
    here: Installation, person: Browser | None, *, viewport: dict[str, int] = PHONE, **options: Any
) -> AsyncIterator[tuple[BrowserContext, Page]]:
    """A window of somebody who is signed in, or of nobody."""
    base = str(here.client.make_url("")).rstrip("/")
    async with open_chromium() as chromium:
        context = await chromium.new_context(base_url=base, viewport=viewport, locale="en-GB", **options)  # type: ignore[arg-type]
        try:
            if person is not None:
                assert person.cookie is not None
                await context.add_cookies([{"name": "session", "value": person.cookie, "url": base}])
            yield context, await context.new_page()
        finally:
            await context.close()
