"""The pages in a real browser: Debian's Chromium before the real application, served on a port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import BrowserContext, Locator, Page, Route

from service.settings import Settings
from tests.browsers import Browser
from tests.chromium import PATIENCE_MS, open_chromium, open_context
from tests.installations import Installation, install, settings_for, take_port

PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1200, "height": 800}


@asynccontextmanager
async def serve(database_url: str, redis_url: str, *, host: str = "127.0.0.1") -> AsyncIterator[Installation]:
    """The installation as a browser on this machine sees it: over plain HTTP, at the address that it believes in."""
    listener, port = take_port()
    settings: Settings = settings_for(database_url, redis_url, public_url=f"http://{host}:{port}")
    async with install(settings, listener=listener) as installation:
        yield installation


@asynccontextmanager
async def open_window(
    here: Installation, person: Browser | None, *, viewport: dict[str, int] = PHONE, **options: Any
) -> AsyncIterator[tuple[BrowserContext, Page]]:
    """A window of somebody who is signed in, or of nobody."""
    base = str(here.client.make_url("")).rstrip("/")
    async with open_chromium() as chromium:
        context = await open_context(chromium, base_url=base, viewport=viewport, locale="en-GB", **options)
        try:
            if person is not None:
                assert person.cookie is not None
                await context.add_cookies([{"name": "session", "value": person.cookie, "url": base}])
            yield context, await context.new_page()
        finally:
            await context.close()


async def tap_twice(button: Locator, address: str) -> None:
    """Tap the button of a form for `address` twice before the first answer is there, as on a slow connection.

    The service has answered the first tap when the second is on its way to it, and the browser never sees that answer.
    Without this, luck would decide whether the second tap meets the form or the page that follows it.
    """
    answered, repeated = asyncio.Event(), asyncio.Event()
    taps = 0

    async def hold_first_answer(route: Route) -> None:
        nonlocal taps
        taps += route.request.method == "POST"
        if route.request.method == "POST" and taps == 1:
            await route.fetch(max_redirects=0)
            answered.set()
            await repeated.wait()
            await route.abort()  # nobody waits for it any more
            return
        if route.request.method == "POST":
            repeated.set()
        await route.continue_()

    await button.page.context.route(address, hold_first_answer)
    await button.wait_for()
    await button.page.wait_for_load_state()  # from now on it stays where it is
    await button.scroll_into_view_if_needed()
    box = await button.bounding_box()
    assert box is not None
    async with asyncio.timeout(PATIENCE_MS / 1000):
        for tapped in (answered, repeated):
            # By the mouse: `click` waits for what the first tap leads to.
            await button.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            await tapped.wait()
